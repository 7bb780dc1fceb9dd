//! Every diagnostic id is explained in the table and shown by a test; the table holds no id that nobody gives.

use std::collections::{BTreeMap, BTreeSet};

use super::Problem;
use super::scan::{Token, starts_with, tokens, without_tests};
use super::tree::TextFile;

/// The table of ids with their explanations.
const TABLE: &str = "src/diag/codes";

/// What makes a diagnostic; the id is the first argument.
const MAKERS: &[[&str; 4]] = &[
    ["Diagnostic", "::", "error", "("],
    ["Diagnostic", "::", "warning", "("],
    ["Message", "::", "new", "("],
];

/// A place in the repository.
type Place = (String, usize);

/// Compares the ids in `src` with the table and with the tests.
pub(crate) fn check(files: &[TextFile]) -> Vec<Problem> {
    let mut given: BTreeMap<String, Place> = BTreeMap::new();
    let mut explained: BTreeMap<String, Place> = BTreeMap::new();
    let mut literals: BTreeSet<String> = BTreeSet::new();
    let mut problems = Vec::new();
    for file in files.iter().filter(|file| file.is_rust() && file.path.starts_with("src/")) {
        // A file that is no Rust is told by another rule.
        let tokens = without_tests(&tokens(&file.text).unwrap_or_default());
        let place = |line| (file.path.clone(), line);
        if file.path.starts_with(TABLE) {
            explained.extend(fields(&tokens, "id").into_iter().map(|(id, line)| (id, place(line))));
            let empty = fields(&tokens, "explanation").into_iter().filter(|(text, _)| text.trim().is_empty());
            problems.extend(
                empty.map(|(_, line)| problem(&place(line), "expected an explanation, found none".into())),
            );
        } else {
            for (id, line) in made(&tokens) {
                given.entry(id).or_insert_with(|| place(line));
            }
            literals.extend(tokens.iter().filter_map(Token::string).map(str::to_owned));
        }
    }
    let tests: Vec<_> = files.iter().filter(|file| file.path.starts_with("tests/")).collect();
    for (id, place) in &given {
        if !explained.contains_key(id) {
            problems.push(problem(place, format!("the id `{id}` has no entry in `{TABLE}.rs`")));
        }
    }
    for (id, place) in &explained {
        if !literals.contains(id) {
            problems.push(problem(place, format!("the id `{id}` is explained, but nothing in src gives it")));
        }
    }
    // An id may reach its diagnostic through a variable; then the table is the only place that tells.
    let all: BTreeMap<_, _> = explained.iter().chain(&given).collect();
    for (id, place) in all {
        if !tests.iter().any(|file| names(&file.text, id)) {
            problems.push(problem(place, format!("no file under tests/ shows the id `{id}`")));
        }
    }
    problems
}

fn problem((path, line): &Place, message: String) -> Problem {
    Problem { path: path.clone(), line: *line, message }
}

/// The ids that diagnostics are made with.
fn made(tokens: &[Token]) -> Vec<(String, usize)> {
    let mut ids = Vec::new();
    for at in 0..tokens.len() {
        if MAKERS.iter().any(|maker| starts_with(&tokens[at..], maker))
            && let Some(token) = tokens.get(at + 4)
            && let Some(id) = token.string()
        {
            ids.push((id.to_owned(), token.line));
        }
    }
    ids
}

/// The texts that stand in fields `name: "..."`.
fn fields(tokens: &[Token], name: &str) -> Vec<(String, usize)> {
    let mut texts = Vec::new();
    for at in 0..tokens.len() {
        if starts_with(&tokens[at..], &[name, ":"])
            && let Some(token) = tokens.get(at + 2)
            && let Some(text) = token.string()
        {
            texts.push((text.to_owned(), token.line));
        }
    }
    texts
}

/// Whether the text holds the id as a word of its own: `unknown-name` is not in `unknown-name-in-set`.
fn names(text: &str, id: &str) -> bool {
    let is_word = |sign: char| sign.is_alphanumeric() || sign == '-' || sign == '_';
    text.match_indices(id)
        .any(|(start, _)| !text[..start].ends_with(is_word) && !text[start + id.len()..].starts_with(is_word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(src: &str, table: &str, test: &str) -> Vec<String> {
        let files = [
            TextFile::new("src/check/names.rs", src),
            TextFile::new("src/diag/codes.rs", table),
            TextFile::new("tests/check/names.md", test),
        ];
        check(&files).into_iter().map(|problem| problem.to_string()).collect()
    }

    const GIVEN: &str = "fn a() { Diagnostic::error(\n    \"unknown-name\", span, text) }";
    const ENTRY: &str = "const CODES: &[Code] = &[Code { id: \"unknown-name\", text: \"A name.\" }];";

    #[test]
    fn an_id_that_is_explained_and_tested_passes() {
        assert_eq!(messages(GIVEN, ENTRY, "# error: [unknown-name]"), [""; 0]);
    }

    #[test]
    fn an_id_without_an_entry_is_named_at_its_place() {
        let found = messages(GIVEN, "", "# error: [unknown-name]");
        assert_eq!(
            found,
            ["src/check/names.rs:2: the id `unknown-name` has no entry in `src/diag/codes.rs`"]
        );
    }

    #[test]
    fn an_id_without_a_test_is_named() {
        let found = messages(GIVEN, ENTRY, "# error: [unknown-name-in-set]");
        assert_eq!(found, ["src/check/names.rs:2: no file under tests/ shows the id `unknown-name`"]);
    }

    #[test]
    fn an_entry_that_nobody_gives_is_named() {
        let found = messages("", ENTRY, "# error: [unknown-name]");
        assert_eq!(
            found,
            ["src/diag/codes.rs:1: the id `unknown-name` is explained, but nothing in src gives it"]
        );
    }

    #[test]
    fn an_id_given_through_a_variable_still_needs_a_test() {
        let by_table =
            "fn a() { let id = match kind { _ => \"unknown-name\" }; Diagnostic::error(id, span, text) }";
        assert_eq!(messages(by_table, ENTRY, "# error: [unknown-name]"), [""; 0]);
        assert_eq!(messages(by_table, ENTRY, "").len(), 1);
    }

    #[test]
    fn an_empty_explanation_is_none() {
        let table = ENTRY.replace("text: \"A name.\"", "explanation: \"\"");
        let found = messages(GIVEN, &table, "# error: [unknown-name]");
        assert_eq!(found, ["src/diag/codes.rs:1: expected an explanation, found none"]);
    }

    #[test]
    fn warnings_and_messages_give_ids_too() {
        let tokens =
            tokens("Diagnostic::warning(\"a\", s); Message::new(\"b\", t); Message::new(id, t)").unwrap();
        let ids: Vec<_> = made(&tokens).into_iter().map(|(id, _)| id).collect();
        assert_eq!(ids, ["a", "b"]);
    }
}
