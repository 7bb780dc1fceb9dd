//! Generalised advantage estimation, and with values of 0 the discounted return.

use super::backward::{backward, behind};
use crate::plugin::prelude::*;
use tch::Kind as Float;

crate::term! {
    /// The generalised advantage estimate of a token: what came after it, against what the critic expected.
    ///
    /// Formula, over the valid tokens of a sequence, with the values `V`, which are 0 after the last of them:
    ///
    ///     r_t = token_rewards_t, and rewards besides at the last token
    ///     δ_t = r_t + gamma · V_{t+1} - V_t
    ///     A_t = δ_t + gamma · clamp(lam, 0, 1) · A_{t+1}
    ///
    /// A token that does not count is passed over: the one before it is followed by the one behind it.
    ///
    /// Inputs, all constants for the gradient:
    ///
    /// - `rewards`: seq, the outcome
    /// - `old_values`: token. With `old_values = 0` and `lam = 1` the estimate is the discounted return
    /// - `token_rewards = 0`: token, such as `-beta * kl(log_prob = old_log_prob, estimator = "k1")`
    /// - `lam = 1`: seq, or one number. VAPO's depends on the length: `1 - 1 / (0.05 * seq_sum(response_mask))`
    ///
    /// And:
    ///
    /// - `gamma = 1`, in `0 .. 1`: how much the next token's future is worth
    ///
    /// Result: token, in the unit of the rewards. Extra: `returns`, `A + V`, the critic's target.
    ///
    /// Gradient: none. verl whitens what comes out, `whitened(gae())`, and takes the returns from before.
    ///
    /// Errors: a `gamma` outside `0 .. 1`.
    ///
    /// Source: Schulman et al., arXiv 1506.02438; verl `compute_gae_advantage_return`, OpenRLHF
    /// `get_advantages_and_returns`, AReaL, TRL PPO (`lam` 0.95); VAPO, arXiv 2504.05118, with a `lam` for the policy and 1
    /// for the critic.
    ///
    /// Aliases: `generalized_advantage_estimation` (rlax, NeMo-RL).
    "gae" => Gae, example = "gae(gamma = 0.99, lam = 0.95)"
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Gae {
    gamma: f64,
}

impl Default for Gae {
    fn default() -> Self {
        Self { gamma: 1.0 }
    }
}

impl Term for Gae {
    fn signature(&self) -> Signature {
        Signature::new(Type::TOKEN)
            .input(Input::field("rewards", Type::SEQ).detached())
            .input(Input::field("old_values", Type::TOKEN).detached())
            .input(Input::constant("token_rewards", Type::TOKEN, 0.0).detached())
            .input(Input::constant("lam", Type::SEQ, 1.0).detached())
            .extra(Extra::new("returns", Type::TOKEN).unit(Unit::Reward))
            .unit(Unit::Reward)
            .reach(Reach::Sequence)
            .detached()
    }

    fn check(&self) -> Result<(), ArgError> {
        ArgError::in_range("gamma", self.gamma, 0.0, 1.0)
            .map_err(|error| error.help("`gamma = 1` does not discount"))
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        let values = ctx.input("old_values");
        let valid = ctx.mask().to_kind(values.kind());
        let skipped = 1.0 - &valid;
        let left =
            valid.sum_dim_intlist([1i64].as_slice(), true, None::<Float>) - valid.cumsum(1, None::<Float>);
        let last = &valid * left.lt(0.5).to_kind(values.kind());
        let rewards = ctx.input("token_rewards") + last * ctx.input("rewards").unsqueeze(1);
        // The next value that counts is carried over tokens that do not.
        let next = behind(&backward(&ctx.masked(values), &skipped), 1);
        let surprise = ctx.masked(&(rewards + next * self.gamma - values));
        let lam = ctx.input("lam").clamp(0.0, 1.0).unsqueeze(1);
        let advantage = backward(&surprise, &(lam * self.gamma * &valid + skipped));
        let returns = &advantage + values;
        Ok(TermValue::from(advantage).with("returns", returns))
    }
}
