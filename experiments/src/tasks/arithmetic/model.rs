//! A small decoder-only transformer with a large output vocabulary, and sampling from it.

use std::collections::BTreeMap;

use tch::{Device, Kind, Tensor, no_grad};

use super::settings::Settings;
use crate::error::TrainError;
use crate::optimizer;
use crate::runner::random::Random;

/// Pre-norm blocks of attention and a two-layer network, learned positions, and a separate output layer.
pub(super) struct Model {
    embedding: Tensor,
    position: Tensor,
    blocks: Vec<Block>,
    norm: Norm,
    output: Tensor,
    heads: i64,
}

struct Block {
    attention_norm: Norm,
    query_key_value: Linear,
    attended: Linear,
    network_norm: Norm,
    wide: Linear,
    narrow: Linear,
}

struct Norm {
    scale: Tensor,
    shift: Tensor,
}

struct Linear {
    weight: Tensor,
    bias: Tensor,
}

/// Keys and values of the tokens that passed through each block, `[N, heads, length, width / heads]`.
#[derive(Default)]
struct Cache(Vec<(Tensor, Tensor)>);

/// Sampled answers, each right-padded with tokens that do not count.
pub(super) struct Answers {
    /// `[N, T]` tokens.
    pub(super) actions: Tensor,
    /// `[N, T]`: 1 up to and including the end token.
    pub(super) mask: Tensor,
    /// `[N, T]` log-probabilities of the tokens under the policy that sampled them.
    pub(super) log_prob: Tensor,
    /// `[N, T, V]` logits that they were sampled from, if kept.
    pub(super) logits: Option<Tensor>,
}

/// How to choose the next token.
pub(super) enum Choice<'a> {
    /// The most probable.
    Greedy,
    /// Sampled by its probability at temperature 1.
    Sampled(&'a mut Random),
}

impl Model {
    /// A model with random initial weights.
    pub(super) fn new(settings: &Settings, random: &mut Random, device: Device) -> Self {
        let width = settings.width;
        let positions = 2 * settings.digits + 2 + settings.longest_answer;
        let mut normal =
            |shape: &[i64], deviation: f64| random.normal(shape, deviation, device).set_requires_grad(true);
        let constant =
            |value: f64| Tensor::full([width], value, (Kind::Float, device)).set_requires_grad(true);
        let norm = || Norm { scale: constant(1.0), shift: constant(0.0) };
        let mut linear = |from: i64, to: i64| Linear {
            weight: normal(&[to, from], (1.0 / from as f64).sqrt() * 0.6),
            bias: Tensor::zeros([to], (Kind::Float, device)).set_requires_grad(true),
        };
        let blocks = (0..settings.layers).map(|_| Block {
            attention_norm: norm(),
            query_key_value: linear(width, 3 * width),
            attended: linear(width, width),
            network_norm: norm(),
            wide: linear(width, 4 * width),
            narrow: linear(4 * width, width),
        });
        let blocks = blocks.collect();
        Model {
            embedding: normal(&[settings.vocabulary, width], 0.5),
            position: normal(&[positions, width], 0.5),
            output: normal(&[settings.vocabulary, width], 0.02),
            blocks,
            norm: norm(),
            heads: settings.heads,
        }
    }

    /// Every parameter with its name.
    pub(super) fn params(&self) -> Vec<(String, Tensor)> {
        let mut params = vec![
            ("model.embedding".to_string(), &self.embedding),
            ("model.position".to_string(), &self.position),
            ("model.output".to_string(), &self.output),
            ("model.norm.scale".to_string(), &self.norm.scale),
            ("model.norm.shift".to_string(), &self.norm.shift),
        ];
        for (index, block) in self.blocks.iter().enumerate() {
            let norms = [("attention_norm", &block.attention_norm), ("network_norm", &block.network_norm)];
            for (name, norm) in norms {
                params.push((format!("model.{index}.{name}.scale"), &norm.scale));
                params.push((format!("model.{index}.{name}.shift"), &norm.shift));
            }
            let layers = [
                ("query_key_value", &block.query_key_value),
                ("attended", &block.attended),
                ("wide", &block.wide),
                ("narrow", &block.narrow),
            ];
            for (name, linear) in layers {
                params.push((format!("model.{index}.{name}.weight"), &linear.weight));
                params.push((format!("model.{index}.{name}.bias"), &linear.bias));
            }
        }
        params.into_iter().map(|(name, tensor)| (name, tensor.shallow_clone())).collect()
    }

    /// Restores parameters by name.
    pub(super) fn restore(&mut self, saved: &BTreeMap<String, Tensor>) -> Result<(), TrainError> {
        for (name, mut tensor) in self.params() {
            optimizer::copy(saved, &name, &mut tensor)?;
        }
        Ok(())
    }

