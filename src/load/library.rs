//! The library that is written in the language itself and embedded in this crate: `import "std/..."`.

use crate::plugin::Alias;
use crate::span::{SourceId, Span};
use crate::syntax::ast::{Statement, StatementKind};
use crate::syntax::parse;

/// The name of each file after `std/`, and its text.
pub const LIBRARY: &[(&str, &str)] = &[
    ("advantages.aent", include_str!("std/advantages.aent")),
    ("averages.aent", include_str!("std/averages.aent")),
    ("entropy.aent", include_str!("std/entropy.aent")),
    ("kl.aent", include_str!("std/kl.aent")),
    ("masks.aent", include_str!("std/masks.aent")),
    ("mismatch.aent", include_str!("std/mismatch.aent")),
    ("regression.aent", include_str!("std/regression.aent")),
    ("surrogates.aent", include_str!("std/surrogates.aent")),
    ("values.aent", include_str!("std/values.aent")),
];

/// A function of the library.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LibraryFn {
    /// Its path in an import: `std/kl.aent`.
    pub file: String,
    /// Its name.
    pub name: &'static str,
    /// Its parameters, in the order of positional arguments.
    pub parameters: Vec<LibraryParameter>,
    /// The comment above it, without `#` and without the lines that declare aliases.
    pub docs: String,
    /// Its names in other frameworks, from the lines `# alias: NAME, FRAMEWORK, REMARK` above it.
    pub aliases: Vec<Alias>,
    /// Its definition as written.
    pub text: &'static str,
}

/// A parameter of a function of the library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LibraryParameter {
    /// Its name.
    pub name: &'static str,
    /// Its default as written.
    pub default: Option<&'static str>,
}

impl LibraryFn {
    /// Name and parameters with defaults, on one line: `k2(log_prob_of_reference)`.
    pub fn call(&self) -> String {
        let parameter = |of: &LibraryParameter| {
            of.default.map_or_else(|| of.name.to_owned(), |value| format!("{} = {value}", of.name))
        };
        format!("{}({})", self.name, self.parameters.iter().map(parameter).collect::<Vec<_>>().join(", "))
    }
}

/// Every function of the library, in file order.
pub fn functions() -> Vec<LibraryFn> {
    LIBRARY.iter().flat_map(|(file, text)| functions_of(file, text)).collect()
}

fn functions_of(file: &str, text: &'static str) -> Vec<LibraryFn> {
    let (tree, _) = parse(SourceId(0), text);
    let at = |span: Span| &text[span.start as usize..span.end as usize];
    let of = |statement: &Statement| {
        let StatementKind::Fn { name, params, .. } = &statement.kind else { return None };
        let comment = comment_above(&text[..statement.span.start as usize]);
        Some(LibraryFn {
            file: format!("std/{file}"),
            name: at(name.span),
            parameters: params
                .iter()
                .map(|of| LibraryParameter {
                    name: at(of.name.span),
                    default: of.default.as_ref().map(|value| at(value.span)),
                })
                .collect(),
            aliases: comment.iter().filter_map(|line| alias(line)).collect(),
            docs: comment.into_iter().filter(|line| !line.starts_with(ALIAS)).collect::<Vec<_>>().join("\n"),
            text: at(statement.span),
        })
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

/// The comment lines at the end of a text, without their `#`.
fn comment_above(text: &'static str) -> Vec<&'static str> {
    let mut lines: Vec<_> =
        text.lines().rev().map_while(|line| line.strip_prefix('#')).map(str::trim).collect();
    lines.reverse();
    lines
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
