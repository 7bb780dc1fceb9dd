//! Hints for unknown names that exist elsewhere.

use crate::load::{LibraryFn, functions};
use crate::plugin::{Alias, registry};

/// Where a name is defined, or what it is called here: in a crate that is not linked, in the library, in another
/// framework. `None` for a name that no known framework uses.
pub fn elsewhere(name: &str) -> Option<String> {
    registry().link_hint(name).or_else(|| in_the_library(name)).or_else(|| by_another_name(name))
}

fn in_the_library(name: &str) -> Option<String> {
    let found = functions().into_iter().find(|function| function.name == name)?;
    Some(format!("it is in the library: `{}`", import(&found)))
}

fn by_another_name(name: &str) -> Option<String> {
    let entries = registry().iter().map(|entry| {
        let declaration = entry.declaration();
        (declaration.aliases.to_vec(), format!("`{}`", declaration.name))
    });
    let library = functions().into_iter().map(|function| {
        let here = format!("`{}` after `{}`", function.name, import(&function));
        (function.aliases, here)
    });
    let known = |(aliases, here): (Vec<Alias>, String)| {
        let Alias { framework, remark, .. } = aliases.into_iter().find(|alias| alias.name == name)?;
        let comma = if remark.is_empty() { "" } else { ", " };
        Some(format!("what {framework} calls `{name}` is here {here}{comma}{remark}"))
    };
    let found: Vec<String> = entries.chain(library).filter_map(known).collect();
    (!found.is_empty()).then(|| found.join("; "))
}

fn import(function: &LibraryFn) -> String {
    format!("import \"{}\"", function.file)
}
