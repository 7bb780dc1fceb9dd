//! Sums as tokens: the questions, the right answers, and the held-out sums.

use std::collections::BTreeSet;

use tch::{Device, Kind, Tensor};

use super::settings::Settings;
use crate::runner::random::Random;

/// `0` to `9` are the digits.
const PLUS: usize = 10;
const EQUALS: usize = 11;
const END: usize = 12;

/// The number of useful tokens.
pub(super) const USEFUL: usize = 13;

/// The language of sums in a large vocabulary. A prompt is `47+05=`, its answer `052` and the end token.
pub(super) struct Sums {
    digits: i64,
    vocabulary: i64,
    longest: i64,
    /// The ids of the useful tokens, scattered over the vocabulary as in a tokenizer for all text.
    ids: [i64; USEFUL],
    held_out: Vec<(i64, i64)>,
    excluded: BTreeSet<(i64, i64)>,
    device: Device,
}

/// A batch of sums.
pub(super) struct Questions {
    /// `[N, P]` tokens.
    pub(super) prompts: Tensor,
    /// `[N, A]` tokens of the right answers, the end token included.
    pub(super) answers: Tensor,
}

/// How demonstrations write answers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Carry {
    Kept,
    Forgotten,
}

impl Sums {
    /// The language for a seed.
    pub(super) fn new(settings: &Settings, seed: u64, device: Device) -> Self {
        let order = Random::at(seed, 0, "vocabulary").permutation(settings.vocabulary);
        let mut ids = [0; USEFUL];
        ids.copy_from_slice(&order[..USEFUL]);
        let limit = 10_i64.pow(settings.digits as u32);
        let mut random = Random::at(seed, 0, "held out");
        let (mut held_out, mut excluded) = (Vec::new(), BTreeSet::new());
        while (held_out.len() as i64) < settings.held_out {
            let sum = (random.below(limit), random.below(limit));
            if excluded.insert(sum) {
                held_out.push(sum);
            }
        }
        Sums {
            digits: settings.digits,
            vocabulary: settings.vocabulary,
            longest: settings.longest_answer,
            ids,
            held_out,
            excluded,
            device,
        }
    }

    /// Tokens in a prompt.
    pub(super) fn prompt_length(&self) -> i64 {
        2 * self.digits + 2
    }

    /// Tokens in a right answer, the end token included.
    pub(super) fn answer_length(&self) -> i64 {
        self.digits + 2
    }

    /// The most tokens of an answer before it is cut.
    pub(super) fn longest_answer(&self) -> i64 {
        self.longest
    }

    /// The id that ends an answer.
    pub(super) fn end(&self) -> i64 {
        self.ids[END]
    }

    /// One for each useful token, `[V]`.
    pub(super) fn useful(&self) -> Tensor {
        let ids = Tensor::from_slice(&self.ids).to_device(self.device);
        Tensor::zeros([self.vocabulary], (Kind::Float, self.device)).index_fill(0, &ids, 1.0)
    }

    /// Sums to train on, without held-out ones.
    pub(super) fn draw(&self, count: i64, random: &mut Random) -> Questions {
        let sums = self.sums(count, random);
        self.questions(sums.iter().map(|&sum| (sum, Carry::Kept)))
    }

    /// Sums with the answers of a careless teacher, who forgets all carries of a sum at the given rate.
    pub(super) fn demonstrations(&self, count: i64, forgotten: f64, random: &mut Random) -> Questions {
        let sums = self.sums(count, random);
        let carries: Vec<Carry> = sums
            .iter()
            .map(|_| if random.unit() < forgotten { Carry::Forgotten } else { Carry::Kept })
            .collect();
        self.questions(sums.into_iter().zip(carries))
    }

    /// The sums that are never trained on.
    pub(super) fn held_out(&self) -> Questions {
        self.questions(self.held_out.iter().map(|&sum| (sum, Carry::Kept)))
    }

    /// Which answers are right, `[N]` of 0 and 1: the digits and the end token must match exactly. `actions` is
    /// `[N, T]`; tokens after the end token do not matter.
    pub(super) fn verify(&self, questions: &Questions, actions: &Tensor) -> Tensor {
        let length = self.answer_length();
        if actions.size()[1] < length {
            return Tensor::zeros([actions.size()[0]], (Kind::Float, self.device));
        }
        let same = actions.narrow(1, 0, length).eq_tensor(&questions.answers);
        same.all_dim(1, false).to_kind(Kind::Float)
    }

    fn sums(&self, count: i64, random: &mut Random) -> Vec<(i64, i64)> {
        let limit = 10_i64.pow(self.digits as u32);
        let drawn = std::iter::repeat_with(|| (random.below(limit), random.below(limit)));
        drawn.filter(|sum| !self.excluded.contains(sum)).take(count as usize).collect()
    }

