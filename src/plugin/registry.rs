//! Everything that registered itself, sorted by name, built once.

use super::{AnyEntry, ControllerEntry, ReductionEntry, TermEntry};
use crate::near::nearest;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// All entries of the running program.
pub struct Registry {
    names: BTreeMap<&'static str, Vec<AnyEntry>>,
}

/// What a name leads to.
pub enum Lookup {
    /// One entry.
    Found(AnyEntry),
    /// More than one crate registered it: `owner` and kind of each.
    Clash(Vec<AnyEntry>),
    /// Nothing.
    Unknown,
}

/// The registry of this program.
pub fn registry() -> &'static Registry {
    static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
        let terms = inventory::iter::<TermEntry>.into_iter().map(AnyEntry::Term);
        let reductions = inventory::iter::<ReductionEntry>.into_iter().map(AnyEntry::Reduction);
        let controllers = inventory::iter::<ControllerEntry>.into_iter().map(AnyEntry::Controller);
        Registry::new(terms.chain(reductions).chain(controllers))
    });
    &REGISTRY
}

impl Registry {
    /// A registry of the given entries.
    pub fn new(entries: impl IntoIterator<Item = AnyEntry>) -> Self {
        let mut names = BTreeMap::<_, Vec<AnyEntry>>::new();
        for entry in entries {
            names.entry(entry.info().name).or_default().push(entry);
        }
        for owners in names.values_mut() {
            owners.sort_by_key(|entry| entry.info().owner);
        }
        Self { names }
    }

    /// What a name leads to.
    pub fn find(&self, name: &str) -> Lookup {
        match self.names.get(name).map(Vec::as_slice) {
            None => Lookup::Unknown,
            Some([entry]) => Lookup::Found(*entry),
            Some(entries) => Lookup::Clash(entries.to_vec()),
        }
    }

    /// Every entry that is not in a clash, by name.
    pub fn iter(&self) -> impl Iterator<Item = AnyEntry> {
        self.names.values().filter(|owners| owners.len() == 1).map(|owners| owners[0])
    }

    /// The registered name that is spelled most like this one.
    pub fn nearest(&self, name: &str) -> Option<&'static str> {
        nearest(name, self.names.keys().copied())
    }

    /// A hint for a name of a crate that registered nothing, which is what a crate does that is a dependency
    /// but is mentioned nowhere.
    pub fn link_hint(&self, name: &str) -> Option<String> {
        let (prefix, _) = name.split_once("::")?;
        let known = self.names.keys().any(|name| name.split_once("::").is_some_and(|(of, _)| of == prefix));
        (!known).then(|| {
            format!(
                "no linked crate registers names under `{prefix}::`; a plugin crate has to be mentioned once in \
                 the program, as in `use {prefix} as _;`"
            )
        })
    }
}
