//! Calls of the file's own functions, of built-in functions and of registered objects.

use super::args::Slot;
use super::scope::{Function, Meaning};
use super::{Checker, Frame, MAX_CALL_DEPTH, Outcome, Reported, Value, Valued};
use crate::diag::Diagnostic;
use crate::span::Span;
use crate::syntax::ast::{Call, ExprKind, FnParam, Name};
use crate::types::{Shape, Suits, Unit};
use std::collections::HashMap;
use std::sync::Arc;

impl<'a> Checker<'a> {
    /// Checks a call.
    pub(super) fn call(&mut self, call: &'a Call, span: Span) -> Outcome<Valued> {
        let name = call.callee.node.as_str();
        if let Some((import, member)) = name.split_once('.') {
            let index = self.imported_function(&call.callee, import, member)?;
            return self.function_call(index, call, span);
        }
        if let Some(binding) = self.scope.find(name, call.callee.span.source) {
            match binding.meaning {
                Meaning::Function(index) => {
                    binding.used = true;
                    return self.function_call(index, call, span);
                }
                // It may have been meant as a function; the mistake in its definition is reported.
                Meaning::Poisoned => return Err(Reported),
                Meaning::Value(_) | Meaning::Import(_) => {}
            }
        }
        if let Some(outcome) = self.builtin_call(call, span) {
            return outcome.map(Valued::from);
        }
        self.object_call(&call.callee, &call.args, span).map(Valued::from)
    }

    fn function_call(&mut self, index: usize, call: &'a Call, span: Span) -> Outcome<Valued> {
        let function = self.scope.functions[index];
        if self.frames.iter().any(|frame| frame.function == index) {
            return Err(self.report(
                Diagnostic::error(
                    "recursive-fn",
                    call.callee.span,
                    format!("`{}` calls itself", function.name),
                )
                .help("a formula is finite: write it out"),
            ));
        }
        if self.frames.len() >= MAX_CALL_DEPTH {
            return Err(self.report(Diagnostic::error(
                "nesting-too-deep",
                call.callee.span,
                format!("expected at most {MAX_CALL_DEPTH} functions that call one another in a row"),
            )));
        }
        let slots: Vec<Slot<'_>> = function
            .params
            .iter()
            .map(|param| Slot { name: &param.name.node, required: param.default.is_none() })
            .collect();
        let bound = self.bind(&call.callee, &call.args, &slots)?;
        // The caller's scope evaluates arguments, the function's file evaluates defaults.
        let mut locals = HashMap::new();
        let mut failed = None;
        let by_position = call.args.iter().take_while(|arg| arg.name.is_none()).count();
        for (position, (param, expr)) in function.params.iter().zip(bound).enumerate() {
            let value = match (expr, &param.default) {
                (Some(expr), _) => self.valued(expr),
                (None, Some(default)) => self.default_value(default),
                (None, None) => Err(Reported),
            };
            match value {
                Ok(value) => {
                    // An argument that a function passes on was checked at the outer call.
                    let forwarded = matches!(expr.map(|of| &of.kind), Some(ExprKind::Name(name))
                        if self.frames.last().is_some_and(|frame| frame.locals.contains_key(name.as_str())));
                    if let Some(expr) = expr
                        && !forwarded
                    {
                        self.warn_of_argument(
                            &call.callee,
                            param,
                            position < by_position,
                            &value.value,
                            expr.span,
                        );
                    }
                    self.learn(param.name.span, &value);
                    locals.insert(param.name.node.as_str(), value);
                }
                Err(reported) => failed = Some(reported),
            }
        }
        if let Some(reported) = failed {
            return Err(reported);
        }
        let values: Vec<_> = function.params.iter().map(|param| &locals[param.name.node.as_str()]).collect();
        let key = format!("{index} {values:?}");
        if let Some(outcome) = self.applied.get(&key) {
            return outcome.clone();
        }
        self.frames.push(Frame { function: index, call: span, locals });
        let outcome = self.function_body(function);
        self.frames.pop();
        self.applied.insert(key, outcome.clone());
        outcome
    }

    /// The result of a function whose frame is on top, with its extras.
    fn function_body(&mut self, function: Function<'a>) -> Outcome<Valued> {
        let mut extras = Vec::new();
        let mut failed = None;
        for step in function.steps {
            let name = step.name.node.as_str();
            match self.valued(&step.value) {
                Ok(valued) => {
                    self.learn(step.name.span, &valued);
                    if let (true, Value::Node(id)) = (step.is_extra, &valued.value) {
                        extras.push((step.name.node.clone(), *id));
                    }
                    if let Some(frame) = self.frames.last_mut() {
                        frame.locals.insert(name, valued);
                    }
                }
                Err(reported) => failed = Some(reported),
            }
        }
        if let Some(reported) = failed {
            return Err(reported);
        }
        let result = self.valued(function.body)?;
        if extras.is_empty() { Ok(result) } else { Ok(Valued { extras: Some(Arc::new(extras)), ..result }) }
    }

    /// Warns of an argument that does not fit its parameter's default.
    fn warn_of_argument(
        &mut self,
        callee: &Name,
        param: &FnParam,
        by_position: bool,
        value: &Value,
        span: Span,
    ) {
        let (Some(default), Value::Node(id)) = (&param.default, value) else { return };
        let name = &param.name.node;
        let (constant, node) = (self.builder.as_constant(*id).is_some(), self.builder.node(*id));
        let (shape, found) = (node.ty.shape, node.unit);
        match &default.kind {
            ExprKind::Number(number) if by_position && !constant && shape != Shape::Scalar => {
                let message = format!(
                    "a `{shape}` is given for `{name}` of `{}`, which is {} by default",
                    callee.node, number.value
                );
                self.warn(
                    Diagnostic::warning("positional-tensor", span, message)
                        .help(format!("name the argument that it is meant for: `{name} = ...` or another")),
                );
            }
            ExprKind::Name(field) => {
                let wanted = crate::fields::find(field).map_or(Unit::Unknown, |field| field.unit);
                if found.suits(wanted) != Suits::Well {
                    let (wanted, found) = (wanted.with_article(), found.with_article());
                    let message = format!(
                        "expected {wanted} for `{name}` of `{}`, as its default `{field}` is, found {found}",
                        callee.node
                    );
                    self.warn(
                        Diagnostic::warning("unit-mismatch", span, message)
                            .help("name the argument that it is meant for"),
                    );
                }
            }
            _ => {}
        }
    }

    /// Evaluates a default in the scope of its file, not of the caller.
    fn default_value(&mut self, default: &'a crate::syntax::ast::Expr) -> Outcome<Valued> {
        let frames = std::mem::take(&mut self.frames);
        let outcome = self.valued(default);
        self.frames = frames;
        outcome
    }
}
