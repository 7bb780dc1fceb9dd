//! The rank of a sample among those of its prompt.

use crate::plugin::prelude::*;

/// The rank of a sample among those of its group, from 0 for the least to 1 for the greatest.
///
/// Formula, with the sequences `G(i)` that have the `group` of `i` and at least one valid token, without `i` itself:
///
///     group_rank(x)_i = Σ_{j ∈ G(i)} ([x_j < x_i] + [x_j = x_i] / 2) / |G(i)|
///
/// So it is the share of the prompt's other samples that this one beats, a tie being half a win. Ties share the mean of
/// their ranks, the mean over a group is 1/2, and the only sample of a group has 1/2.
///
/// A NaN has the rank NaN; it beats no other sample, and no other beats it.
///
/// Result: in `0 .. 1`, whatever the number of samples and the scale of the rewards. As an advantage without outliers
/// `2 * group_rank(rewards) - 1`, which adds up to 0 over a prompt; as a rank from 1 to n
/// `1 + group_rank(rewards) * (group_sum(1) - 1)`.
///
/// Gradient: none. In gradient accumulation it needs the whole step at once, since a group may be cut.
///
/// Source: the mid-rank of Mann and Whitney 1947, SciPy `rankdata(method = "average")`; centred ranks as weights of
/// samples, evolution strategies, arXiv 1703.03864.
#[term(
    name = "group_rank",
    example = "group_rank(rewards)",
    aliases = [Alias::new("rankdata", "SciPy").remark("as a share from 0 to 1")]
)]
struct GroupRank {}

impl Term for GroupRank {
    fn signature() -> Signature {
        Signature::new(Type::SEQ)
            .input(
                Input::required("x", Type::SEQ).detached().positional().docs("What samples are ranked by."),
            )
            .input(Input::field("group", Type::SEQ.to_int()).detached())
            .reach(Reach::Group)
            .interval(Interval::UNIT)
            .detached()
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        let (x, group) = (ctx.input("x"), ctx.input("group"));
        // A row for each sample, a column for each that it is compared with.
        let [own, other] = [x.unsqueeze(1), x.unsqueeze(0)];
        let mates =
            group.unsqueeze(1).eq(&group.unsqueeze(0)).logical_and(&ctx.valid_sequences().unsqueeze(0));
        let count = |of: Tensor| of.logical_and(&mates).sum_dim(1, false, x.dtype());
        // Each sample ties with itself.
        let wins = count(own.gt(&other)) + (count(own.eq(&other)) - 1.0) * 0.5;
        let others = mates.sum_dim(1, false, x.dtype()) - 1.0;
        let rank = others.gt(0.5).where_cond(&(wins / others.clamp_min(1.0)), &x.full_like(0.5));
        // What is not a number has no rank.
        Ok(x.eq(x).where_cond(&rank, x).into())
    }
}
