//! Steps of a program, and what its controllers keep between them.

use crate::batch::Batch;
use crate::control::State;
use crate::run::{Env, Key, Run};
use crate::tape::{Noise, Var};
use crate::tree::{Definition, Program};
use crate::value::{Data, Shape};
use crate::{Result, wrong};
use std::collections::BTreeMap;
use std::rc::Rc;

/// A program with the states of its controllers.
#[derive(Clone, Debug)]
pub struct Session {
    program: Rc<Program>,
    states: BTreeMap<Key, State>,
    steps: usize,
}

/// Every number of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The sum of the losses.
    pub loss: f64,
    /// The losses by name; one without a name is an empty string.
    pub losses: BTreeMap<String, f64>,
    /// The metrics.
    pub metrics: BTreeMap<String, f64>,
    /// What the controllers observe.
    pub signals: BTreeMap<String, f64>,
    /// The gradient of the sum of the losses, for each field that gradient flows to and that was read.
    pub gradients: BTreeMap<String, Vec<f64>>,
    /// Whether any operation has an infinite or NaN slope. Zero times that is NaN, but an implementation need not multiply what it
    /// knows to be zero.
    pub is_singular: bool,
    /// Whether each `assert` holds.
    pub asserts: Vec<bool>,
    /// The numbers on which a singularity depends, in the order of the computation: what is divided by, what a logarithm or a root
    /// is taken of, what is raised to a power, by how much the exponent of a negative number is not whole, and by how much what `==`
    /// compares and the last two of a `top_fraction` differ.
    pub delicate: Vec<f64>,
    /// Whether any token of the step counts.
    observed: bool,
    next: BTreeMap<Key, State>,
}

impl Session {
    /// A program before its first step.
    pub fn new(program: impl Into<Rc<Program>>) -> Result<Self> {
        let mut session = Self { program: program.into(), states: BTreeMap::new(), steps: 0 };
        let nothing = Batch::new(0, Vec::new());
        let mut run = Run::new(&session.program, &nothing, BTreeMap::new(), 0, Noise::NONE);
        for (key, _) in session.controllers() {
            run.coefficient(&key)?;
        }
        session.states = run.states;
        Ok(session)
    }

    /// The coefficients that hold in the next step, by name.
    pub fn coefficients(&self) -> BTreeMap<String, f64> {
        self.controllers().into_iter().map(|(key, name)| (name, self.states[&key].value)).collect()
    }

    /// One step on a batch, with pretended rounding.
    pub fn step(&self, batch: &Batch, noise: Noise) -> Result<Step> {
        let mut run = Run::new(&self.program, batch, self.states.clone(), self.steps, noise);
        let env = Env::file(0);
        let file = &self.program.modules[0];
        let mut losses = Vec::new();
        for (name, expr) in &file.losses {
            let value = run.eval(expr, &env)?;
            losses.push((name.clone(), run.reals(&value, Shape::Scalar)?[0]));
        }
        let mut metrics = BTreeMap::new();
        for (name, expr) in &file.metrics {
            let value = run.eval(expr, &env)?;
            metrics.insert(name.clone(), run.reals(&value, Shape::Scalar)?[0].value);
        }
        let mut asserts = Vec::new();
        for expr in &file.asserts {
            match run.eval(expr, &env)?.data {
                Data::Truth(truth) => asserts.push(truth[0]),
                found => return wrong(format!("{found:?} is no truth value")),
            }
        }
        let (mut signals, mut next) = (BTreeMap::new(), BTreeMap::new());
        for (key, name) in self.controllers() {
            let signal = run.signal(&key)?;
            signals.extend(signal.map(|signal| (name, signal)));
            let state = run.observed(&key, signal)?;
            next.insert(key, state);
        }
        let all: Vec<Var> = losses.iter().map(|(_, loss)| *loss).collect();
        let loss = run.tape.sum(&all);
        let slopes = run.tape.slopes(loss);
        let gradients = run.leaves.iter().map(|(name, leaves)| (name.clone(), slopes.of(leaves))).collect();
        Ok(Step {
            loss: loss.value,
            losses: losses.into_iter().map(|(name, loss)| (name, loss.value)).collect(),
            metrics,
            signals,
            gradients,
            is_singular: slopes.is_singular,
            asserts,
            delicate: run.tape.delicate,
            observed: batch.mask.contains(&true),
            next,
        })
    }

    /// Moves the controllers by what they observed in a step.
    pub fn update(&mut self, step: &Step) {
        self.steps += 1;
        if step.observed {
            self.states.clone_from(&step.next);
        }
    }

    /// All controllers with their names: those of a file that is imported behind a name have it in front.
    fn controllers(&self) -> Vec<(Key, String)> {
        let mut found = Vec::new();
        for (module, before) in self.program.files() {
            for (name, definition) in &self.program.modules[module].definitions {
                if matches!(definition, Definition::Controller { .. }) {
                    found.push(((module, name.clone()), format!("{before}{name}")));
                }
            }
        }
        found
    }
}
