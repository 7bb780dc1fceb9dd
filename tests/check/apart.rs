//! Diagnostics that take more than one small file to show.

use super::{Memory, check, ids};
use aent::Compiler;
use aent::diag::codes;
use aent::load::functions;
use aent::plugin::prelude::*;
use aent::plugin::{Lookup, registry};
use aent::syntax::{MAX_BYTES, MAX_ERRORS, MAX_HEIGHT, MAX_NESTING, MAX_STATEMENT_TOKENS, MAX_TOKENS};
use std::fmt::Write as _;

const LOSS: &str = "loss = -token_mean(advantages * log_prob)\n";

/// The one finding, as `id: message`.
fn only(compiler: &Compiler, text: &str) -> String {
    let found = check(compiler, "spec.aent", text);
    assert_eq!(found.len(), 1, "{found:?}");
    format!("{}: {}", found[0].id, found[0].message)
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let failure = Compiler::new().loader(Memory::default()).compile_file("missing.aent").unwrap_err();
    let found = super::found(&failure.diagnostics, &failure.sources);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].id.as_str(), found[0].file.as_str()), ("unreadable-file", "missing.aent"));
    assert!(found[0].message.contains("no such file"));
}

#[test]
fn what_an_engine_does_not_know_of_the_step_is_an_error_where_it_is_needed() {
    use aent::plan::Need;
    let text = "let a = rewards - group_mean(rewards)\nlet q = quantile(rewards, 90%)\nlet h = quantile(entropy(), 50%)\n\
        loss = seq_mean_token_sum_norm((a - q - h) * log_prob)\n";
    let known = |known: &[Need]| check(&Compiler::new().known(known.iter().copied()), "spec.aent", text);
    let lines = |found: Vec<super::Found>| {
        found.iter().map(|of| format!("{}:{}: {}", of.line, of.id, of.message)).collect::<Vec<_>>()
    };
    let not_known = "which the engine does not know";
    let need = |line: usize, what: &str, name: &str| {
        format!("{line}:needs-whole-step: this needs {what}, {not_known} (`{name}`)")
    };
    let of_groups = need(1, "all samples of a group together", "groups");
    let of_fields = need(2, "the batch fields of the whole step", "fields");
    let of_model = need(3, "what the model says of the whole step", "whole_step");
    let of_width = need(4, "the padded length of the whole step", "width");
    let of_sequences = need(4, "the number of sequences in the whole step", "sequences");
    assert_eq!(lines(known(&[])), [&*of_groups, &of_fields, &of_model, &of_sequences, &of_width]);
    assert_eq!(lines(known(&[Need::Sequences, Need::Groups, Need::Width])), [&*of_fields, &of_model]);
    assert_eq!(lines(known(&[Need::Sequences, Need::Groups, Need::Width, Need::Fields])), [of_model]);
    assert_eq!(lines(known(&Need::ALL)), [""; 0]);
}

#[test]
fn an_empty_file_has_no_loss() {
    assert_eq!(only(&Compiler::new(), ""), "missing-loss: expected a `loss`, found none");
}

#[test]
fn bytes_that_are_not_utf8_are_shown_with_their_place() {
    let files = Memory::default().with("spec.aent", *b"# caf\xe9\nloss = 1\n");
    let failure = Compiler::new().loader(files).compile_file("spec.aent").unwrap_err();
    let found = super::found(&failure.diagnostics, &failure.sources);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].id.as_str(), found[0].line), ("not-utf8", 1));
    assert_eq!(found[0].message, "expected UTF-8 text, found the byte 0xe9");
}

#[test]
fn files_that_import_one_another_are_told_the_circle() {
    let files = Memory::default().with("a.aent", "import \"b.aent\"\n").with("b.aent", "import \"a.aent\"\n");
    let found = check(&Compiler::new().loader(files), "a.aent", &format!("import \"b.aent\"\n{LOSS}"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].id.as_str(), found[0].file.as_str()), ("import-cycle", "b.aent"));
    assert!(found[0].message.ends_with("a.aent imports b.aent imports a.aent"), "{}", found[0].message);
}

