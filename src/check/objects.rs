//! Calls of registered objects: terms, reductions, controllers.

use super::args::positional_after_named;
use super::statements::empty_range;
use super::{Checker, Outcome, Value};
use crate::diag::Diagnostic;
use crate::kernels::RowStatistic;
use crate::near::nearest;
use crate::plugin::{
    AnyEntry, ArgError, ArgNode, ArgSource, ControllerEntry, Input, InputDefault, Lookup, Reduction,
    ReductionEntry, Term, TermEntry, build, field_names, quoted, registry, unknown_argument,
};
use crate::program::{ControllerDecl, NodeId, Object};
use crate::span::Span;
use crate::syntax::ast::{Arg, ArgValue, Call, Expr, Name};
use crate::types::{Kind, Shape, Type};

/// An object made from the constant arguments of a call, and the arguments that are left.
struct Made<'a, T: ?Sized> {
    value: Box<T>,
    constants: Vec<ArgNode>,
    /// Arguments that can only be inputs.
    rest: Vec<&'a Arg>,
}

impl<'a> Checker<'a> {
    /// A call of a term or a reduction.
    pub(super) fn object_call(&mut self, callee: &Name, args: &'a [Arg], span: Span) -> Outcome<Value> {
        match self.lookup(callee)? {
            AnyEntry::Term(entry) => self.term(entry, callee, args, span).map(Value::Node),
            AnyEntry::Reduction(entry) => self.reduction(entry, callee, args, span).map(Value::Node),
            AnyEntry::Controller(_) => Err(self.report(
                Diagnostic::error(
                    "controller-in-expression",
                    callee.span,
                    format!("`{}` is a controller, not a value", callee.node),
                )
                .help(format!("give it a name first: `controller beta = {}(...)`", callee.node)),
            )),
        }
    }

    /// A `controller` statement.
    pub(super) fn controller(&mut self, name: &'a Name, call: &'a Call, span: Span) -> Outcome<NodeId> {
        let callee = &call.callee;
        let entry = match self.lookup(callee)? {
            AnyEntry::Controller(entry) => entry,
            other => {
                return Err(self.report(
                    Diagnostic::error(
                        "not-a-controller",
                        callee.span,
                        format!("expected a controller, found the {} `{}`", other.kind(), callee.node),
                    )
                    .help(format!("write `let {} = {}(...)`", name.node, callee.node)),
                ));
            }
        };
        self.controller_of(entry, name, call, span)
    }

    fn controller_of(
        &mut self,
        entry: &'static ControllerEntry,
        name: &'a Name,
        call: &'a Call,
        span: Span,
    ) -> Outcome<NodeId> {
        let callee = &call.callee;
        let made = self.make(entry.build, callee, &call.args)?;
        self.check_object(made.value.check(), callee, &made.constants)?;
        let signature = made.value.signature();
        let mut signal = None;
        for arg in &made.rest {
            match &arg.name {
                Some(of) if of.node == "signal" && signature.signal => {
                    let expr = self.expression_argument(arg)?;
                    signal = Some((self.scalar(expr, "a signal")?, expr.span));
                }
                Some(of) => {
                    let mut names: Vec<&str> = field_names(entry.build).unwrap_or(&[]).to_vec();
                    if signature.signal {
                        names.push("signal");
                    }
                    let diagnostic = unknown_argument(&callee.node, &of.node, &names).at(of.span);
                    return Err(self.report(diagnostic));
                }
                None => {
                    return Err(self.report(Diagnostic::error(
                        "too-many-arguments",
                        arg.span,
                        "a controller's arguments have names",
                    )));
                }
            }
        }
        if signature.signal && signal.is_none() {
            return Err(self.report(
                Diagnostic::error(
                    "missing-argument",
                    callee.span,
                    format!("`{}` needs the argument `signal`", callee.node),
                )
                .help("write `signal = token_mean(...)`: what it observes after each step"),
            ));
        }
        if let (Some((id, place)), Some(target)) = (signal, signature.target) {
            let reach = self.builder.node(id).interval;
            if !reach.meets(target) {
                let blame =
                    made.constants.iter().find(|arg| arg.name == "target").map_or(span, |arg| arg.span);
                self.warn(
                    Diagnostic::warning(
                        "target-out-of-reach",
                        blame,
                        format!("the signal cannot reach {target}: its values lie in {}", in_words(reach)),
                    )
                    .label(place, "the signal is this")
                    .help("an entropy over `k` tokens cannot exceed `ln k`, and no entropy is negative"),
                );
            }
        }
        let index = self.controllers.len();
        let object = object(&entry.info, made.value);
        self.controllers.push(ControllerDecl {
            name: name.node.clone(),
            object,
            signal: signal.map(|(id, _)| id),
        });
        Ok(self.builder.controller(index, signature.interval, name.span))
    }

