//! The tensors that an object reads besides its constant arguments.

use super::elsewhere::unknown_argument;
use super::incomplete::missing_arguments;
use super::{Checker, Outcome, Reported, Value};
use crate::diag::Diagnostic;
use crate::plugin::{Declaration, FieldArg, Input, InputDefault, ParameterType, quoted};
use crate::program::{NodeId, Op};
use crate::span::Span;
use crate::syntax::ast::{Arg, Expr, Name};
use crate::types::{Suits, Unit};

impl<'a> Checker<'a> {
    /// The tensors that an object reads: arguments of the call, batch fields or constants.
    pub(super) fn inputs(
        &mut self,
        declaration: &Declaration,
        callee: &Name,
        inputs: &[Input],
        args: &[&'a Arg],
        span: Span,
    ) -> Outcome<Vec<NodeId>> {
        let mut given: Vec<Option<&'a Expr>> = vec![None; inputs.len()];
        let mut failed = None;
        let mut positions = (0..inputs.len()).filter(|slot| inputs[*slot].positional);
        for arg in args {
            let slot = if let Some(name) = &arg.name {
                inputs.iter().position(|input| input.name == name.node)
            } else {
                positions.next()
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
                    let known = declaration.parameter_names();
                    let known = known.chain(inputs.iter().map(|input| input.name));
                    let diagnostic = unknown_argument(&callee.node, &name.node, known).at(name.span);
                    failed = Some(self.report(diagnostic));
                }
                (None, None) => failed = Some(self.nameless(declaration, inputs, arg.span, expr)),
            }
        }
        let missing: Vec<&str> = inputs
            .iter()
            .zip(&given)
            .filter(|(input, expr)| input.default == InputDefault::Required && expr.is_none())
            .map(|(input, _)| input.name)
            .collect();
        // A misspelt argument explains the one that is missing.
        if !missing.is_empty() && failed.is_none() {
            failed = Some(self.report(missing_arguments(callee, &missing)));
        }
        let mut nodes = Vec::new();
        for (input, expr) in inputs.iter().zip(given) {
            if missing.contains(&input.name) {
                continue;
            }
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
                self.check_unit(callee, input, id, expr.span).map(|()| id)
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
            // Reported with all others that are missing.
            InputDefault::Required => Err(Reported),
            InputDefault::Field => self.default_field(callee, input, span),
        }
    }

    /// Reports an argument that needs a name, and suggests the name that fits its value best.
    fn nameless(
        &mut self,
        declaration: &Declaration,
        inputs: &[Input],
        span: Span,
        expr: &'a Expr,
    ) -> Reported {
        // Batch fields that are no values stand for themselves.
        let constants =
            || declaration.parameters.iter().filter(|of| !matches!(of.ty, ParameterType::Field(_)));
        let by_name: Vec<&str> = inputs
            .iter()
            .filter(|of| !of.positional)
            .map(|of| of.name)
            .chain(constants().map(|of| of.name))
            .collect();
        let of_batch = |field: &FieldArg| {
            let sort = field.sort;
            let takes = move |of: &&crate::plugin::Parameter| match of.ty {
                ParameterType::Field(sorts) => sorts.contains(&sort),
                _ => false,
            };
            declaration.parameters.iter().find(takes)
        };
        if constants().count() < declaration.parameters.len()
            && let Ok(Value::Field(field)) = self.expr(expr)
            && let Some(parameter) = of_batch(&field)
        {
            let message = format!("`{}` takes this argument by name", declaration.name);
            let diagnostic = Diagnostic::error("argument-needs-name", span, message);
            return self.report(diagnostic.write(&format!("{} = {}", parameter.name, field.name)));
        }
        if by_name.is_empty() {
            let message = format!("`{}` takes no further argument without a name", declaration.name);
            return self.report(Diagnostic::error("too-many-arguments", span, message));
        }
        let Ok(value) = self.expr(expr) else { return Reported };
        let message = format!("`{}` takes this argument by name", declaration.name);
        let diagnostic = Diagnostic::error("argument-needs-name", span, message);
        if let Value::Text(text) = &value {
            let takes = |of: &&crate::plugin::Parameter| match of.ty {
                ParameterType::Choice(choices) => choices.contains(&text.as_str()),
                _ => false,
            };
            if let Some(parameter) = declaration.parameters.iter().find(takes) {
                return self.report(diagnostic.write(&format!("{} = {text:?}", parameter.name)));
            }
        }
        let (unit, constant) = match value {
            Value::Node(id) => (self.builder.node(id).unit, self.builder.as_constant(id).is_some()),
            Value::Text(_) | Value::Field(_) => (Unit::Unknown, true),
        };
        let fitting = if constant {
            constants().next().map(|of| of.name)
        } else {
            let fits = |of: &&Input| unit != Unit::Unknown && of.expected_unit() == unit;
            inputs.iter().find(fits).map(|of| of.name)
        };
        let help = match fitting {
            Some(name) => format!("write `{name} = ...`; its arguments are {}", quoted(&by_name)),
            None => format!("its arguments are {}", quoted(&by_name)),
        };
        self.report(diagnostic.help(help))
    }

    /// Refuses a value on another scale than its input, and warns of another meaning on the same scale.
    fn check_unit(&mut self, callee: &Name, input: &Input, id: NodeId, span: Span) -> Outcome<()> {
        let wanted = input.expected_unit();
        let node = self.builder.node(id);
        let (found, interval) = (node.unit, node.interval);
        if wanted == Unit::LogProb && interval.lo >= 0.0 && !matches!(node.op, Op::Constant(_)) {
            let what = if found == Unit::LogProb {
                "a negated log-probability".to_owned()
            } else {
                found.with_article()
            };
            let message = format!(
                "expected {} for `{}` of `{}`, found {what}, which is never below 0",
                wanted.with_article(),
                input.name,
                callee.node
            );
            let help = if found.is_probability_scale() {
                "take its logarithm: `log(...)`"
            } else {
                "a log-probability is at most 0"
            };
            return Err(self.report(Diagnostic::error("argument-unit", span, message).help(help)));
        }
        let message = || {
            let (wanted, found) = (wanted.with_article(), found.with_article());
            format!("expected {wanted} for `{}` of `{}`, found {found}", input.name, callee.node)
        };
        match found.suits(wanted) {
            Suits::Well => Ok(()),
            Suits::Scale => {
                self.warn(
                    Diagnostic::warning("unit-mismatch", span, message())
                        .help("both are in nats, and they do not mean the same"),
                );
                Ok(())
            }
            Suits::Not => Err(self.report(Diagnostic::error("argument-unit", span, message()).help(
                format!("name the argument that it is meant for, or make {} of it", wanted.with_article()),
            ))),
        }
    }
}
