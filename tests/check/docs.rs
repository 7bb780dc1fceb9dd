//! What the documents say of the language holds.

use aent::syntax::{MAX_BYTES, MAX_ERRORS, MAX_HEIGHT, MAX_NESTING, MAX_STATEMENT_TOKENS, MAX_TOKENS};
use std::fs;

fn document(name: &str) -> String {
    fs::read_to_string(format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[test]
fn every_block_of_the_documents_compiles() {
    let text = document("docs/language.md") + &document("docs/parity.md");
    let blocks: Vec<_> =
        text.split("```aent\n").skip(1).map(|rest| rest.split_once("```").unwrap().0).collect();
    assert!(blocks.len() >= 12);
    for block in blocks {
        if let Err(failure) = aent::compile(block) {
            panic!("{block}\n{failure}");
        }
    }
}

#[test]
fn every_call_that_the_page_of_parity_names_checks() {
    let text = document("docs/parity.md");
    // The first column of the tables says what to write here.
    let cells =
        text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once(" |")).map(|(cell, _)| cell);
    let calls: Vec<&str> =
        cells.filter_map(|cell| cell.split('`').next()).filter(|call| call.contains('(')).collect();
    assert!(calls.len() > 40, "{calls:?}");
    let library = aent::load::LIBRARY.iter().map(|(file, _)| format!("import \"std/{file}\"\n"));
    let imports: String = library.collect();
    for call in calls {
        let text = format!(
            "{imports}input turn: token int\ninput rollout: seq int\nparam x = 1\nparam score = 0\nparam beta = 0.1\n\
             param value = 0\nparam log_z = 0\n\
             input kept: candidates id\ninput ids: candidates id\ninput of_them: candidates\n\
             let called = {call}\nloss = token_mean(log_prob)"
        );
        if let Err(failure) = aent::compile(&text) {
            panic!("{call}\n{failure}");
        }
    }
}

#[test]
fn the_language_reference_tells_the_limits_in_force() {
    let text = document("docs/language.md");
    let limits = text.split_once("## Limits").unwrap().1;
    for limit in [MAX_BYTES, MAX_TOKENS, MAX_STATEMENT_TOKENS, MAX_NESTING, MAX_HEIGHT, MAX_ERRORS] {
        assert!(limits.contains(&format!("| {limit} |")), "{limit}");
    }
}

#[test]
fn the_language_reference_names_every_lint_field_function_and_reduction() {
    let text = document("docs/language.md");
    for code in aent::diag::codes::CODES.iter().filter(|code| code.is_lint) {
        assert!(text.contains(&format!("`{}`", code.id)), "{}", code.id);
    }
    for field in aent::fields::FIELDS {
        assert!(text.contains(&format!("| `{}` |", field.name)), "{}", field.name);
    }
    for function in aent::BUILTINS {
        assert!(text.contains(&format!("`{}(", function.name)), "{}", function.name);
    }
    for entry in aent::plugin::registry().iter().filter(|entry| entry.kind() == "reduction") {
        assert!(text.contains(&format!("`{}", entry.declaration().name)), "{}", entry.declaration().name);
    }
}
