//! Checks syntax trees and builds a typed program, reporting all problems in one run.

mod args;
mod assertions;
mod calls;
mod declared;
mod default_fields;
mod elsewhere;
mod expr;
mod facts;
mod functions;
mod given;
mod gradient;
mod imports;
mod incomplete;
mod inputs;
mod lints;
mod losses;
mod make;
mod meaning;
mod moving;
mod objects;
mod params;
mod scope;
mod silence;
mod statements;
mod temperature;

pub use elsewhere::elsewhere;
pub use facts::{Fact, Facts};
pub use functions::{BUILTINS, Builtin};

use crate::diag::{Diagnostic, Diagnostics};
use crate::load::Bundle;
use crate::plugin::FieldArg;
use crate::program::{
    Assertion, BinaryFn, Builder, ControllerDecl, InputDecl, NodeId, Param, ParamValue, Program,
    TemperatureOf, prune,
};
use crate::span::Span;
use crate::syntax::ast::Expr;
use scope::Scope;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// A larger program is not a loss but an attack or an accident.
const MAX_NODES: usize = 20_000;

/// How deep calls of functions may nest.
const MAX_CALL_DEPTH: usize = 48;

/// Checks the files of a bundle. Returns the program if no diagnostic is an error.
pub(crate) fn check(bundle: Bundle, overrides: &BTreeMap<String, ParamValue>) -> (Option<Program>, Bundle) {
    let (program, bundle, _) = run(bundle, overrides, None);
    (program, bundle)
}

/// The same, with the facts that the checker found for each formula.
pub(crate) fn analyse(
    bundle: Bundle,
    overrides: &BTreeMap<String, ParamValue>,
) -> (Option<Program>, Bundle, Facts) {
    run(bundle, overrides, Some(Facts::default()))
}

fn run(
    bundle: Bundle,
    overrides: &BTreeMap<String, ParamValue>,
    facts: Option<Facts>,
) -> (Option<Program>, Bundle, Facts) {
    let mut checker = Checker::new(&bundle, overrides);
    checker.facts = facts;
    checker.run();
    let facts = checker.facts.take().unwrap_or_default();
    let (program, mut found) = checker.finish();
    let mut bundle = bundle;
    found.extend(std::mem::take(&mut bundle.diagnostics));
    silence::apply(&mut found, &bundle);
    found.sort();
    let program = program.filter(|_| !found.has_errors()).map(|mut program| {
        program.warnings = found.clone();
        program.sources = Arc::new(bundle.sources.clone());
        program
    });
    bundle.diagnostics = found;
    (program, bundle, facts)
}

/// A diagnostic has been reported; the caller only has to stop.
#[derive(Clone, Copy, Debug)]
struct Reported;

type Outcome<T> = Result<T, Reported>;

/// The result of checking an expression.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    /// A value of the program.
    Node(NodeId),
    /// A string, which only arguments accept.
    Text(String),
    /// A batch field that only terms read, which only arguments accept.
    Field(FieldArg),
}

/// A value, and the named values that a function gives next to it.
#[derive(Clone, Debug, PartialEq)]
struct Valued {
    value: Value,
    extras: Option<Arc<Vec<(String, NodeId)>>>,
}

impl From<Value> for Valued {
    fn from(value: Value) -> Self {
        Self { value, extras: None }
    }
}

/// A call that is being checked, to trace errors inside functions.
struct Frame<'a> {
    function: usize,
    call: Span,
    locals: HashMap<&'a str, Valued>,
}

/// A `loss` statement.
struct Loss {
    /// Its name, where a file has several.
    name: Option<String>,
    /// Its value, unless that failed to check.
    value: Option<NodeId>,
    span: Span,
}