/// The way out of the one finding.
fn way_out(text: &str) -> String {
    let failure = Compiler::new().compile("spec.aent", text).unwrap_err();
    let mut found = failure.diagnostics.iter();
    let (first, second) = (found.next().unwrap(), found.next());
    assert!(second.is_none(), "{second:?}");
    first.help.clone().unwrap_or_default()
}

#[test]
fn what_is_in_the_library_is_told_with_its_import() {
    for (name, file) in
        [("kl_cov", "surrogates"), ("token_tis", "mismatch"), ("kept_mean", "masks"), ("k3", "kl")]
    {
        let expected = format!("it is in the library: `import \"std/{file}.aent\"`");
        assert_eq!(way_out(&format!("loss = token_mean({name}())\n")), expected);
    }
}

#[test]
fn what_others_call_it_is_told_by_its_name_here() {
    assert_eq!(way_out("loss = batch_mean(geo_mean())\n"), "what verl calls `geo_mean` is here `gmpo`");
    assert_eq!(
        way_out("loss = token_mean(kimi15(0.1))\n"),
        "what ROLL calls `kimi15` is here `dro` after `import \"std/surrogates.aent\"`, with `beta = 0.1`"
    );
    let both = way_out("loss = token_mean(tis() * log_prob)\n");
    assert!(both.contains("ROLL calls `tis` is here `cispo`, with `bounds = 0 .. 1`; "), "{both}");
    assert!(both.ends_with("is here `token_tis` after `import \"std/mismatch.aent\"`"), "{both}");
}

#[test]
fn no_alias_is_a_name_of_its_own() {
    let library = functions();
    let entries = registry().iter().flat_map(|entry| entry.declaration().aliases);
    let all: Vec<_> = entries.chain(library.iter().flat_map(|of| &of.aliases)).collect();
    assert!(all.len() > 20, "{all:?}");
    for alias in all {
        let taken = matches!(registry().find(alias.name), Lookup::Found(_))
            || library.iter().any(|of| of.name == alias.name)
            || aent::fields::find(alias.name).is_some();
        assert!(!taken, "`{}` of {} is a name of ours", alias.name, alias.framework);
    }
}

#[test]
fn a_long_row_of_imports_ends() {
    let mut files = Memory::default();
    for index in 0..40 {
        files = files.with(&format!("f{index}.aent"), format!("import \"f{}.aent\"\n", index + 1));
    }
    let text = format!("import \"f0.aent\"\n{LOSS}");
    assert_eq!(ids(&Compiler::new().loader(files), &text), ["nesting-too-deep"]);
}

#[test]
fn parentheses_nest_to_the_limit_and_no_deeper() {
    let nested = |depth: usize| {
        format!("loss = -token_mean({}log_prob{})", "(".repeat(depth - 1), ")".repeat(depth - 1))
    };
    assert_eq!(ids(&Compiler::new(), &nested(MAX_NESTING)), [""; 0]);
    assert_eq!(
        only(&Compiler::new(), &nested(MAX_NESTING + 1)),
        format!(
            "nesting-too-deep: expected at most {MAX_NESTING} parentheses one inside the other, found more"
        )
    );
}

#[test]
fn functions_call_one_another_forty_eight_deep_and_no_deeper() {
    let chain = |depth: usize| {
        let mut text = "fn f0(x) = -x\n".to_owned();
        for index in 1..depth {
            let _ = writeln!(text, "fn f{index}(x) = f{}(x)", index - 1);
        }
        text + &format!("loss = token_mean(f{}(log_prob))", depth - 1)
    };
    assert_eq!(ids(&Compiler::new(), &chain(48)), [""; 0]);
    assert_eq!(ids(&Compiler::new(), &chain(49)), ["nesting-too-deep"]);
}

#[test]
fn sums_are_as_long_as_the_limit_and_no_longer() {
    let sum =
        |terms: usize| format!("let sum = {}\nloss = -token_mean(sum)", vec!["log_prob"; terms].join(" + "));
    assert_eq!(ids(&Compiler::new(), &sum(MAX_HEIGHT)), [""; 0]);
    assert_eq!(ids(&Compiler::new(), &sum(MAX_HEIGHT + 1)), ["expression-too-large"]);
    assert!(ids(&Compiler::new(), &sum(20_000)).contains(&"expression-too-large".to_owned()));
}

