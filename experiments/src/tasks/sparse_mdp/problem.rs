//! The synthetic problem: peaked policies over very many actions, a few of which are rewarded.

use tch::{Device, Kind, Tensor};

use super::settings::Settings;
use crate::error::TrainError;
use crate::runner::random::Random;

/// The contexts of one seed, with a number of optimal actions.
pub(super) struct Problem {
    /// The initial logits, `[contexts, actions]`.
    pub(super) logits: Tensor,
    /// The ids of the optimal actions, `[contexts, n]`.
    pub(super) optimal: Tensor,
}

impl Problem {
    /// The problem for a seed. Problems with different `n` have the same logits, and their optimal actions are nested.
    pub(super) fn new(settings: &Settings, seed: u64, n: i64, device: Device) -> Result<Self, TrainError> {
        let shape = [settings.contexts, settings.actions];
        let logits = Random::at(seed, 0, "initial logits").normal(&shape, settings.deviation, device);
        let ranks = ranks(settings, seed);
        let deepest = ranks.iter().flatten().copied().max().unwrap_or(0);
        let (_, by_rank) = logits.f_topk(deepest + 1, -1, true, true)?;
        let chosen: Vec<i64> = ranks.iter().flat_map(|ranks| &ranks[..n as usize]).copied().collect();
        let chosen = Tensor::from_slice(&chosen).reshape([settings.contexts, n]).to_device(device);
        Ok(Problem { logits, optimal: by_rank.gather(1, &chosen, false) })
    }

    /// The probability of an optimal action in each context.
    pub(super) fn success(&self, probability: &Tensor) -> Tensor {
        probability.gather(1, &self.optimal, false).sum_dim_intlist([-1i64].as_slice(), false, Kind::Double)
    }

    /// Which of the sampled actions are rewarded, as 0 and 1.
    pub(super) fn rewards(&self, actions: &Tensor) -> Tensor {
        let matches = actions.unsqueeze(-1).eq_tensor(&self.optimal.unsqueeze(1));
        matches.any_dim(-1, false).to_kind(Kind::Double)
    }
}

/// The ranks of each context's optimal actions in the initial policy, for the largest `n`.
///
/// The first ranks of all contexts are stratified, one in each of `contexts` equal parts of the log scale, so that
/// seeds differ little in the number of hard contexts.
fn ranks(settings: &Settings, seed: u64) -> Vec<Vec<i64>> {
    let mut random = Random::at(seed, 0, "ranks of the optimal actions");
    let most = settings.optimal.iter().copied().max().unwrap_or(1) as usize;
    let [low, high] = settings.first_rank.map(f64::ln);
    (0..settings.contexts)
        .map(|context| {
            let place = (context as f64 + random.unit()) / settings.contexts as f64;
            let mut ranks = vec![(low + place * (high - low)).exp() as i64];
            while ranks.len() < most {
                let rank = random.below(settings.other_rank);
                if !ranks.contains(&rank) {
                    ranks.push(rank);
                }
            }
            ranks
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(n: i64) -> (Settings, Problem) {
        let settings = Settings::new(Some("tiny"), &[]).unwrap();
        let problem = Problem::new(&settings, 3, n, Device::Cpu).unwrap();
        (settings, problem)
    }

    fn ids(problem: &Problem, context: i64) -> Vec<i64> {
        Vec::try_from(problem.optimal.get(context)).unwrap()
    }

    #[test]
    fn fewer_optimal_actions_are_among_the_more() {
        let (settings, many) = problem(4);
        let (_, one) = problem(1);
        assert_eq!(many.logits, one.logits);
        for context in 0..settings.contexts {
            let mut all = ids(&many, context);
            assert_eq!(ids(&one, context), all[..1]);
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), 4);
        }
    }

    #[test]
    fn the_first_optimal_action_has_its_rank() {
        let (settings, one) = problem(1);
        let wanted = ranks(&settings, 3);
        for context in 0..settings.contexts {
            let row: Vec<f32> = Vec::try_from(one.logits.get(context)).unwrap();
            let logit = row[ids(&one, context)[0] as usize];
            let rank = row.iter().filter(|other| **other > logit).count() as i64;
            assert_eq!(rank, wanted[context as usize][0]);
            assert!((2..60).contains(&rank));
        }
    }

    #[test]
    fn only_optimal_actions_pay() {
        let (settings, problem) = problem(4);
        let every = Tensor::arange(settings.actions, (Kind::Int64, Device::Cpu));
        let paid = problem.rewards(&every.expand([settings.contexts, settings.actions], false));
        for context in 0..settings.contexts {
            let mut expected = vec![0.0; settings.actions as usize];
            for id in ids(&problem, context) {
                expected[id as usize] = 1.0;
            }
            assert_eq!(Vec::<f64>::try_from(paid.get(context)).unwrap(), expected);
        }
    }
}
