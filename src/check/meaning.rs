//! Lints for formulas whose shapes agree and whose meanings do not: scales, bounds, comparisons, divisors.

use super::Checker;
use crate::diag::Diagnostic;
use crate::interval::Interval;
use crate::plugin::Reduction;
use crate::program::{BinaryFn, NodeId, Object, Op, UnaryFn};
use crate::span::Span;
use crate::types::{Shape, Unit};

impl Checker<'_> {
    /// Warns of a log-probability combined with a probability: the shapes agree and the meanings do not. Returns whether
    /// it did.
    pub(super) fn warn_of_scales(&mut self, a: NodeId, b: NodeId, span: Span, verb: &str) -> bool {
        let (left, right) = (self.builder.node(a).unit, self.builder.node(b).unit);
        let crossed = (left.is_logarithmic() && right.is_probability_scale())
            || (left.is_probability_scale() && right.is_logarithmic());
        if crossed {
            self.warn(
                Diagnostic::warning("unit-mismatch", span, format!("a {left} is {verb} with a {right}"))
                    .help("bring both to one scale with `exp` or `log`"),
            );
        }
        crossed
    }

    /// Warns of a log-probability that is added to a probability. A ratio and its logarithm may meet: `exp(x) - x - 1` is an
    /// estimate of a divergence.
    pub(super) fn warn_of_sum(&mut self, a: NodeId, b: NodeId, span: Span) {
        let units = (self.builder.node(a).unit, self.builder.node(b).unit);
        if matches!(units, (Unit::LogProb, Unit::Probability) | (Unit::Probability, Unit::LogProb)) {
            self.warn(
                Diagnostic::warning("unit-mismatch", span, "a log-probability and a probability are added")
                    .help("bring both to one scale with `exp` or `log`"),
            );
        }
    }

    /// Warns of bounds that belong to the other scale, and of a constant between bounds that are computed.
    pub(super) fn warn_of_clamp(&mut self, x: NodeId, bounds: (NodeId, NodeId), span: Span) {
        let (unit, interval) = (self.builder.node(x).unit, self.builder.node(x).interval);
        let constant = |id: NodeId| self.builder.as_constant(id);
        let (lo, hi) = (constant(bounds.0), constant(bounds.1));
        if constant(x).is_some() && (lo.is_none() || hi.is_none()) {
            self.warn(
                Diagnostic::warning(
                    "clamped-constant",
                    span,
                    "a constant is clamped between bounds that are computed",
                )
                .help("the value comes first: `clamp(x, 0.8, 1.2)`"),
            );
            return;
        }
        // The size of a log-ratio, `abs(...)`, is never negative, so a positive lower bound is fine.
        if unit == Unit::LogRatio && interval.lo < 0.0 && lo.is_some_and(|lo| lo > 0.0) {
            let message = format!("a {unit} is clamped between positive bounds");
            self.warn(
                Diagnostic::warning("unit-mismatch", span, message)
                    .help("clamp `exp(...)` of it, or give bounds around zero"),
            );
        }
        // A product with an advantage counts as a ratio, too, and may be negative.
        let is_ratio = unit == Unit::Ratio && interval.lo >= 0.0;
        if let (true, Some(lo), Some(hi)) = (is_ratio, lo, hi)
            && !Interval::new(lo, hi).contains(1.0)
        {
            let message = format!("a {unit} is clamped to {lo} .. {hi}, without 1, where the policies agree");
            self.warn(
                Diagnostic::warning("unit-mismatch", span, message)
                    .help("give bounds around one: `clamp(ratio, 0.8, 1.2)`"),
            );
        }
    }

    /// Warns of a comparison that holds nowhere, whatever the batch brings.
    pub(super) fn warn_of_comparison(&mut self, function: BinaryFn, a: NodeId, b: NodeId, span: Span) {
        let (left, right) = (self.builder.node(a), self.builder.node(b));
        // Scalars may be switches of the author's: `use_kl > 0`.
        if left.ty.shape == Shape::Scalar && right.ty.shape == Shape::Scalar {
            return;
        }
        let (x, y) = (left.interval, right.interval);
        let never = match function {
            BinaryFn::Lt => x.lo >= y.hi,
            BinaryFn::Le => x.lo > y.hi,
            BinaryFn::Gt => x.hi <= y.lo,
            BinaryFn::Ge => x.hi < y.lo,
            BinaryFn::Eq => !x.meets(y),
            _ => false,
        };
        if never {
            let message = format!(
                "this comparison never holds: {} is on its left, {} on its right",
                bounds(x),
                bounds(y)
            );
            self.warn(
                Diagnostic::warning("constant-comparison", span, message).help(
                    "a log-probability is at most 0, a probability within 0 .. 1, an entropy at least 0",
                ),
            );
        }
    }

    /// Checks what a value is divided by.
    pub(super) fn divisor(&mut self, value: NodeId, divisor: NodeId, span: Span) {
        if self.builder.as_constant(divisor) == Some(0.0) {
            self.report(Diagnostic::error("division-by-zero", span, "expected a divisor other than zero"));
            return;
        }
        if [value, divisor].iter().all(|id| self.builder.node(*id).unit == Unit::LogProb)
            && self.builder.node(value).ty.shape != Shape::Scalar
        {
            self.warn(
                Diagnostic::warning("unit-mismatch", span, "a quotient of log-probabilities is no ratio")
                    .help("write `exp(log_prob - old_log_prob)`"),
            );
        }
        if self.may_be_zero(divisor) {
            self.warn(
                Diagnostic::warning(
                    "zero-divisor",
                    span,
                    "this divisor is 0 where all of its values are alike",
                )
                .help("add a small number to it: `/ (group_std(rewards) + 1e-6)`"),
            );
        }
    }

    /// Whether a value is a deviation, alone or through functions that keep its 0.
    fn may_be_zero(&self, id: NodeId) -> bool {
        match &self.builder.node(id).op {
            Op::Reduce { object, .. } => is_deviation(&self.builder.reductions[*object]),
            Op::Unary(UnaryFn::Sqrt | UnaryFn::Abs | UnaryFn::Detach, x) => self.may_be_zero(*x),
            _ => false,
        }
    }
}

/// Whether a reduction is a deviation: never negative, and 0 where all values are alike.
pub(super) fn is_deviation(reduction: &Object<dyn Reduction>) -> bool {
    reduction.name() == "group_std"
}

/// `at most 0`, `0 .. 1`, `0.5`.
fn bounds(interval: Interval) -> String {
    // Adding 0 makes 0 of -0.
    let (lo, hi) = (interval.lo + 0.0, interval.hi + 0.0);
    match (lo.is_finite(), hi.is_finite()) {
        (true, true) if lo.to_bits() == hi.to_bits() => lo.to_string(),
        (true, true) => format!("{lo} .. {hi}"),
        (true, false) => format!("at least {lo}"),
        (false, true) => format!("at most {hi}"),
        (false, false) => "any number".to_owned(),
    }
}