    fn term(
        &mut self,
        entry: &'static TermEntry,
        callee: &Name,
        args: &'a [Arg],
        span: Span,
    ) -> Outcome<NodeId> {
        let made: Made<'a, dyn Term> = self.make(entry.build, callee, args)?;
        let signature = made.value.signature();
        let fields = field_names(entry.build).unwrap_or(&[]);
        // A misspelt argument says more than what its absence leads to.
        let inputs = self.inputs(callee, &signature.inputs, fields, &made.rest, span)?;
        self.check_object(made.value.check(), callee, &made.constants)?;
        let rows = made.value.rows();
        let rows = rows
            .iter()
            .map(|row| {
                let row = RowStatistic { set: row.set, temperature: self.temperature, moment: row.moment };
                self.builder.row(row, span)
            })
            .collect();
        Ok(self.builder.term(object(&entry.info, made.value), inputs, rows, span))
    }

    fn reduction(
        &mut self,
        entry: &'static ReductionEntry,
        callee: &Name,
        args: &'a [Arg],
        span: Span,
    ) -> Outcome<NodeId> {
        // The value to reduce is the first argument, or the one named `x`.
        let position = args.iter().position(|arg| arg.name.as_ref().is_none_or(|name| name.node == "x"));
        let made: Made<'a, dyn Reduction> = self.make(entry.build, callee, args)?;
        self.check_object(made.value.check(), callee, &made.constants)?;
        let signature = made.value.signature();
        let Some(operand) = position.map(|position| &args[position]) else {
            return Err(self.report(
                Diagnostic::error(
                    "missing-argument",
                    callee.span,
                    format!("`{}` needs a value to reduce", callee.node),
                )
                .help(format!("write `{}(x)`", callee.node)),
            ));
        };
        let expr = self.expression_argument(operand)?;
        let value = self.expr(expr)?;
        // Truth values are counted, so either kind may be reduced.
        let id = match value {
            Value::Node(id) => id,
            text @ Value::Text(_) => self.expect_kind(text, Kind::Real, expr.span)?,
        };
        let found = self.builder.node(id).ty;
        if found.shape > signature.from.shape {
            let (from, node) = (signature.from, &callee.node);
            let first = if from.shape == Shape::Seq { "seq_mean" } else { "token_mean" };
            return Err(self.report(
                Diagnostic::error(
                    "shape-mismatch",
                    expr.span,
                    format!("expected a `{from}` for `{node}`, found `{found}`"),
                )
                .help(format!("reduce it first: `{node}({first}(...))`")),
            ));
        }
        if found.shape < signature.from.shape
            && self.builder.as_constant(id).is_none()
            && found.shape == Shape::Scalar
        {
            self.warn(
                Diagnostic::warning(
                    "reduced-scalar",
                    expr.span,
                    format!("`{}` of a `scalar`, which has one value already", callee.node),
                )
                .help("leave the reduction out"),
            );
        }
        let rest: Vec<&'a Arg> =
            made.rest.iter().copied().filter(|arg| !std::ptr::eq(*arg, operand)).collect();
        let fields = field_names(entry.build).unwrap_or(&[]);
        let inputs = self.inputs(callee, &signature.inputs, fields, &rest, span)?;
        Ok(self.builder.reduce(object(&entry.info, made.value), id, inputs, span))
    }

