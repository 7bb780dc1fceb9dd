//! `set temperature`: a number, a batch field with that of each row, or a coefficient that gives that of each step.

use super::statements::defined_name;
use super::{Checker, Value};
use crate::diag::Diagnostic;
use crate::program::TemperatureOf;
use crate::rows::FieldName;
use crate::span::{SourceId, Span};
use crate::syntax::ast::{ArgValue, Expr, ExprKind, Name, Statement, StatementKind};
use crate::types::{InputType, Kind, Shape, Type};

/// What stands for a temperature that moves until the whole file is known: no term has it as its own, so that none shares a
/// statistic with those that follow the file's.
const UNKNOWN: f64 = f64::from_bits(0x6E37_E43C_8800_759C);

const EXPECTED: &str = "expected a number, a `param`, a coefficient or an `input`";

impl<'a> Checker<'a> {
    /// A `set` statement, before anything else of the file is known.
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
            && let Some((ty, gradient)) = self.declared_input(of)
        {
            self.temperature_of_rows(of, ty, gradient, value.span);
            return;
        }
        if self.comes_later(value) {
            self.temperature = UNKNOWN;
            self.temperature_later = Some(value);
            return;
        }
        let Ok(found) = self.expr(value) else { return };
        let number = match &found {
            Value::Node(id) => self.builder.as_constant(*id),
            Value::Text(_) | Value::Field(_) => None,
        };
        match (number, found) {
            (Some(temperature), _) => self.temperature_is(temperature, value.span),
            (None, Value::Text(_)) => self.no_temperature("a string", value.span),
            (None, Value::Node(id)) => {
                let ty = self.builder.node(id).ty;
                self.no_temperature(&format!("a `{ty}`"), value.span);
            }
            (None, Value::Field(field)) => self.no_temperature(&format!("`{}`", field.sort), value.span),
        }
    }

    /// The temperature that moves, once all names are known.
    pub(super) fn settle_temperature(&mut self) {
        if let TemperatureOf::Row(field) = self.temperature_of
            && let Some(binding) = self.scope.input(field.as_str())
        {
            binding.used = true;
        }
        let Some(value) = self.temperature_later else { return };
        let Ok(found) = self.expr(value) else { return };
        let Value::Node(id) = found else {
            self.no_temperature("no number", value.span);
            return;
        };
        let (ty, interval) = (self.builder.node(id).ty, self.builder.node(id).interval);
        if ty != Type::SCALAR || self.fixed(id).is_none() {
            self.no_temperature(&format!("a `{ty}` that is not fixed during a step"), value.span);
            return;
        }
        if !(interval.lo > 0.0 && interval.hi.is_finite()) {
            let message = format!("expected bounds above zero for the temperature, found {interval}");
            self.report(
                Diagnostic::error("invalid-temperature", value.span, message)
                    .help(format!("clamp it: `set temperature = clamp({value}, 0.1, 2)`")),
            );
            return;
        }
        self.temperature_of = TemperatureOf::Step { node: id, formula: value.to_string() };
    }

    fn temperature_is(&mut self, temperature: f64, span: Span) {
        if temperature > 0.0 && temperature.is_finite() {
            self.temperature = temperature;
            return;
        }
        let message = format!("expected a temperature above zero, found {temperature}");
        self.report(Diagnostic::error("invalid-temperature", span, message));
    }

    fn temperature_of_rows(&mut self, name: &str, ty: InputType, gradient: bool, span: Span) {
        let fits =
            matches!(ty, InputType::Value(Type { shape: Shape::Seq | Shape::Token, kind: Kind::Real }));
        if fits && !gradient {
            self.temperature_of = TemperatureOf::Row(FieldName::new(name));
            return;
        }
        let grad = if gradient { " grad" } else { "" };
        let message =
            format!("expected a `seq` or a `token` for the temperature of each row, found `{ty}{grad}`");
        self.report(
            Diagnostic::error("invalid-temperature", span, message)
                .help(format!("declare it so: `input {name}: seq`")),
        );
    }

    fn no_temperature(&mut self, found: &str, span: Span) {
        self.report(
            Diagnostic::error("invalid-temperature", span, format!("{EXPECTED}, found {found}"))
                .help("a temperature of each row is named alone: `set temperature = sampling_temperature`"),
        );
    }

    /// The type of an `input` of the compiled file, and whether it has gradient.
    fn declared_input(&self, of: &str) -> Option<(InputType, bool)> {
        self.bundle.file(SourceId(0)).statements.iter().find_map(|statement| match &statement.kind {
            StatementKind::Input { name, ty, gradient } if name.node == of => Some((*ty, gradient.is_some())),
            _ => None,
        })
    }

    /// Whether a formula names something that the file defines, or the number of steps.
    fn comes_later(&self, value: &Expr) -> bool {
        let is_later = |name: &str| {
            let plain = name.split(['.', ':']).next().unwrap_or(name);
            let defines = |of: &Statement| match &of.kind {
                StatementKind::Import { alias, .. } => alias.as_ref().is_some_and(|of| of.node == plain),
                _ => defined_name(of).is_some_and(|(of, _)| of.node == plain),
            };
            plain == "step" || self.bundle.files.iter().flat_map(|file| &file.statements).any(defines)
        };
        match &value.kind {
            ExprKind::Number(_) | ExprKind::String(_) | ExprKind::Bool(_) => false,
            ExprKind::Name(name) => is_later(name),
            ExprKind::Call(call) => {
                is_later(&call.callee.node)
                    || call.args.iter().any(|arg| match &arg.value {
                        ArgValue::Expr(value) => self.comes_later(value),
                        ArgValue::Range { .. } => false,
                    })
            }
            ExprKind::Field { base, .. } => self.comes_later(base),
            ExprKind::Unary { operand, .. } => self.comes_later(operand),
            ExprKind::Binary { left, right, .. } => self.comes_later(left) || self.comes_later(right),
        }
    }
}
