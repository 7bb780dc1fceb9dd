//! All registered entries by name, including those that hosts of other languages add at run time.

use super::{AnyEntry, Declaration};
use crate::near::nearest;
use std::collections::BTreeMap;
use std::sync::{LazyLock, PoisonError, RwLock};

/// All entries of the running program.
pub struct Registry {
    names: BTreeMap<&'static str, Vec<AnyEntry>>,
}

/// The result of looking up a name.
pub enum Lookup {
    /// One entry.
    Found(AnyEntry),
    /// The entries of all crates that registered it, if more than one.
    Clash(Vec<AnyEntry>),
    /// No entry.
    Unknown,
}

/// The current registry of this program.
pub fn registry() -> &'static Registry {
    *CURRENT.read().unwrap_or_else(PoisonError::into_inner)
}

// Lookups return `'static` entries, so a replaced registry is leaked: a few kilobytes for each term that a host adds.
static CURRENT: LazyLock<RwLock<&'static Registry>> = LazyLock::new(|| {
    RwLock::new(Box::leak(Box::new(Registry::new(inventory::iter::<AnyEntry>.into_iter().copied()))))
});

/// Adds an entry at run time, for hosts whose terms are written in another language. It replaces an entry of the same
/// name and owner in programs that are compiled from now on.
///
/// # Errors
/// When another owner has registered the name; the message says who.
pub fn register(entry: AnyEntry) -> Result<(), String> {
    let mut current = CURRENT.write().unwrap_or_else(PoisonError::into_inner);
    let Declaration { name, owner, .. } = *entry.declaration();
    let holders = current.names.get(name).map_or(&[][..], Vec::as_slice);
    if let Some(other) = holders.iter().find(|other| other.declaration().owner != owner) {
        return Err(format!("`{name}` is registered by `{}` already", other.declaration().owner));
    }
    let others = current.names.values().flatten().copied().filter(|other| other.declaration().name != name);
    *current = Box::leak(Box::new(Registry::new(others.chain([entry]))));
    Ok(())
}

impl Registry {
    /// A registry of the given entries.
    pub fn new(entries: impl IntoIterator<Item = AnyEntry>) -> Self {
        let mut names = BTreeMap::<_, Vec<AnyEntry>>::new();
        for entry in entries {
            names.entry(entry.declaration().name).or_default().push(entry);
        }
        for owners in names.values_mut() {
            owners.sort_by_key(|entry| entry.declaration().owner);
        }
        Self { names }
    }

    /// Looks up a name.
    pub fn find(&self, name: &str) -> Lookup {
        match self.names.get(name).map(Vec::as_slice) {
            None => Lookup::Unknown,
            Some([entry]) => Lookup::Found(*entry),
            Some(entries) => Lookup::Clash(entries.to_vec()),
        }
    }

    /// Every entry without a clash, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = AnyEntry> {
        self.names.values().filter(|owners| owners.len() == 1).map(|owners| owners[0])
    }

    /// The registered name with the most similar spelling.
    pub fn nearest(&self, name: &str) -> Option<&'static str> {
        nearest(name, self.names.keys().copied())
    }

    /// A hint for a name whose crate registered nothing, as happens with a dependency that no code mentions.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::prelude::*;
    use crate::plugin::{Parameter, TermEntry};

    #[derive(Debug, Serialize, Deserialize)]
    struct Scaled {
        scale: f64,
    }

    impl Term for Scaled {
        fn signature() -> Signature {
            Signature::new(Type::TOKEN).input(Input::field("log_prob", Type::TOKEN))
        }

        fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
            Ok((ctx.input("log_prob") * self.scale).into())
        }
    }

    fn entry(name: &'static str, owner: &'static str, version: &'static str) -> AnyEntry {
        let parameters = const { &[Parameter::of::<f64>("scale", "What it is multiplied with.")] };
        let declaration = Declaration::new(name, owner, version).parameters(parameters);
        AnyEntry::Term(Box::leak(Box::new(TermEntry::of::<Scaled>(declaration))))
    }

    #[test]
    fn a_term_that_comes_later_is_one_like_any_other() {
        let text = "loss = -token_mean(late_comer(scale = 2))";
        assert!(crate::compile(text).is_err());
        register(entry("late_comer", "host", "1")).unwrap();
        let before = crate::compile(text).unwrap();
        register(entry("late_comer", "host", "2")).unwrap();
        let after = crate::compile(text).unwrap();
        assert_eq!((before.terms[0].version(), after.terms[0].version()), ("1", "2"));
    }

    #[test]
    fn a_name_that_somebody_else_has_is_refused() {
        let text = register(entry("clip_ppo", "host", "1")).unwrap_err();
        assert_eq!(text, "`clip_ppo` is registered by `aent` already");
        assert!(matches!(registry().find("clip_ppo"), Lookup::Found(_)));
    }
}