    fn lookup(&mut self, callee: &Name) -> Outcome<AnyEntry> {
        let name = callee.node.as_str();
        match registry().find(name) {
            Lookup::Found(entry) => Ok(entry),
            Lookup::Clash(entries) => {
                let owners: Vec<&str> = entries.iter().map(|entry| entry.info().owner).collect();
                Err(self.report(
                    Diagnostic::error(
                        "ambiguous-name",
                        callee.span,
                        format!("`{name}` is registered by {}", quoted(&owners)),
                    )
                    .help(
                        "a plugin's names should begin with its own: `acme::my_term`; link only one of them",
                    ),
                ))
            }
            Lookup::Unknown => {
                if let Some(&later) = self.scope.later.get(name) {
                    return Err(self.report(
                        Diagnostic::error(
                            "used-before-definition",
                            callee.span,
                            format!("`{name}` is used before it is defined"),
                        )
                        .label(later, "it is defined here")
                        .help("move the definition up"),
                    ));
                }
                if self.scope.names.contains_key(name) || crate::fields::find(name).is_some() {
                    return Err(self.report(
                        Diagnostic::error(
                            "not-a-function",
                            callee.span,
                            format!("`{name}` is a value, not a function"),
                        )
                        .help("leave the parentheses out"),
                    ));
                }
                let mut diagnostic = Diagnostic::error(
                    "unknown-name",
                    callee.span,
                    format!("there is no function or term `{name}`"),
                );
                let functions = self.scope.functions.iter().map(|function| function.name);
                let builtins = super::functions::BUILTINS.iter().map(|builtin| builtin.name);
                if let Some(hint) = registry().link_hint(name) {
                    diagnostic = diagnostic.help(hint);
                } else if let Some(near) =
                    nearest(name, functions.chain(builtins)).or_else(|| registry().nearest(name))
                {
                    diagnostic = diagnostic.help(format!("did you mean `{near}`?"));
                } else {
                    diagnostic = diagnostic.help("`aent terms` lists every registered name");
                }
                Err(self.report(diagnostic))
            }
        }
    }

    /// Makes an object from those arguments that are constants of it.
    fn make<T: ?Sized>(
        &mut self,
        constructor: fn(&mut dyn erased_serde::Deserializer<'_>) -> erased_serde::Result<Box<T>>,
        callee: &Name,
        args: &'a [Arg],
    ) -> Outcome<Made<'a, T>> {
        let fields = field_names(constructor);
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
            let is_constant = match fields {
                Some(fields) => fields.contains(&name.node.as_str()),
                None => name.node != "signal",
            };
            if !is_constant {
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
        match build(constructor, &callee.node, &constants) {
            Ok(value) => Ok(Made { value, constants, rest }),
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
            crate::program::Op::Constant(value) => Ok(ArgSource::Number(value)),
            crate::program::Op::Boolean(value) => Ok(ArgSource::Bool(value)),
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

    fn check_object(
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

    /// The tensors an object reads: given by the call, or batch fields, or constants.
    fn inputs(
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
            InputDefault::Field => match crate::fields::find(input.name) {
                Some(field) => Ok(self.builder.field(field, self.temperature, span)),
                // A plugin may read a batch field of its own, as if the file declared it.
                None => Ok(self.plugin_field(input.name, input.ty, span)),
            },
        }
    }

    fn plugin_field(&mut self, name: &str, ty: Type, span: Span) -> NodeId {
        if let Some(binding) = self.scope.names.get_mut(name)
            && binding.keyword == "input"
        {
            binding.used = true;
        }
        if !self.inputs.iter().any(|input| input.name == name) {
            self.inputs.push(crate::program::InputDecl { name: name.to_owned(), ty });
        }
        self.builder.declared_field(name, ty, span)
    }
}

fn object<T: ?Sized + serde::Serialize>(info: &crate::plugin::Info, value: Box<T>) -> Object<T> {
    Object {
        name: info.name.to_owned(),
        owner: info.owner.to_owned(),
        version: info.version.to_owned(),
        value,
    }
}

fn in_words(interval: crate::interval::Interval) -> String {
    match (interval.lo.is_finite(), interval.hi.is_finite()) {
        (true, true) => format!("{:.4} .. {:.4}", interval.lo, interval.hi),
        (true, false) => format!("{:.4} and above", interval.lo),
        (false, true) => format!("{:.4} and below", interval.hi),
        (false, false) => "every number".to_owned(),
    }
}
