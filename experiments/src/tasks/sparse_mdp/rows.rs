//! Turns sampled actions into a batch: one row for each context, and one more for each sampled action that matters.
//!
//! A batch has one action per row, and a context has many samples; a copy of its logits for each sample would cost as
//! many passes over the vocabulary. But samples with advantage zero have no gradient: if all samples of a context
//! failed, or all succeeded, their advantages relative to the context's mean vanish. And samples of one action can be
//! added up. So a batch has
//!
//! - a row for each context, with advantage 0 and `whole = 1`, for what concerns the context's whole distribution, such
//!   as its entropy;
//! - a row with a copy of the context's logits for each different action sampled in a context with both successes and
//!   failures, with the sum of the advantages of its samples divided by the number of samples, and `whole = 0`.
//!
//! `token_sum(advantages * log_prob)` is then exactly the sum over contexts of the mean over samples, because the
//! omitted rows have neither gradient nor value.

use std::collections::BTreeMap;

use tch::{Kind, Tensor};

/// The rows of one step's batch.
pub(super) struct Rows {
    contexts: usize,
    /// For each additional row: its context, its action and its advantage.
    further: Vec<(usize, i64, f64)>,
}

/// The fields of a batch.
pub(super) struct Fields {
    pub(super) logits: Tensor,
    pub(super) actions: Tensor,
    pub(super) response_mask: Tensor,
    pub(super) advantages: Tensor,
    pub(super) whole: Tensor,
}

impl Rows {
    /// The rows for `actions` and `rewards`, both `[contexts, samples]`, with each context's mean over its samples as
    /// baseline.
    pub(super) fn new(actions: &Tensor, rewards: &Tensor) -> Self {
        let (contexts, samples) = actions.size2().unwrap_or((0, 0));
        let (actions, rewards) = (numbers(&actions.to_kind(Kind::Double)), numbers(rewards));
        let mut further = Vec::new();
        for context in 0..contexts as usize {
            let own = context * samples as usize..(context + 1) * samples as usize;
            let mean = rewards[own.clone()].iter().sum::<f64>() / samples as f64;
            let mut sums = BTreeMap::new();
            for index in own {
                *sums.entry(actions[index] as i64).or_insert(0.0) += (rewards[index] - mean) / samples as f64;
            }
            let weighted = sums.into_iter().filter(|(_, advantage)| *advantage != 0.0);
            further.extend(weighted.map(|(action, advantage)| (context, action, advantage)));
        }
        Rows { contexts: contexts as usize, further }
    }

    /// The batch for the logits of all contexts. Its shape is `[rows, 1]`: each row is a sequence of one token.
    pub(super) fn fields(&self, logits: &[Tensor]) -> Fields {
        let (kind, device) = (logits[0].kind(), logits[0].device());
        let owners = (0..self.contexts).chain(self.further.iter().map(|(context, ..)| *context));
        let rows: Vec<&Tensor> = owners.map(|context| &logits[context]).collect();
        // A context's row has no action; any will do, since its advantage is zero.
        let own = (0..self.contexts).map(|_| (0, 0.0));
        let (actions, advantages): (Vec<i64>, Vec<f64>) =
            own.chain(self.further.iter().map(|(_, action, advantage)| (*action, *advantage))).unzip();
        let column = |tensor: Tensor| tensor.unsqueeze(1).to_device(device);
        Fields {
            logits: Tensor::stack(&rows, 0).unsqueeze(1),
            actions: column(Tensor::from_slice(&actions)),
            response_mask: Tensor::ones([rows.len() as i64, 1], (Kind::Bool, device)),
            advantages: column(Tensor::from_slice(&advantages)).to_kind(kind),
            whole: column(Tensor::arange(rows.len() as i64, (Kind::Int64, device)).lt(self.contexts as i64)),
        }
    }
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.flatten(0, -1).to_device(tch::Device::Cpu)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::random::Random;
    use tch::Device;

    fn f64s(values: &[f64], shape: [i64; 2]) -> Tensor {
        Tensor::from_slice(values).reshape(shape)
    }

    /// Three contexts with four samples: no success, two of four (one action twice), all.
    fn sampled() -> (Tensor, Tensor) {
        let actions = Tensor::from_slice(&[0i64, 1, 2, 3, 4, 4, 2, 0, 1, 1, 1, 1]).reshape([3, 4]);
        let rewards = f64s(&[0., 0., 0., 0., 1., 1., 0., 0., 1., 1., 1., 1.], [3, 4]);
        (actions, rewards)
    }

    #[test]
    fn only_contexts_with_success_and_failure_have_further_rows() {
        let (actions, rewards) = sampled();
        let rows = Rows::new(&actions, &rewards);
        assert_eq!(rows.further, [(1, 0, -0.125), (1, 2, -0.125), (1, 4, 0.25)]);
    }

    #[test]
    fn the_gradient_is_that_of_all_samples_and_of_each_context_once() {
        let (actions, rewards) = sampled();
        let policy = Random::at(1, 0, "test").normal(&[3, 5], 1.0, Device::Cpu).to_kind(Kind::Double);
        let contexts: Vec<Tensor> =
            policy.unbind(0).iter().map(|row| row.copy().set_requires_grad(true)).collect();
        let fields = Rows::new(&actions, &rewards).fields(&contexts);
        let logp = fields.logits.log_softmax(-1, Kind::Double);
        let chosen = logp.gather(-1, &fields.actions.unsqueeze(-1), false).squeeze_dim(-1);
        let entropy = -(logp.exp() * &logp).sum_dim_intlist([-1i64].as_slice(), false, Kind::Double);
        let loss: Tensor = -(&fields.advantages * chosen).sum(Kind::Double)
            - 0.3 * (entropy * fields.whole.to_kind(Kind::Double)).sum(Kind::Double);
        loss.backward();
        let gradients: Vec<Tensor> = contexts.iter().map(Tensor::grad).collect();

        let whole = policy.set_requires_grad(true);
        let logp = whole.log_softmax(-1, Kind::Double);
        let advantages = &rewards - rewards.mean_dim([-1i64].as_slice(), true, Kind::Double);
        let all: Tensor = -(advantages * logp.gather(1, &actions, false)).sum(Kind::Double) / 4.0
            + 0.3 * (logp.exp() * &logp).sum(Kind::Double);
        all.backward();
        let difference = (Tensor::stack(&gradients, 0) - whole.grad()).abs().max().double_value(&[]);
        assert!(difference < 1e-15, "{difference}");
    }
}
