//! The built-in functions of the language.

use super::args::Slot;
use super::{Checker, Outcome, Value};
use crate::diag::Diagnostic;
use crate::program::{BinaryFn, NodeId, UnaryFn};
use crate::span::Span;
use crate::syntax::ast::Call;
use crate::types::{Kind, Shape, Unit};

/// A built-in function: its name, its parameters and one line of documentation.
pub struct Builtin {
    /// The name.
    pub name: &'static str,
    /// The parameters' names.
    pub params: &'static [&'static str],
    /// One line for documentation.
    pub docs: &'static str,
}

const fn builtin(name: &'static str, params: &'static [&'static str], docs: &'static str) -> Builtin {
    Builtin { name, params, docs }
}

/// All functions. `min` and `max` take two or more values.
pub const BUILTINS: &[Builtin] = &[
    builtin("exp", &["x"], "e to the power of `x`"),
    builtin("log", &["x"], "natural logarithm"),
    builtin("sqrt", &["x"], "square root"),
    builtin("abs", &["x"], "absolute value"),
    builtin("sign", &["x"], "-1, 0 or 1"),
    builtin("min", &["a", "b"], "the least of two or more values"),
    builtin("max", &["a", "b"], "the greatest of two or more values"),
    builtin("clamp", &["x", "lo", "hi"], "`x` limited to `lo .. hi`; no gradient outside"),
    builtin("where", &["c", "a", "b"], "`a` where `c` holds, else `b`"),
    builtin("sigmoid", &["x"], "`1 / (1 + exp(-x))`"),
    builtin("tanh", &["x"], "hyperbolic tangent"),
    builtin("softplus", &["x"], "`log(1 + exp(x))`"),
    builtin("detach", &["x"], "`x` without gradient"),
    builtin("quantile", &["x", "q"], "the `q` quantile over the valid tokens, or sequences, of the step"),
    builtin(
        "top_fraction",
        &["x", "p"],
        "whether among the largest `max(1, floor(p·n))` of the `n` valid ones",
    ),
];

/// Whether the language has a function with that name.
pub(super) fn is_builtin(name: &str) -> bool {
    find(name).is_some()
}

fn find(name: &str) -> Option<&'static Builtin> {
    BUILTINS.iter().find(|builtin| builtin.name == name)
}

impl<'a> Checker<'a> {
    /// Checks a call of a built-in function; `None` if it is not one.
    pub(super) fn builtin_call(&mut self, call: &'a Call, span: Span) -> Option<Outcome<Value>> {
        let builtin = find(&call.callee.node)?;
        Some(self.apply_builtin(builtin, call, span).map(Value::Node))
    }

    fn apply_builtin(&mut self, builtin: &'static Builtin, call: &'a Call, span: Span) -> Outcome<NodeId> {
        if matches!(builtin.name, "min" | "max") {
            return self.extremum(builtin.name, call, span);
        }
        let slots: Vec<Slot<'_>> = builtin.params.iter().map(|name| Slot { name, required: true }).collect();
        let args = self.bind(&call.callee, &call.args, &slots)?;
        let exprs: Vec<_> = args.into_iter().flatten().collect();
        let unary = match builtin.name {
            "exp" => Some(UnaryFn::Exp),
            "log" => Some(UnaryFn::Log),
            "sqrt" => Some(UnaryFn::Sqrt),
            "abs" => Some(UnaryFn::Abs),
            "sign" => Some(UnaryFn::Sign),
            "sigmoid" => Some(UnaryFn::Sigmoid),
            "tanh" => Some(UnaryFn::Tanh),
            "softplus" => Some(UnaryFn::Softplus),
            "detach" => Some(UnaryFn::Detach),
            _ => None,
        };
        if let Some(function) = unary {
            let x = self.real(exprs[0])?;
            self.warn_of_domain(function, x, span);
            return Ok(self.builder.unary(function, x, span));
        }
        match builtin.name {
            "clamp" => {
                let parts = [self.real(exprs[0]), self.real(exprs[1]), self.real(exprs[2])];
                let [x, lo, hi] = all(parts)?;
                if let (Some(low), Some(high)) = (self.builder.as_constant(lo), self.builder.as_constant(hi))
                    && low > high
                {
                    let place = exprs[1].span.to(exprs[2].span);
                    return Err(self.report(
                        Diagnostic::error(
                            "empty-range",
                            place,
                            format!("expected bounds from low to high, found {low} and {high}"),
                        )
                        .help(format!("write `clamp(..., {high}, {low})`")),
                    ));
                }
                self.warn_of_clamp(x, (lo, hi), span);
                Ok(self.builder.clamp(x, lo, hi, span))
            }
            "where" => {
                let condition = self.of_kind(exprs[0], Kind::Bool);
                let (a, b) = (self.expr(exprs[1]), self.expr(exprs[2]));
                let (condition, a, b) = (condition?, a?, b?);
                let kind = match &a {
                    Value::Node(id) if self.builder.node(*id).ty.kind == Kind::Bool => Kind::Bool,
                    _ => Kind::Real,
                };
                let parts =
                    [self.expect_kind(&a, kind, exprs[1].span), self.expect_kind(&b, kind, exprs[2].span)];
                let [a, b] = all(parts)?;
                Ok(self.builder.select(condition, a, b, span))
            }
            "quantile" | "top_fraction" => {
                let x = self.real(exprs[0])?;
                if self.builder.node(x).ty.shape == Shape::Scalar {
                    return Err(self.report(Diagnostic::error(
                        "shape-mismatch",
                        exprs[0].span,
                        format!("expected a `token` or `seq` for `{}`, found `scalar`", builtin.name),
                    )));
                }
                let share = self.share(exprs[1], builtin.params[1])?;
                Ok(if builtin.name == "quantile" {
                    self.builder.quantile(x, share, span)
                } else {
                    self.builder.top_fraction(x, share, span)
                })
            }
            other => unreachable!("`{other}` is in the table of functions"),
        }
    }

