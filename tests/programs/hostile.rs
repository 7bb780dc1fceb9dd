//! No text makes the compiler panic, however it came about.

use crate::generate::{Manner, choices, program};
use aent::compile;
use proptest::prelude::*;

/// Where an edit happens, how many characters it removes, and what it puts there.
fn edits() -> impl Strategy<Value = Vec<(prop::sample::Index, usize, String)>> {
    let pieces = proptest::sample::select(vec![
        "",
        " ",
        "\n",
        "(",
        ")",
        ",",
        "=",
        "-",
        " not ",
        "..",
        ".",
        "# c\n",
        "\"",
        "let x0 = ",
        "loss = ",
        " in ",
        "1e999",
        "0",
        "%",
        "^",
        "<",
        "==",
        "x0",
        "::",
        "é",
        "token_mean(",
        "log_prob",
        "entropy()",
        "true",
        "fn a(a) = ",
        "import \"std/aent.aent\"\n",
        "controller c = ",
        "band(",
        "input z: seq bool\n",
        "input z: token int\n",
        "segment_sum(",
        "turn",
        ".clipped",
        "signal = ",
        "f0(",
        "-1",
        "9007199254740993",
        "quantile(",
        "rewards",
        "group",
        "import \"spec.aent\"\n",
        "set temperature = 0\n",
    ]);
    let edit = (any::<prop::sample::Index>(), 0..6_usize, pieces.prop_map(str::to_owned));
    proptest::collection::vec(edit, 1..6)
}

#[test]
fn no_mutated_program_makes_the_compiler_panic() {
    crate::check(1500, (choices(), edits()), |(choices, edits)| {
        let mut text = program(&choices, Manner::Wild);
        for (place, removed, added) in edits {
            let characters: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
            let from = place.index(characters.len());
            let to = (from + removed).min(characters.len() - 1);
            text.replace_range(characters[from]..characters[to], &added);
        }
        match compile(&text) {
            Ok(program) => {
                // What compiles can be saved and brought back.
                let saved = serde_json::to_string(&program).unwrap();
                let restored: aent::Program =
                    serde_json::from_str(&saved).unwrap_or_else(|error| panic!("{error}\nin\n{text}"));
                assert_eq!(restored.to_string(), program.to_string());
            }
            Err(failure) => assert!(!failure.to_string().is_empty(), "{text}"),
        }
    });
}

#[test]
fn statements_in_any_order_make_the_compiler_answer() {
    crate::check(500, (choices(), any::<u64>()), |(choices, seed)| {
        let text = program(&choices, Manner::Wild);
        let mut lines: Vec<&str> = text.lines().collect();
        let mut state = seed;
        for index in (1..lines.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            lines.swap(index, (state >> 33) as usize % (index + 1));
        }
        if let Err(failure) = compile(&lines.join("\n")) {
            assert!(failure.diagnostics.has_errors());
        }
    });
}
