//! Diagnostics about a user's program, as plain data. The command line renders them.

pub mod codes;

use crate::span::Span;

/// How severe a diagnostic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The program runs, but probably does not do what its author wants.
    Warning,
    /// The program cannot run.
    Error,
}

impl Severity {
    /// `warning` or `error`.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

/// A remark on another place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// The remark.
    pub message: String,
}

/// A change of the text that mends a problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    /// The place whose text is replaced; empty where something is inserted.
    pub span: Span,
    /// The new text.
    pub replacement: String,
}

/// One problem: an id, a place, what was expected and what was found, and a remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// Stable id in kebab case; [`crate::diag::codes`] explains each.
    pub id: &'static str,
    /// One sentence: lower case, no full stop, names in backticks, expected before found.
    pub message: String,
    /// The primary place.
    pub span: Span,
    /// A remark on the primary place, if it adds to the message.
    pub note: Option<String>,
    /// Secondary places.
    pub labels: Vec<Label>,
    /// What to write instead.
    pub help: Option<String>,
    /// The same as a change of the text, where the remedy is certain enough for an editor to offer it.
    pub fix: Option<Fix>,
}

impl Diagnostic {
    /// An error at a place.
    pub fn error(id: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, id, span, message)
    }

    /// A lint at a place.
    pub fn warning(id: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, id, span, message)
    }

    fn new(severity: Severity, id: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self {
            severity,
            id,
            message: message.into(),
            span,
            note: None,
            labels: Vec::new(),
            help: None,
            fix: None,
        }
    }

    /// Adds a remark on the primary place.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    /// Adds a secondary place.
    #[must_use]
    pub fn label(mut self, span: Span, message: impl Into<String>) -> Self {
        self.labels.push(Label { span, message: message.into() });
        self
    }

    /// Adds what to write instead.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds the change that mends the problem.
    #[must_use]
    pub fn fix(mut self, span: Span, replacement: impl Into<String>) -> Self {
        self.fix = Some(Fix { span, replacement: replacement.into() });
        self
    }

    /// Says to write another text at the primary place, in words and as a change.
    #[must_use]
    pub fn write(self, text: &str) -> Self {
        let span = self.span;
        self.help(format!("write `{text}`")).fix(span, text)
    }

    /// Suggests a similar name for the one at the primary place, in words and as a change.
    #[must_use]
    pub fn did_you_mean(self, name: &str) -> Self {
        let span = self.span;
        self.help(did_you_mean(name)).fix(span, name)
    }
}

fn did_you_mean(name: &str) -> String {
    format!("did you mean `{name}`?")
}

/// A message without a place, from code that does not know positions; `.at(span)` adds the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Stable id in kebab case.
    pub id: &'static str,
    /// The message.
    pub text: String,
    /// What to write instead.
    pub help: Option<String>,
    /// What replaces the text at the place, if that mends the problem.
    pub replacement: Option<String>,
}

impl Message {
    /// A message with an id.
    pub fn new(id: &'static str, text: impl Into<String>) -> Self {
        Self { id, text: text.into(), help: None, replacement: None }
    }

    /// Adds what to write instead.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Suggests a similar name for the one at the place.
    #[must_use]
    pub fn did_you_mean(self, name: &str) -> Self {
        self.replacement(did_you_mean(name), name)
    }

    /// Adds what to write instead, and the text that replaces the one at the place.
    #[must_use]
    pub fn replacement(mut self, help: impl Into<String>, replacement: &str) -> Self {
        self.replacement = Some(replacement.to_owned());
        self.help(help)
    }

    /// Turns the message into an error at a place.
    pub fn at(self, span: Span) -> Diagnostic {
        let fix = self.replacement.map(|replacement| Fix { span, replacement });
        Diagnostic { help: self.help, fix, ..Diagnostic::error(self.id, span, self.text) }
    }
}

/// All diagnostics of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics {
    items: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Adds a diagnostic, unless an equal one is there.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        if !self.items.contains(&diagnostic) {
            self.items.push(diagnostic);
        }
    }

    /// Adds all diagnostics of another run.
    pub fn extend(&mut self, other: Diagnostics) {
        for item in other.items {
            self.push(item);
        }
    }

    /// Whether any diagnostic is an error.
    pub fn has_errors(&self) -> bool {
        self.items.iter().any(|item| item.severity == Severity::Error)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The diagnostics.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.items.iter()
    }

    /// Sorts by position, so that the output does not depend on the order of the passes.
    pub fn sort(&mut self) {
        self.items.sort_by(|a, b| (a.span, a.id, &a.message).cmp(&(b.span, b.id, &b.message)));
    }

    /// Makes errors of the warnings for which the predicate holds.
    pub fn deny(&mut self, is_denied: impl Fn(&Diagnostic) -> bool) {
        for item in &mut self.items {
            if item.severity == Severity::Warning && is_denied(item) {
                item.severity = Severity::Error;
            }
        }
    }

    /// Keeps the diagnostics for which the predicate holds.
    pub fn retain(&mut self, keep: impl FnMut(&Diagnostic) -> bool) {
        self.items.retain(keep);
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.into_iter()
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.iter()
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(item: Diagnostic) -> Self {
        Self { items: vec![item] }
    }
}
