//! The tensors that an object reads besides its constant arguments.

use super::{Checker, Outcome};
use crate::diag::Diagnostic;
use crate::plugin::{Input, InputDefault, unknown_argument};
use crate::program::NodeId;
use crate::span::Span;
use crate::syntax::ast::{Arg, Expr, Name};

impl<'a> Checker<'a> {
    /// The tensors an object reads: given by the call, or batch fields, or constants.
    pub(super) fn inputs(
        &mut self,
        callee: &Name,
        inputs: &[Input],
        fields: &[&'static str],
        args: &[&'a Arg],
        span: Span,
    ) -> Outcome<Vec<NodeId>> {
        let mut given: Vec<Option<&'a Expr>> = vec![None; inputs.len()];
        let mut failed = None;
        let mut position = 0;
        for arg in args {
            let slot = if let Some(name) = &arg.name {
                inputs.iter().position(|input| input.name == name.node)
            } else {
                position += 1;
                (position <= inputs.len()).then(|| position - 1)
            };
            let expr = match self.expression_argument(arg) {
                Ok(expr) => expr,
                Err(reported) => {
                    failed = Some(reported);
                    continue;
                }
            };
            match (slot, &arg.name) {
                (Some(slot), _) if given[slot].is_none() => given[slot] = Some(expr),
                (Some(slot), _) => {
                    let message = format!("`{}` is given twice", inputs[slot].name);
                    failed = Some(self.report(Diagnostic::error("duplicate-argument", arg.span, message)));
                }
                (None, Some(name)) => {
                    let known: Vec<&str> =
                        fields.iter().copied().chain(inputs.iter().map(|input| input.name)).collect();
                    let diagnostic = unknown_argument(&callee.node, &name.node, &known).at(name.span);
                    failed = Some(self.report(diagnostic));
                }
                (None, None) => {
                    let message = format!("`{}` takes no further argument without a name", callee.node);
                    let mut diagnostic = Diagnostic::error("too-many-arguments", arg.span, message);
                    if let Some(first) = fields.first() {
                        diagnostic = diagnostic.help(format!("name it, as in `{first} = ...`"));
                    }
                    failed = Some(self.report(diagnostic));
                }
            }
        }
        let mut nodes = Vec::new();
        for (input, expr) in inputs.iter().zip(given) {
            match self.input_node(callee, input, expr, span) {
                Ok(node) => nodes.push(node),
                Err(reported) => failed = Some(reported),
            }
        }
        failed.map_or(Ok(nodes), Err)
    }

    fn input_node(
        &mut self,
        callee: &Name,
        input: &Input,
        given: Option<&'a Expr>,
        span: Span,
    ) -> Outcome<NodeId> {
        if let Some(expr) = given {
            let id = self.of_kind(expr, input.ty.kind)?;
            let found = self.builder.node(id).ty;
            return if found.fits(input.ty) {
                Ok(id)
            } else {
                Err(self.report(Diagnostic::error(
                    "shape-mismatch",
                    expr.span,
                    format!(
                        "expected a `{}` for `{}` of `{}`, found `{found}`",
                        input.ty, input.name, callee.node
                    ),
                )))
            };
        }
        match input.default {
            InputDefault::Constant(value) => Ok(self.builder.constant(value, span)),
            InputDefault::Required => Err(self.report(
                Diagnostic::error(
                    "missing-argument",
                    callee.span,
                    format!("`{}` needs the argument `{}`", callee.node, input.name),
                )
                .help(format!("write `{}({} = ...)`", callee.node, input.name)),
            )),
            InputDefault::Field => self.default_field(callee, input, span),
        }
    }
}
