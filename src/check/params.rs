//! Values known before a program runs: parameters, what the host sets them to, and settings.

use super::scope::Meaning;
use super::statements::{defined_name, empty_range};
use super::{Checker, Value};
use crate::diag::Diagnostic;
use crate::interval::Interval;
use crate::near::nearest;
use crate::plugin::quoted;
use crate::program::Param;
use crate::span::{SourceId, Span, Spanned};
use crate::syntax::ast::{Expr, ExprKind, Name, Number, StatementKind};

impl<'a> Checker<'a> {
    pub(super) fn param(
        &mut self,
        source: SourceId,
        name: &'a Name,
        value: &Spanned<Number>,
        range: Option<&(Spanned<Number>, Spanned<Number>)>,
    ) {
        let default = value.node.value;
        let mut interval = None;
        if let Some((lo, hi)) = range {
            if lo.node.value > hi.node.value {
                self.report(empty_range(lo.span.to(hi.span), lo.node.value, hi.node.value));
            } else {
                interval = Some(Interval::new(lo.node.value, hi.node.value));
            }
        }
        if let Some(interval) = interval
            && !interval.contains(default)
        {
            let message = format!("expected `{}` in {interval}, found {default}", name.node);
            let range_span = range.map_or(value.span, |(lo, hi)| lo.span.to(hi.span));
            self.report(
                Diagnostic::error("param-out-of-range", value.span, message)
                    .label(range_span, "its range is given here"),
            );
        }
        let given = self.overrides.get(&name.node).copied();
        if let (Some(given), Some(interval)) = (given, interval)
            && !interval.contains(given)
        {
            let range_span = range.map_or(value.span, |(lo, hi)| lo.span.to(hi.span));
            self.report(
                Diagnostic::error(
                    "param-out-of-range",
                    range_span,
                    format!("expected `{}` in {interval}, found {given}", name.node),
                )
                .note("the value was set from outside"),
            );
        }
        let value = given.unwrap_or(default);
        // A value outside its range would also be outside the range of each argument that uses it.
        let meaning = match interval {
            Some(interval) if !interval.contains(value) => Meaning::Poisoned,
            _ => Meaning::Value(Value::Node(self.builder.constant(value, name.span))),
        };
        self.define(name, "param", meaning);
        if source != SourceId(0)
            && let Some(binding) = self.scope.names.get_mut(name.node.as_str())
        {
            binding.used = true;
        }
        self.params.push(Param { name: name.node.clone(), value, default, range: interval });
    }

    pub(super) fn unknown_overrides(&mut self) {
        for (name, value) in self.overrides {
            if self.params.iter().any(|param| param.name == *name) {
                if !value.is_finite() {
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

    /// The keyword of the statement in the compiled file that defines a name whose value is not known yet.
    fn keyword_of(&self, name: &str) -> Option<&'static str> {
        let statements = self.bundle.file(SourceId(0)).statements.iter();
        statements.filter_map(defined_name).find(|(of, _)| of.node == name).map(|(_, keyword)| keyword)
    }

    pub(super) fn setting(&mut self, name: &'a Name, value: &'a Expr) {
        if name.node != "temperature" {
            self.report(
                Diagnostic::error(
                    "unknown-setting",
                    name.span,
                    format!("there is no setting `{}`", name.node),
                )
                .help("the one setting is `temperature`"),
            );
            return;
        }
        if let Some(first) = self.temperature_set.replace(name.span) {
            self.report(
                Diagnostic::error("duplicate-name", name.span, "`temperature` is set twice")
                    .label(first, "it is set here first")
                    .help("it holds for the whole file: keep one of them"),
            );
            return;
        }
        if let ExprKind::Name(of) = &value.kind
            && let Some(keyword) = self.keyword_of(of)
        {
            let message = format!("expected a number or a `param`, found the {keyword} `{of}`");
            self.report(
                Diagnostic::error("invalid-temperature", value.span, message)
                    .help("the temperature is fixed before a program runs"),
            );
            return;
        }
        let Ok(value_id) = self.expr(value) else { return };
        match value_id {
            Value::Node(id) => match self.builder.as_constant(id) {
                Some(temperature) if temperature > 0.0 && temperature.is_finite() => {
                    self.temperature = temperature;
                }
                Some(temperature) => {
                    self.report(Diagnostic::error(
                        "invalid-temperature",
                        value.span,
                        format!("expected a temperature above zero, found {temperature}"),
                    ));
                }
                None => {
                    self.report(
                        Diagnostic::error(
                            "invalid-temperature",
                            value.span,
                            "expected a number or a `param`",
                        )
                        .help("the temperature is fixed before a program runs"),
                    );
                }
            },
            Value::Text(_) => {
                self.report(Diagnostic::error(
                    "invalid-temperature",
                    value.span,
                    "expected a number or a `param`, found a string",
                ));
            }
        }
    }
}
