//! Makes objects from the constant arguments of calls.

use super::args::positional_after_named;
use super::elsewhere::choice;
use super::incomplete::Other;
use super::moving::Moves;
use super::statements::empty_range;
use super::{Checker, Outcome, Value};
use crate::diag::{Diagnostic, Message};
use crate::plugin::{ArgError, ArgNode, ArgSource, Entry, Parameter, ParameterType, Plugin, build};
use crate::program::{End, NodeId, Object, Op, fitted};
use crate::syntax::ast::{Arg, ArgValue, Expr, ExprKind, Name};
use crate::types::Type;

/// An object made from the constant arguments of a call, with the remaining arguments.
pub(super) struct Made<'a, T: ?Sized + Plugin> {
    pub object: Object<T>,
    pub constants: Vec<ArgNode>,
    /// The values of its moving arguments.
    pub moving: Vec<NodeId>,
    /// The object with its moving arguments at the ends of what they can be.
    pub corners: Vec<Object<T>>,
    /// Arguments that can only be inputs.
    pub rest: Vec<&'a Arg>,
}

impl<'a> Checker<'a> {
    /// Makes an object from the arguments that are constants; the callee reads the `others` besides.
    pub(super) fn make<T: ?Sized + Plugin>(
        &mut self,
        entry: &'static Entry<T>,
        callee: &Name,
        args: &'a [Arg],
        others: &[Other],
    ) -> Outcome<Made<'a, T>> {
        let mut constants: Vec<ArgNode> = Vec::new();
        let mut moves: Vec<Moves> = Vec::new();
        let mut rest = Vec::new();
        let mut failed = None;
        let mut named = false;
        for arg in args {
            let Some(name) = &arg.name else {
                if named {
                    failed = Some(self.report(positional_after_named(arg)));
                }
                rest.push(arg);
                continue;
            };
            named = true;
            let Some(parameter) = entry.declaration.parameter(&name.node) else {
                rest.push(arg);
                continue;
            };
            if constants.iter().any(|other| other.name == name.node) {
                let message = format!("`{}` is given twice", name.node);
                failed = Some(self.report(Diagnostic::error("duplicate-argument", arg.span, message)));
                continue;
            }
            let before = moves.len();
            match self.constant_argument(parameter, arg, &mut moves) {
                Ok(value) => {
                    for moves in &mut moves[before..] {
                        moves.index = constants.len();
                    }
                    constants.push(ArgNode { name: name.node.clone(), span: arg.span, value });
                }
                Err(reported) => failed = Some(reported),
            }
        }
        if let Some(reported) = failed {
            return Err(reported);
        }
        match build(entry, &constants) {
            Ok(value) => {
                let mut object = Object::new(entry, value);
                let corners = self.corners(entry, &constants, &moves)?;
                object.moving = moves.iter().map(|of| of.moving(&constants)).collect();
                let moving = moves.iter().map(|of| of.node).collect();
                Ok(Made { object, constants, moving, corners, rest })
            }
            Err(error) => Err(match error.arg.map(|index| &constants[index]) {
                Some(arg) => {
                    let parameter = entry.declaration.parameter(&arg.name);
                    self.report(refused(error.message, parameter, arg))
                }
                None => match self.incomplete(&entry.declaration, callee, &constants, &rest, others) {
                    Some(reported) => reported,
                    None => self.report(error.message.at(callee.span)),
                },
            }),
        }
    }

    fn constant_argument(
        &mut self,
        parameter: &Parameter,
        arg: &'a Arg,
        moves: &mut Vec<Moves>,
    ) -> Outcome<ArgSource> {
        match &arg.value {
            ArgValue::Expr(expr) => {
                if let Some(diagnostic) = self.choice_without_quotes(parameter, expr) {
                    return Err(self.report(diagnostic));
                }
                let value = self.expr(expr)?;
                self.constant(parameter, value, expr, None, moves)
            }
            ArgValue::Range { lo, hi } => {
                let low = self.constant_number(parameter, lo, End::Low, moves);
                let high = self.constant_number(parameter, hi, End::High, moves);
                let (low, high) = (low?, high?);
                if low > high {
                    return Err(self.report(empty_range(arg.span, low, high)));
                }
                Ok(ArgSource::Range(low, high))
            }
        }
    }

    fn constant_number(
        &mut self,
        parameter: &Parameter,
        expr: &'a Expr,
        end: End,
        moves: &mut Vec<Moves>,
    ) -> Outcome<f64> {
        let value = self.expr(expr)?;
        match self.constant(parameter, value, expr, Some(end), moves)? {
            ArgSource::Number(value) => Ok(value),
            _ => Err(self.report(Diagnostic::error("kind-mismatch", expr.span, "expected a number"))),
        }
    }

    /// A number that is known before the program runs, or before each step.
    fn constant(
        &mut self,
        parameter: &Parameter,
        value: Value,
        expr: &Expr,
        end: Option<End>,
        moves: &mut Vec<Moves>,
    ) -> Outcome<ArgSource> {
        let name = parameter.name;
        let id = match value {
            Value::Text(text) => return Ok(ArgSource::String(text)),
            Value::Field(field) => return Ok(ArgSource::Field(field)),
            Value::Node(id) => id,
        };
        match self.builder.node(id).op {
            Op::Constant(value) => Ok(ArgSource::Number(value)),
            Op::Boolean(value) => Ok(ArgSource::Bool(value)),
            _ if matches!(parameter.ty, ParameterType::Field(_)) => {
                let ty = self.builder.node(id).ty;
                let message = format!("expected {} for `{name}`, found a `{ty}`", parameter.ty);
                Err(self.report(Diagnostic::error("argument-type", expr.span, message)))
            }
            _ => {
                let ty = self.builder.node(id).ty;
                if let Some(start) = self.fixed(id).filter(|_| ty == Type::SCALAR) {
                    moves.push(Moves { index: 0, end, node: id, formula: expr.to_string() });
                    return Ok(ArgSource::Number(fitted(Some(parameter), start)));
                }
                let help = if name == "target" {
                    "take it off the signal instead: `signal = x - goal, target = 0`"
                } else {
                    "what is computed can be multiplied into the formula instead"
                };
                Err(self.report(
                    Diagnostic::error(
                        "argument-not-constant",
                        expr.span,
                        format!(
                            "expected a number, a `param` or a coefficient for `{name}`, found a `{ty}` that is computed from the batch"
                        ),
                    )
                    .help(help),
                ))
            }
        }
    }

    /// The error for a choice such as `"k3"` that is written like a name.
    fn choice_without_quotes(&mut self, parameter: &Parameter, expr: &Expr) -> Option<Diagnostic> {
        let (ParameterType::Choice(choices), ExprKind::Name(name)) = (parameter.ty, &expr.kind) else {
            return None;
        };
        if self.scope.find(name, expr.span.source).is_some() {
            return None;
        }
        let meant = choices.iter().copied().find(|of| of == name).or_else(|| choice(name, choices))?;
        let message = format!("expected a string for `{}`, found the name `{name}`", parameter.name);
        Some(Diagnostic::error("argument-type", expr.span, message).write(&format!("{meant:?}")))
    }

    pub(super) fn check_object(
        &mut self,
        result: Result<(), ArgError>,
        callee: &Name,
        constants: &[ArgNode],
    ) -> Outcome<()> {
        let Err(error) = result else { return Ok(()) };
        let span = constants.iter().find(|arg| arg.name == error.arg).map_or(callee.span, |arg| arg.span);
        let mut diagnostic = Diagnostic::error(error.id, span, error.message);
        diagnostic.help = error.help;
        Err(self.report(diagnostic))
    }
}