    /// The logits that score each token of the answers, `[N, T, V]`.
    pub(super) fn score(&self, prompts: &Tensor, answers: &Tensor) -> Tensor {
        let asked = prompts.size()[1];
        let tokens = Tensor::cat(&[prompts, &answers.slice(1, 0, -1, 1)], 1);
        let hidden = self.hidden(&tokens, &mut Cache::default());
        self.logits(&hidden.slice(1, asked - 1, None, 1))
    }

    /// Answers each prompt `group` times, with answers to the same prompt adjacent, until all have ended or have
    /// `longest` tokens. The draws for an answer do not depend on the length of the others.
    #[expect(clippy::assign_op_pattern, reason = "`*=` multiplies in place, and the masks share the tensor")]
    pub(super) fn answer(
        &self,
        prompts: &Tensor,
        group: i64,
        longest: i64,
        end: i64,
        mut choice: Choice<'_>,
        keep_logits: bool,
    ) -> Answers {
        no_grad(|| {
            let mut cache = Cache::default();
            let mut hidden = self.hidden(prompts, &mut cache).slice(1, -1, None, 1);
            if group > 1 {
                let repeat = |tensor: &Tensor| tensor.repeat_interleave_self_int(group, 0, None);
                hidden = repeat(&hidden);
                cache.0 = cache.0.iter().map(|(key, value)| (repeat(key), repeat(value))).collect();
            }
            let count = hidden.size()[0];
            let device = hidden.device();
            let uniform = match &mut choice {
                Choice::Greedy => None,
                Choice::Sampled(random) => Some(random.uniform(&[count, longest], device)),
            };
            let mut going = Tensor::ones([count], (Kind::Float, device));
            let (mut actions, mut masks, mut log_probs, mut kept) = (vec![], vec![], vec![], vec![]);
            for place in 0..longest {
                let logits = self.logits(&hidden).squeeze_dim(1);
                let log_softmax = logits.log_softmax(-1, Kind::Float);
                let next = match &uniform {
                    None => logits.argmax(-1, true),
                    Some(uniform) => inverse(&log_softmax, &uniform.narrow(1, place, 1)),
                };
                log_probs.push(log_softmax.gather(-1, &next, false).squeeze_dim(-1));
                if keep_logits {
                    kept.push(logits);
                }
                masks.push(going.shallow_clone());
                going = going * next.squeeze_dim(-1).ne(end).to_kind(Kind::Float);
                actions.push(next.squeeze_dim(-1));
                if place + 1 == longest || going.sum(Kind::Float).double_value(&[]) == 0.0 {
                    break;
                }
                hidden = self.hidden(&next, &mut cache);
            }
            Answers {
                actions: Tensor::stack(&actions, 1),
                mask: Tensor::stack(&masks, 1),
                log_prob: Tensor::stack(&log_probs, 1),
                logits: keep_logits.then(|| Tensor::stack(&kept, 1)),
            }
        })
    }

    /// The last hidden states of `tokens`, `[N, length, width]`, which follow those in the cache.
    #[expect(clippy::assign_op_pattern, reason = "`+=` adds in place, to a tensor that backward still needs")]
    fn hidden(&self, tokens: &Tensor, cache: &mut Cache) -> Tensor {
        let seen = cache.0.first().map_or(0, |(key, _)| key.size()[2]);
        let position = self.position.narrow(0, seen, tokens.size()[1]);
        let mut hidden = Tensor::embedding(&self.embedding, tokens, -1, false, false) + position;
        let mut grown = Vec::with_capacity(self.blocks.len());
        for (index, block) in self.blocks.iter().enumerate() {
            let (attended, pair) = self.attend(block, &hidden, cache.0.get(index));
            hidden = hidden + attended;
            let wide = block.wide.apply(&block.network_norm.apply(&hidden)).gelu("none");
            hidden = hidden + block.narrow.apply(&wide);
            grown.push(pair);
        }
        cache.0 = grown;
        self.norm.apply(&hidden)
    }

    fn attend(
        &self,
        block: &Block,
        hidden: &Tensor,
        seen: Option<&(Tensor, Tensor)>,
    ) -> (Tensor, (Tensor, Tensor)) {
        let (count, length, width) = hidden.size3().unwrap_or_default();
        let parts = block
            .query_key_value
            .apply(&block.attention_norm.apply(hidden))
            .view([count, length, 3, self.heads, width / self.heads])
            .permute([2, 0, 3, 1, 4]);
        let (query, mut key, mut value) = (parts.get(0), parts.get(1), parts.get(2));
        if let Some((keys, values)) = seen {
            key = Tensor::cat(&[keys, &key], 2);
            value = Tensor::cat(&[values, &value], 2);
        }
        // Tokens after a cache come one at a time, so they may attend to everything.
        let causal = seen.is_none();
        let attended = Tensor::scaled_dot_product_attention(
            &query,
            &key,
            &value,
            None::<Tensor>,
            0.0,
            causal,
            None,
            false,
        );
        let attended = attended.transpose(1, 2).reshape([count, length, width]);
        (block.attended.apply(&attended), (key, value))
    }

