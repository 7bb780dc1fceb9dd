//! `aent explain`

use super::fixture::{Folder, SPEC};

#[test]
fn a_file_is_explained_with_what_it_costs() {
    let ran = Folder::with("a.aent", SPEC).run(&["explain", "a.aent"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for part in [
        "# Typed program",
        "log_prob over all tokens at temperature 1",
        "entropy over drop = 0.3 at temperature 1",
        "the logits are read once",
        "Their masks are counted first",
        "with a vocabulary of 151,936",
    ] {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }
}

#[test]
fn memory_is_that_of_the_vocabulary_asked_for() {
    let folder = Folder::with("a.aent", SPEC);
    let ran = folder.run(&["explain", "a.aent", "--vocabulary", "1000"]);
    assert!(ran.stdout.contains("gradient of the logits 4,000"), "{}", ran.stdout);
    assert_eq!(folder.run(&["explain", "a.aent", "--vocabulary", "0"]).code, 2);
}

#[test]
fn what_spans_the_batch_is_said() {
    let text = "let fork = top_fraction(entropy, 20%)\nloss = -token_mean(where(fork, log_prob, 0))\n";
    let ran = Folder::with("a.aent", text).run(&["explain", "a.aent"]);
    assert!(ran.stdout.contains("The model runs on each of them twice"), "{}", ran.stdout);
}

#[test]
fn a_wrong_file_is_refused() {
    Folder::with("a.aent", "loss = nothing").run(&["explain", "a.aent"]).refused("unknown-name");
    Folder::new().run(&["explain", "missing.aent"]).refused("unreadable-file");
}

#[test]
fn an_id_is_explained_with_an_example() {
    let ran = Folder::new().run(&["explain", "unknown-name"]);
    assert_eq!(ran.code, 0);
    assert!(ran.stdout.starts_with("# unknown-name (error)\n"), "{}", ran.stdout);
    assert!(ran.stdout.contains("```aent"));
    Folder::new().run(&["explain", "unknow-name"]).refused("did you mean `unknown-name`?");
}

#[test]
fn all_ids_make_one_document() {
    let ran = Folder::new().run(&["explain", "--all", "--markdown"]);
    assert_eq!(ran.code, 0);
    for code in aent::diag::codes::CODES {
        assert!(ran.stdout.contains(&format!("\n## {}\n", code.id)), "{}", code.id);
    }
    assert_eq!(Folder::new().run(&["explain"]).code, 2);
}
