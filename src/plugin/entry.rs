//! Registry entries: constant data and a constructor, submitted through `inventory`, or at run time through
//! [`super::register`].

use super::{Controller, ControllerSignature, Declaration, Reduction, ReductionSignature, Signature, Term};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::OnceLock;

/// The three kinds of objects: `dyn Term`, `dyn Reduction` and `dyn Controller`.
pub trait Plugin: Serialize + 'static {
    /// The signature that an entry of this kind declares.
    type Signature: Clone + std::fmt::Debug + Send + Sync + 'static;

    /// The kind's name.
    const KIND: &'static str;

    /// The signature for the arguments of one object.
    fn resolve(&self, declared: Self::Signature) -> Self::Signature;

    /// The entry, if it is of this kind.
    fn entry(any: AnyEntry) -> Option<&'static Entry<Self>>;
}

/// Makes an object from the arguments of a call, deserialised as a struct whose fields are the arguments.
pub type Build<T> =
    &'static (dyn Fn(&mut dyn erased_serde::Deserializer<'_>) -> erased_serde::Result<Box<T>> + Send + Sync);

/// One registered kind of object.
pub struct Entry<T: ?Sized + Plugin> {
    /// Name, documentation, parameters.
    pub declaration: Declaration,
    /// The constructor.
    pub build: Build<T>,
    declare: &'static (dyn Fn() -> T::Signature + Send + Sync),
    signature: OnceLock<T::Signature>,
}

impl<T: ?Sized + Plugin> Entry<T> {
    /// An entry of a host, with its own constructor and signature instead of a Rust type's.
    pub const fn hosted(
        declaration: Declaration,
        declare: &'static (dyn Fn() -> T::Signature + Send + Sync),
        build: Build<T>,
    ) -> Self {
        Self { declaration, build, declare, signature: OnceLock::new() }
    }

    /// Inputs, result and everything else that holds for every call.
    pub fn signature(&self) -> &T::Signature {
        self.signature.get_or_init(self.declare)
    }
}

/// A registered term.
pub type TermEntry = Entry<dyn Term>;
/// A registered reduction.
pub type ReductionEntry = Entry<dyn Reduction>;
/// A registered controller.
pub type ControllerEntry = Entry<dyn Controller>;

macro_rules! plugin {
    ($trait:ident, $signature:ty, $kind:literal, |$object:ident, $declared:ident| $resolve:expr) => {
        impl Plugin for dyn $trait {
            type Signature = $signature;

            const KIND: &'static str = $kind;

            fn resolve(&self, $declared: $signature) -> $signature {
                let $object = self;
                $resolve
            }

            fn entry(any: AnyEntry) -> Option<&'static Entry<Self>> {
                if let AnyEntry::$trait(entry) = any { Some(entry) } else { None }
            }
        }

        impl Entry<dyn $trait> {
            /// An entry that makes a `T`.
            pub const fn of<T: $trait + DeserializeOwned + 'static>(declaration: Declaration) -> Self {
                Self::hosted(declaration, &T::signature, &|args| {
                    Ok(Box::new(erased_serde::deserialize::<T>(args)?))
                })
            }
        }
    };
}

plugin!(Term, Signature, "term", |object, declared| object.resolve(declared));
plugin!(Reduction, ReductionSignature, "reduction", |object, declared| object.resolve(declared));
plugin!(Controller, ControllerSignature, "controller", |_object, declared| declared);

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

inventory::collect!(AnyEntry);

impl AnyEntry {
    /// Name, documentation, parameters.
    pub fn declaration(&self) -> &'static Declaration {
        match self {
            AnyEntry::Term(entry) => &entry.declaration,
            AnyEntry::Reduction(entry) => &entry.declaration,
            AnyEntry::Controller(entry) => &entry.declaration,
        }
    }

    /// `term`, `reduction` or `controller`.
    pub fn kind(&self) -> &'static str {
        match self {
            AnyEntry::Term(_) => <dyn Term>::KIND,
            AnyEntry::Reduction(_) => <dyn Reduction>::KIND,
            AnyEntry::Controller(_) => <dyn Controller>::KIND,
        }
    }
}
