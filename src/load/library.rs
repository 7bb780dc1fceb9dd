//! The library written in the language itself, embedded in this crate: `import "std/..."`.

use crate::span::SourceId;
use crate::syntax::ast::{Statement, StatementKind};
use crate::syntax::parse;

/// Each file's name behind `std/` and its text.
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
pub struct LibraryFn {
    /// How a file imports it: `std/kl.aent`.
    pub file: String,
    /// Its name.
    pub name: String,
    /// The comment above it, without `#`.
    pub docs: String,
    /// Its definition as written.
    pub text: String,
}

impl LibraryFn {
    /// Name and arguments with their defaults, on one line: `k2(log_prob_of_reference)`.
    pub fn call(&self) -> String {
        let head = self.text.split_once(") =").map_or(self.text.as_str(), |(head, _)| head);
        let words = head.trim_start_matches("fn ").split_whitespace().collect::<Vec<_>>().join(" ");
        format!("{words})")
    }
}

/// Every function of the library, file by file in the order written.
pub fn functions() -> Vec<LibraryFn> {
    LIBRARY.iter().flat_map(|(file, text)| functions_of(file, text)).collect()
}

fn functions_of(file: &str, text: &str) -> Vec<LibraryFn> {
    let (tree, _) = parse(SourceId(0), text);
    let of = |statement: &Statement| {
        let StatementKind::Fn { name, .. } = &statement.kind else { return None };
        let (start, end) = (statement.span.start as usize, statement.span.end as usize);
        Some(LibraryFn {
            file: format!("std/{file}"),
            name: name.node.clone(),
            docs: comment_above(&text[..start]),
            text: text[start..end].to_owned(),
        })
    };
    tree.statements.iter().filter_map(of).collect()
}

/// The lines of comment that end a text, without their `#`.
fn comment_above(text: &str) -> String {
    let mut lines: Vec<&str> =
        text.lines().rev().map_while(|line| line.strip_prefix('#')).map(str::trim).collect();
    lines.reverse();
    lines.join("\n")
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
        assert_eq!(k2.call(), "k2(log_prob_of_reference)");
        let tis = all.iter().find(|of| of.name == "token_tis").unwrap();
        assert!(
            tis.call().starts_with("token_tis(cap = 2, floor = 0, train = old_log_prob"),
            "{}",
            tis.call()
        );
    }
}
