//! Makes objects from the constant arguments of calls.

use super::args::positional_after_named;
use super::statements::empty_range;
use super::{Checker, Outcome, Value};
use crate::diag::Diagnostic;
use crate::plugin::{ArgError, ArgNode, ArgSource, Entry, Plugin, build};
use crate::program::{Object, Op};
use crate::syntax::ast::{Arg, ArgValue, Expr, Name};

/// An object made from the constant arguments of a call, with the remaining arguments.
pub(super) struct Made<'a, T: ?Sized + Plugin> {
    pub object: Object<T>,
    pub constants: Vec<ArgNode>,
    /// Arguments that can only be inputs.
    pub rest: Vec<&'a Arg>,
}

impl<'a> Checker<'a> {
    /// Makes an object from the arguments that are constants.
    pub(super) fn make<T: ?Sized + Plugin>(
        &mut self,
        entry: &'static Entry<T>,
        callee: &Name,
        args: &'a [Arg],
    ) -> Outcome<Made<'a, T>> {
        let mut constants: Vec<ArgNode> = Vec::new();
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
            if entry.declaration.parameter(&name.node).is_none() {
                rest.push(arg);
                continue;
            }
            if constants.iter().any(|other| other.name == name.node) {
                let message = format!("`{}` is given twice", name.node);
                failed = Some(self.report(Diagnostic::error("duplicate-argument", arg.span, message)));
                continue;
            }
            match self.constant_argument(&name.node, arg) {
                Ok(value) => constants.push(ArgNode { name: name.node.clone(), span: arg.span, value }),
                Err(reported) => failed = Some(reported),
            }
        }
        if let Some(reported) = failed {
            return Err(reported);
        }
        match build(entry, &constants) {
            Ok(value) => Ok(Made { object: Object::new(entry, value), constants, rest }),
            Err(error) => {
                let span = error.arg.map_or(callee.span, |index| constants[index].span);
                Err(self.report(error.message.at(span)))
            }
        }
    }

    fn constant_argument(&mut self, name: &str, arg: &'a Arg) -> Outcome<ArgSource> {
        match &arg.value {
            ArgValue::Expr(expr) => {
                let value = self.expr(expr)?;
                self.constant(name, value, expr)
            }
            ArgValue::Range { lo, hi } => {
                let (low, high) = (self.constant_number(name, lo), self.constant_number(name, hi));
                let (low, high) = (low?, high?);
                if low > high {
                    return Err(self.report(empty_range(arg.span, low, high)));
                }
                Ok(ArgSource::Range(low, high))
            }
        }
    }

    fn constant_number(&mut self, name: &str, expr: &'a Expr) -> Outcome<f64> {
        let value = self.expr(expr)?;
        match self.constant(name, value, expr)? {
            ArgSource::Number(value) => Ok(value),
            _ => Err(self.report(Diagnostic::error("kind-mismatch", expr.span, "expected a number"))),
        }
    }

    fn constant(&mut self, name: &str, value: Value, expr: &Expr) -> Outcome<ArgSource> {
        let id = match value {
            Value::Text(text) => return Ok(ArgSource::String(text)),
            Value::Node(id) => id,
        };
        match self.builder.node(id).op {
            Op::Constant(value) => Ok(ArgSource::Number(value)),
            Op::Boolean(value) => Ok(ArgSource::Bool(value)),
            _ => {
                let ty = self.builder.node(id).ty;
                Err(self.report(
                    Diagnostic::error(
                        "argument-not-constant",
                        expr.span,
                        format!(
                            "expected a number or a `param` for `{name}`, found a `{ty}` that is computed"
                        ),
                    )
                    .help("what is computed can be multiplied into the formula instead"),
                ))
            }
        }
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
