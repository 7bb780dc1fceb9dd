//! Calls of registered objects: terms, reductions and controllers.

use super::elsewhere::elsewhere;
use super::make::Made;
use super::{Checker, Outcome, Value};
use crate::diag::Diagnostic;
use crate::near::nearest;
use crate::plugin::{
    AnyEntry, ControllerEntry, Lookup, Reduction, ReductionEntry, Term, TermEntry, quoted, registry,
    unknown_argument,
};
use crate::program::{ControllerDecl, NodeId};
use crate::rows::RowStatistic;
use crate::span::Span;
use crate::syntax::ast::{Arg, Call, Name};
use crate::types::{Kind, Shape};

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
        let made = self.make(entry, callee, &call.args)?;
        self.check_object(made.object.value.check(), callee, &made.constants)?;
        let signature = made.object.signature;
        let mut signal = None;
        for arg in &made.rest {
            match &arg.name {
                Some(of) if of.node == "signal" && signature.signal => {
                    let expr = self.expression_argument(arg)?;
                    signal = Some((self.scalar(expr, "a signal")?, expr.span));
                }
                Some(of) => {
                    let signal = signature.signal.then_some("signal");
                    let names = entry.declaration.parameter_names().chain(signal);
                    let diagnostic = unknown_argument(&callee.node, &of.node, names).at(of.span);
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
        if let (Some((id, place)), Some(target)) = (signal, made.object.value.target()) {
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
        let interval = made.object.value.interval();
        self.controllers.push(ControllerDecl {
            name: name.node.clone(),
            object: made.object,
            signal: signal.map(|(id, _)| id),
        });
        Ok(self.builder.controller(index, interval, name.span))
    }

    fn term(
        &mut self,
        entry: &'static TermEntry,
        callee: &Name,
        args: &'a [Arg],
        span: Span,
    ) -> Outcome<NodeId> {
        let made: Made<'a, dyn Term> = self.make(entry, callee, args)?;
        let signature = &made.object.signature;
        // Check the inputs first: a misspelt argument explains more than the error that its absence causes.
        let inputs = self.inputs(&entry.declaration, callee, &signature.inputs, &made.rest, span)?;
        self.check_object(made.object.value.check(), callee, &made.constants)?;
        let rows = signature
            .rows
            .iter()
            .map(|row| {
                let temperature = self.temperature / row.power;
                let row = RowStatistic { set: row.set, temperature, statistic: row.statistic };
                self.builder.row(row, span)
            })
            .collect();
        Ok(self.builder.term(made.object, inputs, rows, span))
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
        let made: Made<'a, dyn Reduction> = self.make(entry, callee, args)?;
        self.check_object(made.object.value.check(), callee, &made.constants)?;
        let signature = &made.object.signature;
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
            text @ Value::Text(_) => self.expect_kind(&text, Kind::Real, expr.span)?,
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
        let inputs = self.inputs(&entry.declaration, callee, &signature.inputs, &rest, span)?;
        Ok(self.builder.reduce(made.object, id, inputs, span))
    }

    fn lookup(&mut self, callee: &Name) -> Outcome<AnyEntry> {
        let name = callee.node.as_str();
        match registry().find(name) {
            Lookup::Found(entry) => Ok(entry),
            Lookup::Clash(entries) => {
                let owners: Vec<&str> = entries.iter().map(|entry| entry.declaration().owner).collect();
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
                let file = callee.span.source;
                if let Some(later) = self.scope.find_later(name, file) {
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
                if self.scope.find(name, file).is_some() || crate::fields::find(name).is_some() {
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
                let functions = self.scope.functions.iter();
                let functions = functions.filter(|of| self.scope.sees(file, of.body.span.source));
                let functions = functions.map(|function| function.name);
                let builtins = super::functions::BUILTINS.iter().map(|builtin| builtin.name);
                if let Some(hint) = elsewhere(name) {
                    diagnostic = diagnostic.help(hint);
                } else if let Some(near) =
                    nearest(name, functions.chain(builtins)).or_else(|| registry().nearest(name))
                {
                    diagnostic = diagnostic.did_you_mean(near);
                } else {
                    diagnostic = diagnostic.help("`aent terms` lists every registered name");
                }
                Err(self.report(diagnostic))
            }
        }
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
