//! Calls of registered objects: terms, reductions and controllers.

use super::elsewhere::{unknown_argument, unknown_call};
use super::incomplete::{Other, listed, missing_arguments};
use super::make::Made;
use super::{Checker, Outcome, Value};
use crate::diag::Diagnostic;
use crate::interval::Interval;
use crate::plugin::{
    AnyEntry, Controller, ControllerEntry, Lookup, Reduction, ReductionEntry, Term, TermEntry, quoted,
    registry,
};
use crate::program::{ControllerDecl, NodeId};
use crate::rows::Statistic;
use crate::span::Span;
use crate::syntax::ast::{Arg, Call, Name};
use crate::types::{Kind, Shape, Unit};

impl<'a> Checker<'a> {
    /// A call of a term or a reduction.
    pub(super) fn object_call(&mut self, callee: &Name, args: &'a [Arg], span: Span) -> Outcome<Value> {
        match self.lookup(callee, Wanted::Value)? {
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
        let entry = match self.lookup(callee, Wanted::Controller)? {
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
        let takes_signal = entry.signature().signal;
        let signal = Other { name: "signal", required: true, positional: false };
        let others = if takes_signal { vec![signal] } else { Vec::new() };
        let made = self.make(entry, callee, &call.args, &others)?;
        for object in std::iter::once(&made.object).chain(&made.corners) {
            self.check_object(object.value.check(), callee, &made.constants)?;
        }
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
            let diagnostic = missing_arguments(callee, &["signal"])
                .help("write `signal = token_mean(...)`: what it observes after each step");
            return Err(self.report(diagnostic));
        }
        if let (Some((id, place)), Some(target)) = (signal, target(&made)) {
            let goals = ["target", "at_least", "at_most"];
            let goal = made.constants.iter().find(|arg| goals.contains(&arg.name.as_str()));
            self.warn_of_reach(id, place, target, goal.map_or(span, |arg| arg.span));
        }
        let index = self.controllers.len();
        let intervals = made.corners.iter().map(|of| of.value.interval());
        let interval = intervals.fold(made.object.value.interval(), Interval::join);
        self.controllers.push(ControllerDecl {
            name: self.scope.public(name),
            object: made.object,
            signal: signal.map(|(id, _)| id),
            moving: made.moving,
        });
        Ok(self.builder.controller(index, interval, name.span))
    }

    /// Warns of a target that a signal never has.
    fn warn_of_reach(&mut self, signal: NodeId, place: Span, target: Interval, blame: Span) {
        let (reach, unit) = (self.builder.node(signal).interval, self.builder.node(signal).unit);
        if reach.meets(target) {
            return;
        }
        let goal = if target.lo.to_bits() == target.hi.to_bits() {
            target.lo.to_string()
        } else {
            target.to_string()
        };
        let message = format!("the signal cannot reach {goal}: its values lie in {}", in_words(reach));
        let help = match unit {
            Unit::Entropy if reach.lo >= 0.0 => {
                "an entropy over `k` tokens cannot exceed `ln k`, and no entropy is negative"
            }
            _ if reach.hi <= 0.0 && target.lo > 0.0 => "the signal is never above 0: is its sign turned?",
            _ if reach.lo >= 0.0 && target.hi < 0.0 => "the signal is never below 0: is its sign turned?",
            _ => "aim at a value that the signal can have",
        };
        self.warn(
            Diagnostic::warning("target-out-of-reach", blame, message)
                .label(place, "the signal is this")
                .help(help),
        );
    }

    fn term(
        &mut self,
        entry: &'static TermEntry,
        callee: &Name,
        args: &'a [Arg],
        span: Span,
    ) -> Outcome<NodeId> {
        let others: Vec<Other> = entry.signature().inputs.iter().map(Other::of).collect();
        let mut made: Made<'a, dyn Term> = self.make(entry, callee, args, &others)?;
        let intervals = made.corners.iter().map(|of| of.signature.interval);
        made.object.signature.interval = intervals.fold(made.object.signature.interval, Interval::join);
        let signature = &made.object.signature;
        // Check the inputs first: a misspelt argument explains more than the error that its absence causes.
        let inputs = self.inputs(&entry.declaration, callee, &signature.inputs, &made.rest, span)?;
        for object in std::iter::once(&made.object).chain(&made.corners) {
            self.check_object(object.value.check(), callee, &made.constants)?;
        }
        let rows = signature
            .rows
            .iter()
            .map(|row| {
                let field = self.temperature_of.field();
                let found = row.at(self.temperature, field);
                let is_at_files =
                    found.temperature.to_bits() == self.temperature.to_bits() && found.divisor == field;
                let stays = row.temperature.is_none() || made.moving.is_empty();
                (found, found.statistic == Statistic::LogProb && is_at_files && stays)
            })
            .collect();
        Ok(self.builder.term(made.object, inputs, rows, made.moving, span))
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
        let operand = Other { name: "x", required: true, positional: true };
        let others: Vec<Other> =
            std::iter::once(operand).chain(entry.signature().inputs.iter().map(Other::of)).collect();
        let made: Made<'a, dyn Reduction> = self.make(entry, callee, args, &others)?;
        for object in std::iter::once(&made.object).chain(&made.corners) {
            self.check_object(object.value.check(), callee, &made.constants)?;
        }
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
            Value::Node(id) if self.builder.node(id).ty.kind == Kind::Bool => id,
            other => self.expect_kind(&other, Kind::Real, expr.span)?,
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
        Ok(self.builder.reduce(made.object, id, inputs, made.moving, span))
    }

    fn lookup(&mut self, callee: &Name, wanted: Wanted) -> Outcome<AnyEntry> {
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
                    return Err(self.report(used_too_early(name, callee.span, later)));
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
                if wanted == Wanted::Controller {
                    return Err(self.report(unknown_controller(callee)));
                }
                let diagnostic = Diagnostic::error(
                    "unknown-name",
                    callee.span,
                    format!("there is no function or term `{name}`"),
                );
                let functions = self.scope.functions.iter();
                let functions = functions.filter(|of| self.scope.sees(file, of.body.span.source));
                let functions = functions.map(|function| function.name);
                let builtins = super::functions::BUILTINS.iter().map(|builtin| builtin.name);
                let entries = registry().iter().filter(|of| !matches!(of, AnyEntry::Controller(_)));
                let entries = entries.map(|of| of.declaration().name);
                let near = functions.chain(builtins).chain(entries);
                let otherwise = "`aent terms` lists every registered name";
                Err(self.report(unknown_call(diagnostic, name, near, otherwise)))
            }
        }
    }
}