    fn extremum(&mut self, name: &str, call: &'a Call, span: Span) -> Outcome<NodeId> {
        let function = if name == "min" { BinaryFn::Min } else { BinaryFn::Max };
        let mut parts = Vec::new();
        for arg in &call.args {
            if let Some(name) = &arg.name {
                return Err(self.report(Diagnostic::error(
                    "unknown-argument",
                    name.span,
                    format!("`{}` takes its values without names", call.callee.node),
                )));
            }
            let expr = self.expression_argument(arg)?;
            parts.push(self.real(expr));
        }
        let parts = parts.into_iter().collect::<Outcome<Vec<_>>>()?;
        if parts.len() < 2 {
            return Err(self.report(
                Diagnostic::error(
                    "missing-argument",
                    span,
                    format!("`{name}` needs at least two values, found {}", parts.len()),
                )
                .help("to reduce a `token` or `seq`, use a reduction"),
            ));
        }
        let mut result = parts[0];
        for &part in &parts[1..] {
            self.warn_of_scales(result, part, span, "compared");
            result = self.builder.binary(function, result, part, span);
        }
        Ok(result)
    }

    fn warn_of_domain(&mut self, function: UnaryFn, x: NodeId, span: Span) {
        let node = self.builder.node(x);
        let (unit, interval) = (node.unit, node.interval);
        if function == UnaryFn::Exp && unit.is_probability_scale() {
            self.warn(
                Diagnostic::warning("unit-mismatch", span, format!("`exp` of a {unit}"))
                    .help("`exp` belongs around a difference of log-probabilities"),
            );
        }
        // Only the interval counts: `-log_prob` has the unit of `log_prob`, and a logarithm.
        let is_outside = match function {
            UnaryFn::Log => interval.hi <= 0.0,
            UnaryFn::Sqrt => interval.hi < 0.0,
            _ => false,
        };
        if is_outside {
            let name = function.as_str();
            let message = format!("`{name}` of a value that is never positive");
            let mut diagnostic = Diagnostic::error("outside-domain", span, message);
            if unit == Unit::LogProb {
                diagnostic = diagnostic.help("a log-probability is a logarithm already");
            }
            self.report(diagnostic);
        }
    }

    /// A number between 0 and 1 that holds during a step.
    fn share(&mut self, expr: &'a crate::syntax::ast::Expr, name: &str) -> Outcome<NodeId> {
        let id = self.real(expr)?;
        if self.fixed(id).is_none() {
            return Err(self.report(Diagnostic::error(
                "argument-not-constant",
                expr.span,
                format!("expected a number, a `param` or a coefficient for `{name}`, found a value that is computed from the batch"),
            )));
        }
        let interval = self.builder.node(id).interval;
        if interval.lo >= 0.0 && interval.hi <= 1.0 {
            return Ok(id);
        }
        let found = self.builder.as_constant(id).map_or(interval.to_string(), |value| value.to_string());
        Err(self.report(
            Diagnostic::error(
                "argument-value",
                expr.span,
                format!("expected `{name}` in 0 .. 1, found {found}"),
            )
            .help("shares may be written as percentages: `20%`"),
        ))
    }
}

/// All of several results, each already reported if it failed.
fn all<const N: usize>(parts: [Outcome<NodeId>; N]) -> Outcome<[NodeId; N]> {
    let parts: Vec<NodeId> = parts.into_iter().collect::<Outcome<_>>()?;
    parts.try_into().map_err(|_| super::Reported)
}
