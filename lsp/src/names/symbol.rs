//! What a name means.

use super::words::Kind;
use aent::Builtin;
use aent::fields::Field;
use aent::plugin::{AnyEntry, Extra, Input, Parameter};
use aent::span::{SourceId, Span};

/// What a name means.
#[derive(Clone, Copy)]
pub(crate) enum Symbol {
    /// A file defines it.
    Defined(Definition),
    /// A batch field of the language.
    Field(&'static Field),
    /// A batch field that only row statistics read.
    Vocabulary(&'static str),
    /// `step`, the number of steps before this one.
    Step,
    /// A function of the language.
    Builtin(&'static Builtin),
    /// A term, a reduction or a kind of controller.
    Entry(AnyEntry),
    /// An argument of one of these.
    Argument(&'static str, Argument),
    /// A further value of a term, by the term's name.
    Extra(&'static str, Extra),
}

/// A definition in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Definition {
    /// The place of the name.
    pub(crate) place: Span,
    /// What is defined.
    pub(crate) kind: Kind,
    /// The number of its statement in the file.
    pub(crate) statement: usize,
    /// The file that an import leads to.
    pub(crate) file: Option<SourceId>,
}

/// An argument of a function of the language or of a registered object.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Argument {
    /// A constant.
    Parameter(&'static Parameter),
    /// A tensor.
    Input(Input),
    /// What a controller observes, with a line about it.
    Signal(&'static str),
    /// The value that a reduction reduces, or an argument of a function.
    Plain,
}

impl Symbol {
    /// The definition, if a file has it.
    pub(crate) fn definition(&self) -> Option<Definition> {
        match self {
            Self::Defined(definition) => Some(*definition),
            _ => None,
        }
    }
}

/// The arguments that a registered object takes besides its constants, with whether a call may leave out their names.
pub(crate) fn tensors(entry: AnyEntry) -> Vec<(&'static str, Argument, bool)> {
    let inputs = |inputs: &[Input]| -> Vec<_> {
        inputs.iter().map(|input| (input.name, Argument::Input(*input), input.positional)).collect()
    };
    match entry {
        AnyEntry::Term(entry) => inputs(&entry.signature().inputs),
        AnyEntry::Reduction(entry) => {
            let mut all = vec![("x", Argument::Plain, true)];
            all.extend(inputs(&entry.signature().inputs));
            all
        }
        AnyEntry::Controller(entry) => {
            let signature = entry.signature();
            let signal = ("signal", Argument::Signal(signature.signal_docs), false);
            signature.signal.then_some(signal).into_iter().collect()
        }
    }
}
