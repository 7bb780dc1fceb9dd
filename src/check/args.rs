//! Assigns arguments to parameters.

use super::elsewhere::unknown_argument;
use super::{Checker, Outcome};
use crate::diag::{Diagnostic, Message};
use crate::syntax::ast::{Arg, ArgValue, Expr, Name};

/// A parameter that an argument can fill.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot<'s> {
    pub name: &'s str,
    pub required: bool,
}

impl<'a> Checker<'a> {
    /// Assigns expressions to slots, by position and by name.
    pub(super) fn bind(
        &mut self,
        callee: &Name,
        args: &'a [Arg],
        slots: &[Slot<'_>],
    ) -> Outcome<Vec<Option<&'a Expr>>> {
        let mut filled: Vec<Option<&'a Expr>> = vec![None; slots.len()];
        let mut failed = None;
        let mut named = false;
        for (position, arg) in args.iter().enumerate() {
            let slot = match &arg.name {
                Some(name) => {
                    named = true;
                    slots.iter().position(|slot| slot.name == name.node)
                }
                None if named => {
                    failed = Some(self.report(positional_after_named(arg)));
                    continue;
                }
                None => (position < slots.len()).then_some(position),
            };
            let Ok(expr) = self.expression_argument(arg) else {
                failed = Some(super::Reported);
                continue;
            };
            match slot {
                Some(slot) if filled[slot].is_none() => filled[slot] = Some(expr),
                Some(slot) => {
                    let message = format!("`{}` is given twice", slots[slot].name);
                    failed = Some(self.report(Diagnostic::error("duplicate-argument", arg.span, message)));
                }
                None => failed = Some(self.report(stray(callee, arg, slots))),
            }
        }
        let missing: Vec<&str> = slots
            .iter()
            .zip(&filled)
            .filter(|(slot, value)| slot.required && value.is_none())
            .map(|(slot, _)| slot.name)
            .collect();
        if !missing.is_empty() && failed.is_none() {
            let message = Message::new(
                "missing-argument",
                format!("`{}` needs {}", callee.node, crate::plugin::quoted(&missing)),
            )
            .help(format!(
                "write `{}({})`",
                callee.node,
                slots.iter().map(|slot| slot.name).collect::<Vec<_>>().join(", ")
            ));
            failed = Some(self.report(message.at(callee.span)));
        }
        failed.map_or(Ok(filled), Err)
    }

    /// The expression of an argument that cannot be a range.
    pub(super) fn expression_argument(&mut self, arg: &'a Arg) -> Outcome<&'a Expr> {
        match &arg.value {
            ArgValue::Expr(expr) => Ok(expr),
            ArgValue::Range { .. } => Err(self.report(
                Diagnostic::error("unexpected-range", arg.span, "expected a value, found a range").help(
                    "a range is an argument of terms and controllers that ask for one, such as `target`",
                ),
            )),
        }
    }
}

/// The error for an argument that fits no slot.
pub(super) fn stray(callee: &Name, arg: &Arg, slots: &[Slot<'_>]) -> Diagnostic {
    let names: Vec<&str> = slots.iter().map(|slot| slot.name).collect();
    match &arg.name {
        Some(name) => unknown_argument(&callee.node, &name.node, names).at(name.span),
        None => Diagnostic::error(
            "too-many-arguments",
            arg.span,
            format!("expected at most {} for `{}`", count(slots.len()), callee.node),
        ),
    }
}

pub(super) fn positional_after_named(arg: &Arg) -> Diagnostic {
    Diagnostic::error(
        "positional-after-named",
        arg.span,
        "expected a named argument, found one without a name",
    )
    .help("arguments without names come first")
}

fn count(n: usize) -> String {
    match n {
        1 => "one argument".to_owned(),
        n => format!("{n} arguments"),
    }
}