/// The interval into which a rule steers its signal, over all that its arguments can be.
fn target(made: &Made<'_, dyn Controller>) -> Option<Interval> {
    let corners = made.corners.iter().map(|of| of.value.target());
    corners.fold(made.object.value.target(), |joined, of| Some(joined?.join(of?)))
}

/// What a call is meant to give.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Value,
    Controller,
}

fn unknown_controller(callee: &Name) -> Diagnostic {
    let names: Vec<&str> = registry()
        .iter()
        .filter(|entry| matches!(entry, AnyEntry::Controller(_)))
        .map(|entry| entry.declaration().name)
        .collect();
    let message = format!("there is no controller `{}`", callee.node);
    let diagnostic = Diagnostic::error("unknown-name", callee.span, message);
    unknown_call(diagnostic, &callee.node, names.iter().copied(), &format!("they are {}", listed(&names)))
}

/// The error for a name that is defined further down, or by the statement that it stands in.
pub(super) fn used_too_early(name: &str, span: Span, later: Span) -> Diagnostic {
    // What stands above has been checked, so only the statement itself defines a name before its use.
    if later.source == span.source && later.start < span.start {
        return Diagnostic::error(
            "used-before-definition",
            span,
            format!("`{name}` is used in its own definition"),
        )
        .label(later, "it is defined here")
        .help(
            "a formula knows only what stands above it; `average` is a controller that remembers its signal",
        );
    }
    Diagnostic::error("used-before-definition", span, format!("`{name}` is used before it is defined"))
        .label(later, "it is defined here")
        .help("move the definition up")
}

fn in_words(interval: Interval) -> String {
    // Adding 0 makes 0 of -0.
    let interval = Interval::new(interval.lo + 0.0, interval.hi + 0.0);
    match (interval.lo.is_finite(), interval.hi.is_finite()) {
        (true, true) => format!("{:.4} .. {:.4}", interval.lo, interval.hi),
        (true, false) => format!("{:.4} and above", interval.lo),
        (false, true) => format!("{:.4} and below", interval.hi),
        (false, false) => "every number".to_owned(),
    }
}
