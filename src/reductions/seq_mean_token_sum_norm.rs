//! The mean over sequences of their sums over tokens, divided by a constant length.

use crate::plugin::prelude::*;

crate::reduction! {
    /// The sum inside each sequence divided by a constant, then the mean over sequences: token to scalar.
    ///
    /// Formula, with the mask `m` and the number `B₊` of sequences with a valid token in the step:
    ///
    ///     seq_mean_token_sum_norm(x, length = L) = (1 / (B₊ L)) Σ_i Σ_t m_it x_it
    ///
    /// - `length`, positive: by default the padded length T of the step (of its longest micro-batch). A constant such
    ///   as the longest completion allowed makes steps comparable
    ///
    /// Every token of a sequence weighs the same, whatever the length. Without a valid token it is 0.
    ///
    /// Gradient: `m_it / (B₊ L)`.
    ///
    /// Errors: a `length` that is not positive.
    ///
    /// Source: Dr. GRPO, arXiv 2503.20783; verl `seq-mean-token-sum-norm` (`loss_scale_factor`; until 2026 without
    /// `B₊`), TRL `dr_grpo` (divides by B and `max_completion_length`), SkyRL `seq_mean_token_sum_norm`.
    "seq_mean_token_sum_norm" => SeqMeanTokenSumNorm,
    example = "seq_mean_token_sum_norm(log_prob, length = 1024)"
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SeqMeanTokenSumNorm {
    #[serde(default)]
    length: Option<f64>,
}

impl Reduction for SeqMeanTokenSumNorm {
    fn signature(&self) -> ReductionSignature {
        ReductionSignature::new(Type::TOKEN, Type::SCALAR).not_a_mean()
    }

    fn check(&self) -> Result<(), ArgError> {
        self.length.map_or(Ok(()), |length| ArgError::positive("length", length))
    }

    fn reduce(&self, x: &Tensor, ctx: &TermContext<'_>) -> Result<Tensor, EvalError> {
        let length = self.length.unwrap_or(ctx.counts().width.max(1) as f64);
        Ok(x.sum(x.kind()) / (&ctx.counts().sequences * length))
    }
}
