//! The library that is written in the language itself and embedded in this crate: `import "std/..."`.

use crate::plugin::Alias;
use crate::span::{SourceId, Span};
use crate::syntax::ast::{Statement, StatementKind};
use crate::syntax::{comment_above, parse};

/// The name of each file after `std/`, and its text.
pub const LIBRARY: &[(&str, &str)] = &[
    ("advantages.aent", include_str!("std/advantages.aent")),
    ("averages.aent", include_str!("std/averages.aent")),
    ("entropy.aent", include_str!("std/entropy.aent")),
    ("kl.aent", include_str!("std/kl.aent")),
    ("masks.aent", include_str!("std/masks.aent")),
    ("mismatch.aent", include_str!("std/mismatch.aent")),
    ("preferences.aent", include_str!("std/preferences.aent")),
    ("regression.aent", include_str!("std/regression.aent")),
    ("surrogates.aent", include_str!("std/surrogates.aent")),
    ("values.aent", include_str!("std/values.aent")),
];

/// A function of the library, or of any other file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LibraryFn {
    /// The file that defines it; of the library its path in an import: `std/kl.aent`.
    pub file: String,
    /// Its name.
    pub name: String,
    /// Its parameters, in the order of positional arguments.
    pub parameters: Vec<LibraryParameter>,
    /// The comment above it, without `#` and without the lines that declare aliases.
    pub docs: String,
    /// Its names in other frameworks, from the lines `# alias: NAME, FRAMEWORK, REMARK` above it.
    pub aliases: Vec<Alias>,
    /// Its definition as written.
    pub text: String,
}

/// A parameter of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LibraryParameter {
    /// Its name.
    pub name: String,
    /// Its default as written.
    pub default: Option<String>,
}

impl LibraryFn {
    /// Name and parameters with defaults, on one line: `k2(log_prob_of_reference)`.
    pub fn call(&self) -> String {
        let parameter = |of: &LibraryParameter| {
            of.default.as_ref().map_or_else(|| of.name.clone(), |value| format!("{} = {value}", of.name))
        };
        format!("{}({})", self.name, self.parameters.iter().map(parameter).collect::<Vec<_>>().join(", "))
    }
}

/// Every function of the library, in file order.
pub fn functions() -> Vec<LibraryFn> {
    let of_file = |(file, text): &(&str, &'static str)| read(&format!("std/{file}"), text);
    let with_aliases = |(function, comment): (LibraryFn, Vec<&'static str>)| {
        let aliases = comment.into_iter().filter_map(alias).collect();
        LibraryFn { aliases, ..function }
    };
    LIBRARY.iter().flat_map(of_file).map(with_aliases).collect()
}

/// Every function that a text defines, as far as it parses, in the text's order. Only the library declares aliases.
pub fn functions_of(file: &str, text: &str) -> Vec<LibraryFn> {
    read(file, text).into_iter().map(|(function, _)| function).collect()
}

/// The functions of a text with the comments above them.
fn read<'t>(file: &str, text: &'t str) -> Vec<(LibraryFn, Vec<&'t str>)> {
    let (tree, _) = parse(SourceId(0), text);
    let at = |span: Span| text[span.start as usize..span.end as usize].to_owned();
    let of = |statement: &Statement| {
        let StatementKind::Fn { name, params, .. } = &statement.kind else { return None };
        let comment = comment_above(text, statement.span.start as usize);
        let function = LibraryFn {
            file: file.to_owned(),
            name: at(name.span),
            parameters: params
                .iter()
                .map(|of| LibraryParameter {
                    name: at(of.name.span),
                    default: of.default.as_ref().map(|value| at(value.span)),
                })
                .collect(),
            aliases: Vec::new(),
            docs: comment
                .iter()
                .filter(|line| !line.starts_with(ALIAS))
                .copied()
                .collect::<Vec<_>>()
                .join("\n"),
            text: at(statement.span),
        };
        Some((function, comment))
    };
    tree.statements.iter().filter_map(of).collect()
}

/// The prefix of comment lines that declare another name.
const ALIAS: &str = "alias: ";

/// Parses `alias: NAME, FRAMEWORK` with an optional remark at the end.
fn alias(line: &'static str) -> Option<Alias> {
    let mut parts = line.strip_prefix(ALIAS)?.splitn(3, ", ");
    let alias = Alias::new(parts.next()?, parts.next()?);
    Some(parts.next().map_or(alias, |remark| alias.remark(remark)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_in_the_canonical_layout_and_every_function_is_explained() {
        for (file, text) in LIBRARY {
            let (tree, found) = parse(SourceId(0), text);
            assert!(!found.has_errors(), "{file}");
            assert!(crate::syntax::print(&tree, text) == *text, "`aent fmt src/load/std/{file}` changes it");
        }
        for function in functions() {
            assert!(
                function.docs.ends_with('.') || function.docs.contains('='),
                "{}: {}",
                function.name,
                function.docs
            );
        }
    }

    #[test]
    fn a_function_is_told_with_its_comment_and_its_defaults() {
        let all = functions();
        let k2 = all.iter().find(|of| of.name == "k2").unwrap();
        assert_eq!((k2.file.as_str(), k2.docs.as_str()), ("std/kl.aent", "k2 = e² / 2"));
        let dro = all.iter().find(|of| of.name == "dro").unwrap();
        assert_eq!(dro.aliases, [Alias::new("kimi15", "ROLL").remark("with `beta = 0.1`")]);
        assert!(!dro.docs.contains("kimi15"), "{}", dro.docs);
        assert_eq!(k2.call(), "k2(log_prob_of_reference)");
        let tis = all.iter().find(|of| of.name == "token_tis").unwrap();
        assert!(
            tis.call().starts_with("token_tis(cap = 2, floor = 0, train = old_log_prob"),
            "{}",
            tis.call()
        );
    }
}
