//! The declaration of an entry: names, documentation, parameters.

use super::Parameter;

/// The declaration of a term, reduction or controller, used by errors, documentation, completion and the conformance suite.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Declaration {
    /// The name in the language, possibly qualified: `acme::my_term`.
    pub name: &'static str,
    /// The crate that registers it.
    pub owner: &'static str,
    /// That crate's version. Saved programs and ranks with another version are refused.
    pub version: &'static str,
    /// Formula, gradient and source, in Markdown.
    pub docs: &'static str,
    /// A call as written in a file, used by documentation, fuzzing and conformance.
    pub example: &'static str,
    /// Its constant arguments, in display order.
    pub parameters: &'static [Parameter],
    /// Its names in other frameworks and papers.
    pub aliases: &'static [Alias],
    /// The file that defines it, as the compiler of its crate names it, and the line; none where a host defines it.
    pub place: Option<(&'static str, u32)>,
}

impl Declaration {
    /// A declaration without documentation or parameters.
    pub const fn new(name: &'static str, owner: &'static str, version: &'static str) -> Self {
        Self { name, owner, version, docs: "", example: "", parameters: &[], aliases: &[], place: None }
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

    /// Declares its names in other frameworks and papers.
    #[must_use]
    pub const fn aliases(mut self, aliases: &'static [Alias]) -> Self {
        self.aliases = aliases;
        self
    }

    /// Says where it is defined, so that an editor can go there.
    #[must_use]
    pub const fn place(mut self, file: &'static str, line: u32) -> Self {
        self.place = Some((file, line));
        self
    }

    /// The names of its parameters.
    pub fn parameter_names(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.parameters.iter().map(|parameter| parameter.name)
    }

    /// The parameter with that name.
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
    /// What else to write for the same result, such as `with dual = 3`; may be empty.
    pub remark: &'static str,
}

impl Alias {
    /// A framework's name for it.
    pub const fn new(name: &'static str, framework: &'static str) -> Self {
        Self { name, framework, remark: "" }
    }

    /// Says what else to write.
    #[must_use]
    pub const fn remark(mut self, remark: &'static str) -> Self {
        self.remark = remark;
        self
    }
}
