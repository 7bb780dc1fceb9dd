//! The suite that every registered entry must pass, built in or not.

mod controllers;
mod documentation;
mod values;

use crate::plugin::{AnyEntry, Lookup, registry};
use crate::testing::{Case, sample, smooth};
use crate::{Program, Session, compile};

/// Runs the whole suite on a registered entry; in a plugin crate's tests this is
/// `aent::testing::conformance("acme::my_term")`.
///
/// # Panics
/// When the entry fails, with all findings.
pub fn conformance(name: &str) {
    if let Err(found) = Conformance::of(name).check() {
        panic!("`{name}` does not conform:\n{found}");
    }
}

/// The suite for one entry, with facts about the entry that it needs.
#[derive(Clone, Debug)]
pub struct Conformance {
    name: String,
    inputs: Vec<&'static str>,
    differentiable: bool,
}

impl Conformance {
    /// The suite for the entry with that name.
    pub fn of(name: &str) -> Self {
        Self { name: name.to_owned(), inputs: Vec::new(), differentiable: true }
    }

    /// Declares a real token field that the entry's example reads and the language lacks.
    #[must_use]
    pub fn token_input(mut self, name: &'static str) -> Self {
        self.inputs.push(name);
        self
    }

    /// Declares that the gradient is not that of the value, as with a straight-through or stop-gradient formula.
    #[must_use]
    pub fn gradient_of_its_own(mut self) -> Self {
        self.differentiable = false;
        self
    }

    /// Runs every check.
    ///
    /// # Errors
    /// All findings, one line each.
    pub fn check(&self) -> Result<(), String> {
        let Lookup::Found(entry) = registry().find(&self.name) else {
            return Err(format!("no crate or more than one registers `{}`", self.name));
        };
        let mut findings = documentation::check(entry);
        match entry {
            AnyEntry::Term(_) | AnyEntry::Reduction(_) => findings.extend(values::check(self, entry)),
            AnyEntry::Controller(_) => findings.extend(controllers::check(self, entry)),
        }
        if findings.is_empty() { Ok(()) } else { Err(findings.join("\n")) }
    }

    /// A program of the given statements, preceded by the declared inputs and by `turn`, which an example may read.
    fn program(&self, statements: &str) -> Result<Program, String> {
        let inputs = self.inputs.iter().map(|name| format!("input {name}: token"));
        let turn = "input turn: token int".to_owned();
        let text = inputs.chain([turn, statements.to_owned()]).collect::<Vec<_>>().join("\n");
        compile(&text).map_err(|failure| format!("the example does not check:\n{failure}\nin\n{text}"))
    }

    fn session(&self, statements: &str) -> Result<Session, String> {
        self.program(statements).map(Session::new)
    }

    /// The same cases on every run, with numbers for the declared inputs.
    fn cases(&self, strategy: &impl proptest::strategy::Strategy<Value = Case>, count: usize) -> Vec<Case> {
        let with_inputs = |mut case: Case| {
            for name in &self.inputs {
                let numbers = (0..case.mask.len()).map(|at| f64::from((at as f32).sin())).collect();
                case = case.with_token(name, numbers);
            }
            case
        };
        sample(strategy, count).into_iter().map(with_inputs).collect()
    }

    fn smooth_case(&self) -> Option<Case> {
        self.cases(&smooth(crate::testing::Extent::exactly(3, 4, 6)), 1).pop()
    }
}
