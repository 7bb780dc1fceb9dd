//! Shows everything that a file can call or read, from this program's registry.

mod describe;
mod json;
mod markdown;
mod search;
mod signature;

pub use describe::{body, first_sentence, parameter, summary};
pub use json::table;
pub use markdown::reference;
pub use search::Search;
pub use signature::{function as call, short as signature};

use aent::load::{LIBRARY, functions, functions_of};
use aent::near::nearest;
use aent::plugin::{AnyEntry, Lookup, registry};
use aent::{BUILTINS, elsewhere, fields};
use comfy_table::{ContentArrangement, Table, presets};

/// The registry's entries of one kind.
fn entries(kind: &str) -> impl Iterator<Item = AnyEntry> {
    registry().iter().filter(move |entry| entry.kind() == kind)
}

/// The kinds of registered objects, with their headings.
const KINDS: [(&str, &str); 3] =
    [("term", "Terms"), ("reduction", "Reductions"), ("controller", "Controllers")];

/// Every name that the search finds with its call and one sentence, as wide as the terminal if there is one.
pub fn terms(search: &Search) -> String {
    let mut out = String::new();
    for (kind, heading) in KINDS {
        let rows = entries(kind).filter(|entry| search.finds_entry(*entry)).map(|entry| {
            let of = entry.declaration();
            vec![signature::short(entry), describe::first_sentence(of.docs), of.owner.to_owned()]
        });
        out.push_str(&section(heading, rows));
    }
    let builtins = BUILTINS
        .iter()
        .filter(|of| search.finds(&[of.name, of.docs]))
        .map(|of| vec![signature::function(of), of.docs.to_owned(), "language".to_owned()]);
    out.push_str(&section("Functions of the language", builtins));
    let rows = functions()
        .into_iter()
        .filter(|of| search.finds_function(of))
        .map(|of| vec![of.call(), describe::summary(&of.docs), of.file]);
    out.push_str(&section("Library, with `import \"std/...\"`", rows));
    let rows = fields::FIELDS.iter().filter(|of| search.finds(&[of.name, of.docs])).map(|field| {
        vec![format!("{}: {}", field.name, field.ty), field.docs.to_owned(), "batch".to_owned()]
    });
    out.push_str(&section("Batch fields", rows));
    if out.is_empty() {
        return out;
    }
    out.push_str(
        "Arguments behind `*` need their name; `advantages = advantages` is the batch field unless a call gives another value. \
         An argument in brackets may be left out. `aent terms NAME` shows formula, arguments and sources.\n",
    );
    out
}

/// A heading and a table; nothing without rows.
fn section(heading: &str, rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        return String::new();
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    if table.width().is_none() {
        table.set_width(120);
    }
    table.add_rows(rows);
    format!("{heading}\n{}\n\n", table.trim_fmt())
}

/// Every function that a file defines with its comment, as wide as the terminal if there is one.
///
/// # Errors
/// A sentence for a text that defines none.
pub fn of_file(name: &str, text: &str) -> Result<String, String> {
    let functions = functions_of(name, text);
    if functions.is_empty() {
        return Err(format!(
            "`{name}` defines no `fn`; `aent explain {name}` shows its params and what it reads"
        ));
    }
    let rows = functions.into_iter().map(|of| vec![of.call(), describe::summary(&of.docs)]);
    Ok(section(&format!("Functions, with `import {name:?}`"), rows))
}

/// Formula, arguments and sources of one item.
///
/// # Errors
/// A sentence that suggests other names for an unknown one.
pub fn term(name: &str) -> Result<String, String> {
    if LIBRARY.iter().any(|(file, _)| name.strip_prefix("std/") == Some(file)) {
        return Ok(terms(&Search::new(name)));
    }
    if let Some(function) = BUILTINS.iter().find(|of| of.name == name) {
        return Ok(describe::function(function));
    }
    if let Some(function) = functions().iter().find(|of| of.name == name) {
        return Ok(describe::library(function));
    }
    match registry().find(name) {
        Lookup::Found(entry) => Ok(describe::entry(entry)),
        Lookup::Clash(entries) => {
            let owners: Vec<_> =
                entries.iter().map(|entry| format!("`{}`", entry.declaration().owner)).collect();
            Err(format!("`{name}` is registered by {}; link only one of them", owners.join(" and ")))
        }
        Lookup::Unknown => match fields::find(name) {
            Some(field) => Ok(describe::field(field)),
            None => Err(unknown(name)),
        },
    }
}

fn unknown(name: &str) -> String {
    let builtins = BUILTINS.iter().map(|of| of.name);
    let library = functions();
    let library = library.iter().map(|of| of.name.as_str());
    let fields = fields::FIELDS.iter().map(|field| field.name);
    let entries = registry().iter().map(|entry| entry.declaration().name);
    let hint = elsewhere(name).or_else(|| {
        let near = nearest(name, builtins.chain(fields).chain(entries).chain(library))?;
        Some(format!("did you mean `{near}`?"))
    });
    format!("there is no `{name}`; {}", hint.unwrap_or_else(|| "`aent terms` lists every name".to_owned()))
}
