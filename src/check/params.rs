//! Values known before a program runs: parameters, what the host sets them to, and settings that do not hold.

use super::scope::Meaning;
use super::statements::empty_range;
use super::{Checker, Value, Valued};
use crate::diag::Diagnostic;
use crate::interval::Interval;
use crate::near::nearest;
use crate::plugin::quoted;
use crate::program::{Param, ParamRange, ParamValue};
use crate::span::{SourceId, Span, Spanned};
use crate::syntax::ast::{Name, ParamRange as WrittenRange, ParamValue as Written, StatementKind};
use crate::syntax::comment_above;

impl<'a> Checker<'a> {
    pub(super) fn param(
        &mut self,
        source: SourceId,
        statement: Span,
        name: &'a Name,
        value: &Spanned<Written>,
        range: Option<&WrittenRange>,
    ) {
        let default = match &value.node {
            Written::Number(number) => ParamValue::Number(number.value),
            Written::Bool(value) => ParamValue::Bool(*value),
            Written::Text(text) => ParamValue::Text(text.clone()),
        };
        let allowed = range.and_then(|range| self.allowed(range, &default));
        let range_span = range.map_or(value.span, WrittenRange::span);
        let public = self.scope.public(name);
        if let Some(allowed) = &allowed
            && !allowed.contains(&default)
        {
            let message = format!("expected `{}` {}, found {default}", name.node, within(allowed));
            self.report(
                Diagnostic::error("param-out-of-range", value.span, message)
                    .label(range_span, "its range is given here"),
            );
        }
        let given = self.overrides.get(&public);
        if let Some(given) = given {
            let wanted = if given.kind() == default.kind() {
                allowed.as_ref().filter(|allowed| !allowed.contains(given)).map(within)
            } else {
                Some(format!("to be {}", default.kind()))
            };
            if let Some(wanted) = wanted {
                let message = format!("expected `{public}` {wanted}, found {given}");
                self.report(
                    Diagnostic::error("param-out-of-range", range_span, message)
                        .note("the value was set from outside"),
                );
            }
        }
        let current = given.cloned().unwrap_or_else(|| default.clone());
        // A value outside its range would also be outside the range of each argument that uses it.
        let fits =
            current.kind() == default.kind() && allowed.as_ref().is_none_or(|of| of.contains(&current));
        let meaning = if fits {
            Meaning::Value(Valued::from(match &current {
                ParamValue::Number(value) => Value::Node(self.builder.constant(*value, name.span)),
                ParamValue::Bool(value) => Value::Node(self.builder.boolean(*value, name.span)),
                ParamValue::Text(text) => Value::Text(text.clone()),
            }))
        } else {
            Meaning::Poisoned
        };
        self.define(name, "param", meaning);
        if source != SourceId(0)
            && let Some(binding) = self.scope.find(&name.node, source)
        {
            binding.used = true;
        }
        let docs = comment_above(self.bundle.sources.get(source).text(), statement.start as usize).join("\n");
        self.params.push(Param { name: public, value: current, default, range: allowed, docs });
    }

    /// What a `param` may be set to; `None` if that is reported.
    fn allowed(&mut self, range: &WrittenRange, default: &ParamValue) -> Option<ParamRange> {
        let wrong = match (range, default) {
            (WrittenRange::Numbers(lo, hi), ParamValue::Number(_)) => {
                if lo.node.value <= hi.node.value {
                    return Some(ParamRange::Interval(Interval::new(lo.node.value, hi.node.value)));
                }
                empty_range(range.span(), lo.node.value, hi.node.value)
            }
            (WrittenRange::Choices(choices), ParamValue::Text(_)) => {
                return Some(ParamRange::Choices(choices.iter().map(|choice| choice.node.clone()).collect()));
            }
            (WrittenRange::Numbers(..), _) => Diagnostic::error(
                "kind-mismatch",
                range.span(),
                format!("expected no range of numbers for {}", default.kind()),
            )
            .help("strings have choices: `in \"k1\", \"k3\"`"),
            (WrittenRange::Choices(_), _) => Diagnostic::error(
                "kind-mismatch",
                range.span(),
                format!("expected no choices of strings for {}", default.kind()),
            )
            .help("numbers have a range: `in 0 .. 1`"),
        };
        self.report(wrong);
        None
    }

    pub(super) fn unknown_overrides(&mut self) {
        for (name, value) in self.overrides {
            if self.params.iter().any(|param| param.name == *name) {
                if let ParamValue::Number(value) = value
                    && !value.is_finite()
                {
                    let message = format!("expected a finite number for `{name}`, found {value}");
                    self.report(Diagnostic::error("param-out-of-range", Span::default(), message));
                }
                continue;
            }
            let mut diagnostic = Diagnostic::error(
                "unknown-param",
                Span::default(),
                format!("the file has no `param {name}` that could be set to {value}"),
            );
            let known: Vec<&str> = self.params.iter().map(|param| param.name.as_str()).collect();
            if let Some(near) = nearest(name, known.iter().copied()) {
                diagnostic = diagnostic.help(format!("did you mean `{near}`?"));
            } else if !known.is_empty() {
                diagnostic = diagnostic.help(format!("its parameters are {}", quoted(&known)));
            }
            self.report(diagnostic);
        }
    }

    /// Warns of imports with a `set` that this file does not repeat.
    pub(super) fn ignored_settings(&mut self) {
        if self.temperature_set.is_some() {
            return;
        }
        let bundle = self.bundle;
        for (import, target) in bundle.imports.iter().filter(|(import, _)| import.source == SourceId(0)) {
            for statement in &bundle.file(*target).statements {
                let StatementKind::Set { name, .. } = &statement.kind else { continue };
                let file = bundle.sources.get(*target).name();
                let message = format!("the `set {}` of `{file}` does not hold in this file", name.node);
                self.warn(
                    Diagnostic::warning("ignored-setting", *import, message)
                        .label(statement.span, "it is set here")
                        .help("set it in this file too"),
                );
            }
        }
    }
}

/// `in 0 .. 1`, or `to be one of "k1", "k3"`.
fn within(range: &ParamRange) -> String {
    match range {
        ParamRange::Interval(interval) => format!("in {interval}"),
        ParamRange::Choices(_) => format!("to be one of {range}"),
    }
}