struct Checker<'a> {
    bundle: &'a Bundle,
    overrides: &'a BTreeMap<String, ParamValue>,
    builder: Builder,
    scope: Scope<'a>,
    frames: Vec<Frame<'a>>,
    /// Results of calls by function and arguments: a formula is checked once for equal arguments.
    applied: HashMap<String, Outcome<Valued>>,
    diagnostics: Diagnostics,
    /// Places already reported inside functions, so that further calls do not repeat the error.
    blamed: HashSet<(Span, &'static str)>,
    temperature: f64,
    temperature_of: TemperatureOf,
    /// The formula of a temperature that moves, whose names come later.
    temperature_later: Option<&'a Expr>,
    /// Where the temperature was set.
    temperature_set: Option<Span>,
    params: Vec<Param>,
    inputs: Vec<InputDecl>,
    controllers: Vec<ControllerDecl>,
    lets: Vec<(String, NodeId)>,
    /// Batch fields that the file gives itself, by name.
    given: HashMap<&'static str, NodeId>,
    assertions: Vec<Assertion>,
    metrics: Vec<(String, NodeId, Span)>,
    losses: Vec<Loss>,
    /// What is known of values, if anybody asked for it.
    facts: Option<Facts>,
}

impl<'a> Checker<'a> {
    fn new(bundle: &'a Bundle, overrides: &'a BTreeMap<String, ParamValue>) -> Self {
        Self {
            bundle,
            overrides,
            builder: Builder::default(),
            scope: Scope::new(bundle),
            frames: Vec::new(),
            applied: HashMap::new(),
            diagnostics: Diagnostics::default(),
            blamed: HashSet::new(),
            temperature: 1.0,
            temperature_of: TemperatureOf::File,
            temperature_later: None,
            temperature_set: None,
            params: Vec::new(),
            inputs: Vec::new(),
            controllers: Vec::new(),
            lets: Vec::new(),
            given: HashMap::new(),
            assertions: Vec::new(),
            metrics: Vec::new(),
            losses: Vec::new(),
            facts: None,
        }
    }

    /// Adds a diagnostic; inside a function it also shows the call.
    fn report(&mut self, mut diagnostic: Diagnostic) -> Reported {
        if let Some(outermost) = self.frames.first() {
            if !self.blamed.insert((diagnostic.span, diagnostic.id)) {
                return Reported;
            }
            diagnostic = diagnostic.label(outermost.call, "in this call");
        }
        self.diagnostics.push(diagnostic);
        Reported
    }

    fn warn(&mut self, diagnostic: Diagnostic) {
        let _ = self.report(diagnostic);
    }

    fn finish(mut self) -> (Option<Program>, Diagnostics) {
        self.warn_of_unused();
        let values = self.losses.iter().map(|loss| loss.value).collect::<Option<Vec<_>>>();
        let Some([first, rest @ ..]) = values.as_deref() else {
            return (None, self.diagnostics);
        };
        let starts = self.starts();
        let spans: Vec<Span> = self.losses.iter().map(|loss| loss.span).collect();
        let sum = |sum, id: &NodeId| self.builder.binary(BinaryFn::Add, sum, *id, spans[0]);
        let mut loss = rest.iter().fold(*first, sum);
        let named = self.losses.into_iter().filter_map(|loss| Some((loss.name?, loss.value?)));
        let mut losses: Vec<(String, NodeId)> = named.collect();
        let named = self.lets.iter_mut().chain(&mut losses).map(|(_, id)| id);
        let metrics = self.metrics.iter_mut().map(|(_, id, _)| id);
        let asserted = self
            .assertions
            .iter_mut()
            .flat_map(|of| std::iter::once(&mut of.condition).chain(&mut of.compared));
        let temperature = match &mut self.temperature_of {
            TemperatureOf::Step { node, .. } => Some(node),
            TemperatureOf::File | TemperatureOf::Row(_) => None,
        };
        let mut roots: Vec<&mut NodeId> = std::iter::once(&mut loss)
            .chain(metrics)
            .chain(named)
            .chain(asserted)
            .chain(temperature)
            .collect();
        prune(&mut self.builder, &mut self.controllers, &mut roots);
        let mut program = Program {
            nodes: self.builder.nodes,
            terms: self.builder.terms,
            reductions: self.builder.reductions,
            controllers: self.controllers,
            params: self.params,
            inputs: self.inputs,
            temperature: self.temperature,
            temperature_of: self.temperature_of,
            loss,
            losses,
            assertions: self.assertions,
            metrics: self.metrics.into_iter().map(|(name, id, _)| (name, id)).collect(),
            lets: self.lets,
            warnings: Diagnostics::default(),
            sources: Arc::default(),
        };
        if let Ok(first) = program.at(&starts, 0.0) {
            program = first;
        }
        lints::run(&program, &spans, &mut self.diagnostics);
        (Some(program), self.diagnostics)
    }
}