#[test]
fn a_large_file_is_not_read() {
    let text = format!("# {}\n{LOSS}", "x".repeat(MAX_BYTES));
    assert_eq!(ids(&Compiler::new(), &text), ["file-too-large"]);
    let text = "metric m = 1\n".repeat(MAX_TOKENS / 4 + 1);
    assert!(ids(&Compiler::new(), &text).contains(&"file-too-large".to_owned()));
}

#[test]
fn explanations_tell_the_limits_in_force() {
    let told = |id: &str, limit: usize| {
        let text = codes::find(id).unwrap().explanation;
        assert!(text.contains(&limit.to_string()), "`{id}` does not tell {limit}");
    };
    told("nesting-too-deep", MAX_NESTING);
    told("expression-too-large", MAX_HEIGHT);
    told("expression-too-large", MAX_STATEMENT_TOKENS);
    told("file-too-large", MAX_BYTES);
    told("file-too-large", MAX_TOKENS);
    told("too-many-errors", MAX_ERRORS);
}

#[test]
fn functions_that_double_grow_too_large() {
    let mut text = "fn f0(x) = exp(x)\n".to_owned();
    for index in 1..16 {
        let before = index - 1;
        let _ = writeln!(text, "fn f{index}(x) = f{before}(x + {index}.25) + f{before}(x - {index}.5)");
    }
    text.push_str("loss = -token_mean(f15(log_prob))\n");
    assert_eq!(ids(&Compiler::new(), &text), ["program-too-large"]);
}

#[test]
fn after_many_syntax_errors_the_rest_is_not_read() {
    let text = "let = 1\n".repeat(70) + LOSS;
    let found = check(&Compiler::new(), "spec.aent", &text);
    assert_eq!(found.len(), 65);
    assert_eq!(found[64].id, "too-many-errors");
    assert_eq!(found[64].message, "found 64 syntax errors, the 7 statements from here on were not read");
}

#[test]
fn a_parameter_set_from_outside_must_exist() {
    let text = format!("param eps = 0.2 # aent: allow(unused-param)\n{LOSS}");
    assert_eq!(ids(&Compiler::new().set("eps", 0.3), &text), [""; 0]);
    let failure = Compiler::new().set("epz", 0.3).compile("spec.aent", &text).unwrap_err();
    let item = failure.diagnostics.iter().find(|item| item.id == "unknown-param").unwrap();
    assert_eq!(item.message, "the file has no `param epz` that could be set to 0.3");
    assert_eq!(item.help.as_deref(), Some("did you mean `eps`?"));
}

#[test]
fn a_parameter_set_from_outside_is_checked_against_its_range() {
    let text = "param eps = 0.2 in 0 .. 1\nloss = token_mean(clip_ppo(low = eps))";
    let compiler = Compiler::new().set("eps", 1.5);
    assert_eq!(only(&compiler, text), "param-out-of-range: expected `eps` in 0 .. 1, found 1.5");
    assert_eq!(ids(&Compiler::new().set("eps", f64::NAN), text), ["param-out-of-range"]);
}

/// A term that another of the same name stands beside.
macro_rules! twin {
    ($object:ident) => {
        /// One of two terms of the same name.
        #[term(name = "twins::term", example = "twins::term()")]
        struct $object {}

        impl Term for $object {
            fn signature() -> Signature {
                Signature::new(Type::TOKEN)
            }

            fn eval(&self, _: &TermContext<'_>) -> Result<TermValue, EvalError> {
                Err(EvalError("a twin is only ever named".to_owned()))
            }
        }
    };
}

twin!(Twin);
twin!(OtherTwin);

#[test]
fn two_owners_of_one_name_are_both_named() {
    assert_eq!(
        only(&Compiler::new(), "loss = token_mean(twins::term())"),
        "ambiguous-name: `twins::term` is registered by `aent`, `aent`"
    );
}
