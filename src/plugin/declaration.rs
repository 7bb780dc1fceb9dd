//! What an entry says of itself to people: names, documentation, parameters.

use super::Parameter;

/// The declaration of a term, reduction or controller. One table serves errors, documentation, completion and the
/// conformance suite.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Declaration {
    /// The name in the language, possibly qualified: `acme::my_term`.
    pub name: &'static str,
    /// The crate that registers it.
    pub owner: &'static str,
    /// That crate's version; a saved program of another one is refused, and so is a rank that has another one.
    pub version: &'static str,
    /// Formula, gradient and source, in Markdown.
    pub docs: &'static str,
    /// A call as written in a file; documentation, fuzzing and conformance use it.
    pub example: &'static str,
    /// Its constant arguments, in the order in which they are shown.
    pub parameters: &'static [Parameter],
    /// What others call it.
    pub aliases: &'static [Alias],
}

impl Declaration {
    /// A declaration without documentation and parameters.
    pub const fn new(name: &'static str, owner: &'static str, version: &'static str) -> Self {
        Self { name, owner, version, docs: "", example: "", parameters: &[], aliases: &[] }
    }

    /// Documents it.
    #[must_use]
    pub const fn docs(mut self, docs: &'static str) -> Self {
        self.docs = docs;
        self
    }

    /// Gives an example.
    #[must_use]
    pub const fn example(mut self, example: &'static str) -> Self {
        self.example = example;
        self
    }

    /// Declares its constant arguments.
    #[must_use]
    pub const fn parameters(mut self, parameters: &'static [Parameter]) -> Self {
        self.parameters = parameters;
        self
    }

    /// Says what others call it.
    #[must_use]
    pub const fn aliases(mut self, aliases: &'static [Alias]) -> Self {
        self.aliases = aliases;
        self
    }

    /// The names of its parameters.
    pub fn parameter_names(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.parameters.iter().map(|parameter| parameter.name)
    }

    /// The parameter of that name.
    pub fn parameter(&self, name: &str) -> Option<&'static Parameter> {
        self.parameters.iter().find(|parameter| parameter.name == name)
    }
}

/// A name that another framework or paper uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alias {
    /// The name.
    pub name: &'static str,
    /// Who uses it.
    pub framework: &'static str,
    /// What to write besides to have the same, such as `with dual = 3`; empty where nothing.
    pub remark: &'static str,
}

impl Alias {
    /// A name of a framework for the same thing.
    pub const fn new(name: &'static str, framework: &'static str) -> Self {
        Self { name, framework, remark: "" }
    }

    /// Says what to write besides.
    #[must_use]
    pub const fn remark(mut self, remark: &'static str) -> Self {
        self.remark = remark;
        self
    }
}