    fn questions(&self, sums: impl Iterator<Item = ((i64, i64), Carry)>) -> Questions {
        let (mut prompts, mut answers) = (Vec::new(), Vec::new());
        for ((left, right), carry) in sums {
            prompts.extend(self.number(left, self.digits));
            prompts.push(self.ids[PLUS]);
            prompts.extend(self.number(right, self.digits));
            prompts.push(self.ids[EQUALS]);
            let sum = match carry {
                Carry::Kept => left + right,
                Carry::Forgotten => without_carries(left, right),
            };
            answers.extend(self.number(sum, self.digits + 1));
            answers.push(self.end());
        }
        let tensor =
            |ids: &[i64], length: i64| Tensor::from_slice(ids).reshape([-1, length]).to_device(self.device);
        Questions {
            prompts: tensor(&prompts, self.prompt_length()),
            answers: tensor(&answers, self.answer_length()),
        }
    }

    /// The tokens of a number, with leading zeros.
    fn number(&self, number: i64, width: i64) -> Vec<i64> {
        (0..width).rev().map(|place| self.ids[(number / 10_i64.pow(place as u32) % 10) as usize]).collect()
    }
}

impl Questions {
    /// Each question `times` times, adjacent.
    pub(super) fn repeat(&self, times: i64) -> Questions {
        let repeat = |tensor: &Tensor| tensor.repeat_interleave_self_int(times, 0, None);
        Questions { prompts: repeat(&self.prompts), answers: repeat(&self.answers) }
    }
}

/// The sum of each column, without carries.
fn without_carries(mut left: i64, mut right: i64) -> i64 {
    let (mut sum, mut place) = (0, 1);
    while left > 0 || right > 0 {
        sum += (left + right) % 10 * place;
        (left, right, place) = (left / 10, right / 10, place * 10);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums() -> (Sums, Settings) {
        let settings = Settings::preset(None).unwrap();
        (Sums::new(&settings, 7, Device::Cpu), settings)
    }

    /// Prompt and answer as text.
    fn text(sums: &Sums, tokens: &Tensor) -> String {
        let tokens: Vec<i64> = Vec::try_from(tokens).unwrap();
        let symbols = "0123456789+=.";
        let letter =
            |id| symbols.chars().nth(sums.ids.iter().position(|known| *known == id).unwrap()).unwrap();
        tokens.into_iter().map(letter).collect()
    }

    #[test]
    fn a_sum_is_written_with_zeros_and_an_end() {
        let (sums, _) = sums();
        let questions = sums.questions([((47, 5), Carry::Kept), ((47, 85), Carry::Forgotten)].into_iter());
        assert_eq!(text(&sums, &questions.prompts.get(0)), "47+05=");
        assert_eq!(text(&sums, &questions.answers.get(0)), "052.");
        assert_eq!(text(&sums, &questions.answers.get(1)), "022.");
    }

    #[test]
    fn only_the_exact_answer_is_right() {
        let (sums, _) = sums();
        let question = sums.questions([((47, 5), Carry::Kept)].into_iter());
        let rows =
            Questions { prompts: question.prompts.repeat([4, 1]), answers: question.answers.repeat([4, 1]) };
        let id = |digit: usize| sums.ids[digit];
        let actions = Tensor::from_slice2(&[
            [id(0), id(5), id(2), sums.end(), id(9)],
            [id(0), id(4), id(2), sums.end(), id(9)],
            [id(0), id(5), id(2), id(2), sums.end()],
            [sums.end(), id(5), id(2), sums.end(), id(9)],
        ]);
        assert_eq!(Vec::<f32>::try_from(sums.verify(&rows, &actions)).unwrap(), [1.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn held_out_sums_are_never_drawn() {
        let (sums, settings) = sums();
        assert_eq!(sums.excluded.len() as i64, settings.held_out);
        let drawn = sums.sums(20_000, &mut Random::at(0, 0, "test"));
        assert!(drawn.iter().all(|sum| !sums.excluded.contains(sum)));
    }

    #[test]
    fn the_careless_teacher_is_right_where_nothing_is_carried() {
        assert_eq!(without_carries(23, 41), 64);
        assert_eq!(without_carries(99, 99), 88);
        let (sums, _) = sums();
        let mut random = Random::at(0, 0, "test");
        let all = sums.demonstrations(400, 1.0, &mut random);
        let right = sums.draw(400, &mut Random::at(0, 0, "test"));
        assert_eq!(all.prompts, right.prompts);
        // No carry from the ones, and none from the tens: 0.55 each.
        let share = sums.verify(&right, &all.answers).mean(Kind::Double).double_value(&[]);
        assert!((share - 0.3025).abs() < 4.0 * (0.3025_f64 * 0.6975 / 400.0).sqrt(), "{share}");
    }

    #[test]
    fn the_tokens_of_use_are_distinct_and_depend_on_the_seed() {
        let (sums, settings) = sums();
        assert_eq!(sums.useful().count_nonzero(0).int64_value(&[]), USEFUL as i64);
        assert_ne!(sums.ids, Sums::new(&settings, 8, Device::Cpu).ids);
    }
}
