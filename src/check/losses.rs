//! The losses of a file: one, or several with names.

use super::gradient::stop;
use super::{Checker, Loss};
use crate::diag::Diagnostic;
use crate::span::Span;
use crate::syntax::ast::{Expr, Name};

impl<'a> Checker<'a> {
    pub(super) fn loss_statement(&mut self, span: Span, name: Option<&'a Name>, value: &'a Expr) {
        let named = name.map(|name| name.node.as_str());
        let same = |of: &&Loss| of.name.as_deref() == named || of.name.is_none() || named.is_none();
        if let Some(first) = self.losses.iter().find(same) {
            let (message, help) = match (named, &first.name) {
                (Some(name), Some(_)) => (
                    format!("there is a loss `{name}` already"),
                    "add the parts into one loss, or give each its own name",
                ),
                (None, None) => (
                    "expected one `loss`, found another".to_owned(),
                    "add the parts into one `loss`, give each a name, as in `loss critic = ...`, or report one of them as a \
                     `metric`",
                ),
                _ => (
                    "expected a name for each of several losses".to_owned(),
                    "a loss without a name is the only one: write `loss policy = ...` and `loss critic = ...`",
                ),
            };
            let first = first.span;
            self.report(
                Diagnostic::error("duplicate-loss", span, message)
                    .label(first, "the first is here")
                    .help(help),
            );
            return;
        }
        let id = self.scalar(value, "a loss").ok();
        self.losses.push(Loss { name: name.map(|name| name.node.clone()), value: id, span });
        if let Some(id) = id
            && !self.builder.node(id).gradient
        {
            let mut diagnostic = Diagnostic::error("no-gradient", value.span, "expected a loss that training can change, found one without gradient")
                .help("a loss needs `log_prob` or another row statistic, not detached; to report a number, use `metric`");
            if let Some(stop) = stop(&self.builder.nodes, &self.builder.terms, id) {
                diagnostic = diagnostic.label(stop.span, stop.cause.to_string());
            }
            self.report(diagnostic);
        }
    }
}