    fn logits(&self, hidden: &Tensor) -> Tensor {
        hidden.linear(&self.output, None::<Tensor>)
    }
}

impl Norm {
    fn apply(&self, hidden: &Tensor) -> Tensor {
        hidden.layer_norm(
            hidden.size().last().copied().as_slice(),
            Some(&self.scale),
            Some(&self.shift),
            1e-5,
            false,
        )
    }
}

impl Linear {
    fn apply(&self, input: &Tensor) -> Tensor {
        input.linear(&self.weight, Some(&self.bias))
    }
}

/// The token at which the cumulative probability passes `uniform`, `[N, 1]`.
fn inverse(log_prob: &Tensor, uniform: &Tensor) -> Tensor {
    let cumulated = log_prob.exp().cumsum(-1, Kind::Float);
    // Rounding may leave the total below 1; scaled to it, no draw can pass the last token.
    let drawn = uniform * cumulated.slice(-1, -1, None, 1);
    let last = log_prob.size()[1] - 1;
    drawn.searchsorted(&cumulated, false, true, "right", None::<Tensor>).clamp(0, last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::arithmetic::problem::Sums;

    fn small() -> (Model, Sums) {
        let settings = Settings { vocabulary: 40, width: 16, ..Settings::preset(None).unwrap() };
        let model = Model::new(&settings, &mut Random::at(0, 0, "model"), Device::Cpu);
        (model, Sums::new(&settings, 0, Device::Cpu))
    }

    fn largest_difference(left: &Tensor, right: &Tensor) -> f64 {
        (left - right).abs().max().double_value(&[])
    }

    #[test]
    fn sampling_and_scoring_agree() {
        let (model, sums) = small();
        let prompts = sums.draw(5, &mut Random::at(0, 0, "test")).prompts;
        let answers =
            model.answer(&prompts, 3, 8, sums.end(), Choice::Sampled(&mut Random::at(0, 1, "test")), true);
        let logits =
            no_grad(|| model.score(&prompts.repeat_interleave_self_int(3, 0, None), &answers.actions));
        // Cached and whole passes add in different orders: f32 with logits near 1.
        assert!(largest_difference(&logits, &answers.logits.unwrap()) < 1e-4);
        let chosen = logits.log_softmax(-1, Kind::Float).gather(-1, &answers.actions.unsqueeze(-1), false);
        assert!(largest_difference(&chosen.squeeze_dim(-1), &answers.log_prob) < 1e-4);
    }

    #[test]
    fn an_answer_counts_up_to_its_end() {
        let (model, sums) = small();
        let prompts = sums.draw(64, &mut Random::at(0, 0, "test")).prompts;
        let answers =
            model.answer(&prompts, 1, 8, sums.end(), Choice::Sampled(&mut Random::at(0, 1, "test")), false);
        let ends = answers.actions.eq(sums.end()).to_kind(Kind::Float);
        let before = ends.cumsum(1, Kind::Float) - &ends;
        assert_eq!(answers.mask, before.eq(0.0).to_kind(Kind::Float));
    }

    #[test]
    fn tokens_are_drawn_by_their_probability() {
        let probabilities = [0.5_f32, 0.0, 0.3, 0.2];
        let log_prob = Tensor::from_slice(&probabilities).log().unsqueeze(0).repeat([10_000, 1]);
        let uniform = Random::at(0, 0, "test").uniform(&[10_000, 1], Device::Cpu);
        let drawn = inverse(&log_prob, &uniform).squeeze_dim(-1);
        for (token, probability) in probabilities.into_iter().enumerate() {
            let share = drawn.eq(token as i64).to_kind(Kind::Float).mean(Kind::Float).double_value(&[]);
            // Four standard errors at p = 1/2 bound those of every p.
            assert!((share - f64::from(probability)).abs() < 0.02, "{token}: {share}");
        }
    }

    #[test]
    fn the_future_is_not_seen() {
        let (model, sums) = small();
        let questions = sums.draw(4, &mut Random::at(0, 0, "test"));
        let other = Tensor::cat(&[&questions.answers.narrow(1, 0, 2), &questions.answers.narrow(1, 0, 2)], 1);
        let first = no_grad(|| model.score(&questions.prompts, &questions.answers));
        let second = no_grad(|| model.score(&questions.prompts, &other));
        assert!(largest_difference(&first.narrow(1, 0, 3), &second.narrow(1, 0, 3)) < 1e-5);
        assert!(largest_difference(&first, &second) > 1e-3);
    }
}
