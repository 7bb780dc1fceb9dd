//! What a plugin registers: constant data and a constructor, submitted through `inventory`, or while the program runs
//! through [`super::register`].

use super::{Controller, Reduction, Term};
use serde::de::DeserializeOwned;

/// The part of an entry that does not depend on the kind of object.
#[derive(Clone, Copy, Debug)]
pub struct Info {
    /// The name in the language, possibly qualified: `acme::my_term`.
    pub name: &'static str,
    /// The crate that registers it.
    pub owner: &'static str,
    /// That crate's version; a saved program of another one is refused, and so is a rank that has another one.
    pub version: &'static str,
    /// Markdown from the doc comment: formula, parameters, defaults, source. What others call it stands in a paragraph
    /// that begins with `Aliases:`; see [`super::aliases()`].
    pub docs: &'static str,
    /// A call as written in a file; documentation, fuzzing and conformance use it.
    pub example: &'static str,
}

/// How an object is made from the arguments of a call. It asks for a struct, whose fields are the arguments' names.
pub type Build<T> =
    &'static (dyn Fn(&mut dyn erased_serde::Deserializer<'_>) -> erased_serde::Result<Box<T>> + Send + Sync);

/// One registered kind of object.
pub struct Entry<T: ?Sized + 'static> {
    /// Name, owner, documentation.
    pub info: Info,
    /// The constructor.
    pub build: Build<T>,
}

/// A registered term.
pub type TermEntry = Entry<dyn Term>;
/// A registered reduction.
pub type ReductionEntry = Entry<dyn Reduction>;
/// A registered controller.
pub type ControllerEntry = Entry<dyn Controller>;

impl TermEntry {
    /// An entry that makes a `T`.
    pub const fn of<T: Term + DeserializeOwned + 'static>(info: Info) -> Self {
        Self { info, build: &|args| Ok(Box::new(erased_serde::deserialize::<T>(args)?)) }
    }
}

impl ReductionEntry {
    /// An entry that makes a `T`.
    pub const fn of<T: Reduction + DeserializeOwned + 'static>(info: Info) -> Self {
        Self { info, build: &|args| Ok(Box::new(erased_serde::deserialize::<T>(args)?)) }
    }
}

impl ControllerEntry {
    /// An entry that makes a `T`.
    pub const fn of<T: Controller + DeserializeOwned + 'static>(info: Info) -> Self {
        Self { info, build: &|args| Ok(Box::new(erased_serde::deserialize::<T>(args)?)) }
    }
}

inventory::collect!(TermEntry);
inventory::collect!(ReductionEntry);
inventory::collect!(ControllerEntry);

/// An entry of any kind.
#[derive(Clone, Copy)]
pub enum AnyEntry {
    /// A term.
    Term(&'static TermEntry),
    /// A reduction.
    Reduction(&'static ReductionEntry),
    /// A controller.
    Controller(&'static ControllerEntry),
}

impl AnyEntry {
    /// Name, owner, documentation.
    pub fn info(&self) -> &'static Info {
        match self {
            AnyEntry::Term(entry) => &entry.info,
            AnyEntry::Reduction(entry) => &entry.info,
            AnyEntry::Controller(entry) => &entry.info,
        }
    }

    /// `term`, `reduction` or `controller`.
    pub fn kind(&self) -> &'static str {
        match self {
            AnyEntry::Term(_) => "term",
            AnyEntry::Reduction(_) => "reduction",
            AnyEntry::Controller(_) => "controller",
        }
    }
}

/// Registers a term under a name, with its doc comment as its documentation.
///
/// ```
/// use aent::plugin::prelude::*;
///
/// aent::term! {
///     /// The log-probability scaled: `scale · log π(a)`.
///     "acme::scaled_log_prob" => Scaled, example = "acme::scaled_log_prob(scale = 2)"
/// }
///
/// #[derive(Debug, Serialize, Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct Scaled {
///     scale: f64,
/// }
///
/// impl Term for Scaled {
///     fn signature(&self) -> Signature {
///         Signature::new(Type::TOKEN).input(Input::field("log_prob", Type::TOKEN))
///     }
///
///     fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
///         Ok((ctx.input("log_prob") * self.scale).into())
///     }
/// }
/// ```
#[macro_export]
macro_rules! term {
    ($(#[doc = $doc:literal])+ $name:literal => $object:ty, example = $example:literal) => {
        $crate::plugin::private::inventory::submit! {
            $crate::plugin::TermEntry::of::<$object>($crate::__entry_info!($name, $example, $($doc),+))
        }
    };
}

/// Registers a reduction under a name; see [`term!`](crate::term).
#[macro_export]
macro_rules! reduction {
    ($(#[doc = $doc:literal])+ $name:literal => $object:ty, example = $example:literal) => {
        $crate::plugin::private::inventory::submit! {
            $crate::plugin::ReductionEntry::of::<$object>($crate::__entry_info!($name, $example, $($doc),+))
        }
    };
}

/// Registers a controller under a name; see [`term!`](crate::term).
#[macro_export]
macro_rules! controller {
    ($(#[doc = $doc:literal])+ $name:literal => $object:ty, example = $example:literal) => {
        $crate::plugin::private::inventory::submit! {
            $crate::plugin::ControllerEntry::of::<$object>($crate::__entry_info!($name, $example, $($doc),+))
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __entry_info {
    ($name:literal, $example:literal, $($doc:literal),+) => {
        $crate::plugin::Info {
            name: $name,
            owner: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
            docs: concat!($($doc, "\n"),+),
            example: $example,
        }
    };
}
