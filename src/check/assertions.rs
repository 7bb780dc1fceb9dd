//! What has to hold in every step.

use super::Checker;
use crate::diag::Diagnostic;
use crate::program::{Assertion, Op};
use crate::span::Spanned;
use crate::syntax::ast::Expr;
use crate::types::{Kind, Shape};

impl<'a> Checker<'a> {
    pub(super) fn assertion(&mut self, condition: &'a Expr, message: &Spanned<String>) {
        let Ok(id) = self.of_kind(condition, Kind::Bool) else { return };
        let node = self.builder.node(id);
        let (shape, op) = (node.ty.shape, node.op.clone());
        if shape != Shape::Scalar {
            let each = if shape == Shape::Token { "token_min" } else { "batch_mean" };
            self.report(
                Diagnostic::error(
                    "shape-mismatch",
                    condition.span,
                    format!("expected one truth value for the whole step, found a `{shape}` of them"),
                )
                .help(format!("reduce what is compared, as in `{each}(x) > 0`")),
            );
            return;
        }
        if matches!(op, Op::Boolean(_)) {
            let message =
                "this holds always, or never: nothing in it comes from the batch or from a controller";
            self.warn(Diagnostic::warning("constant-comparison", condition.span, message).help("remove it"));
        }
        let compared = match op {
            Op::Binary(function, a, b) if function.is_comparison() => {
                Some(if self.builder.as_constant(a).is_some() { b } else { a })
            }
            _ => None,
        };
        self.assertions.push(Assertion {
            condition: id,
            compared,
            formula: condition.to_string(),
            message: message.node.clone(),
            span: condition.span,
        });
    }
}