/// The error for an argument that its parameter refuses, with what was probably meant.
fn refused(message: Message, parameter: Option<&Parameter>, arg: &ArgNode) -> Diagnostic {
    let diagnostic = message.at(arg.span);
    let (Some(parameter), ArgSource::String(text)) = (parameter, &arg.value) else { return diagnostic };
    let meant = match parameter.ty {
        ParameterType::Choice(choices) => choice(text, choices).map(|of| format!("{of:?}")),
        ParameterType::Range => range_in(text).or_else(|| number_in(text)),
        ParameterType::Number | ParameterType::Whole => number_in(text),
        ParameterType::Bool => matches!(text.as_str(), "true" | "false").then(|| text.clone()),
        _ => None,
    };
    match meant {
        Some(meant) => diagnostic.write(&format!("{} = {meant}", parameter.name)),
        None => diagnostic,
    }
}

/// A range that stands in quotes.
fn range_in(text: &str) -> Option<String> {
    let (lo, hi) = text.split_once("..")?;
    Some(format!("{} .. {}", number_in(lo)?, number_in(hi)?))
}

/// A number that stands in quotes.
fn number_in(text: &str) -> Option<String> {
    let number: f64 = text.trim().parse().ok()?;
    number.is_finite().then(|| number.to_string())
}
