//! One batch field has one type, whoever reads it: the file, the language, or plugins by themselves.

use super::{check, ids};
use aent::Compiler;
use aent::plugin::prelude::*;

/// A term that reads one batch field by itself.
macro_rules! reader {
    ($name:ident, $call:literal, $field:literal, $ty:expr) => {
        /// A term that reads a field by itself.
        #[term(name = $call, example = "clash::by_token()")]
        struct $name {}

        impl Term for $name {
            fn signature() -> Signature {
                Signature::new(Type::TOKEN).input(Input::field($field, $ty))
            }

            fn eval(&self, _: &TermContext<'_>) -> Result<TermValue, EvalError> {
                Err(EvalError("these terms are only ever checked".to_owned()))
            }
        }
    };
}

reader!(ByToken, "clash::by_token", "speed", Type::TOKEN);
reader!(AlsoByToken, "clash::also_by_token", "speed", Type::TOKEN);
reader!(BySeq, "clash::by_seq", "speed", Type::SEQ);
reader!(ByTruth, "clash::by_truth", "speed", Type::TOKEN.to_bool());
reader!(RewardsByToken, "clash::rewards_by_token", "rewards", Type::TOKEN);
reader!(AdvantagesBySeq, "clash::advantages_by_seq", "advantages", Type::SEQ);

fn statements(text: &str) -> String {
    format!("{text}\nloss = -token_mean(advantages * log_prob)\n")
}

/// The one finding with its labels, as text.
#[track_caller]
fn refused(text: &str, id: &str) -> (usize, String) {
    let text = statements(text);
    let found = check(&Compiler::new(), "spec.aent", &text);
    assert_eq!(found.iter().map(|found| found.id.as_str()).collect::<Vec<_>>(), [id], "{found:?}");
    (found[0].line, found[0].message.clone())
}

/// The lines that the one finding points at besides its own.
fn labels(text: &str) -> Vec<usize> {
    let failure = Compiler::new().compile("spec.aent", &statements(text)).unwrap_err();
    let line = |span: aent::span::Span| failure.sources.get(span.source).line_column(span.start as usize).0;
    failure.diagnostics.iter().flat_map(|found| found.labels.iter().map(|label| line(label.span))).collect()
}

#[test]
fn objects_that_read_a_field_in_one_type_share_it() {
    let text = "metric a = token_mean(clash::by_token())\nmetric b = token_mean(clash::also_by_token())";
    assert_eq!(ids(&Compiler::new(), &statements(text)), [""; 0]);
    let program = Compiler::new().compile("spec.aent", &statements(text)).unwrap();
    assert_eq!(program.inputs.iter().filter(|input| input.name == "speed").count(), 1);
}

#[test]
fn objects_that_read_a_field_in_two_types_are_both_shown() {
    for (first, second, id) in [
        ("by_token", "by_seq", "shape-mismatch"),
        ("by_seq", "by_token", "shape-mismatch"),
        ("by_token", "by_truth", "kind-mismatch"),
    ] {
        let text =
            format!("metric a = token_mean(clash::{first}())\nmetric b = token_mean(clash::{second}())");
        let (line, message) = refused(&text, id);
        assert_eq!(line, 2);
        assert!(message.contains("`speed`") && message.contains(second), "{message}");
        assert_eq!(labels(&text), [1]);
    }
}

#[test]
fn an_input_has_to_fit_what_reads_it() {
    let text = "input speed: token\nmetric b = token_mean(clash::by_seq())";
    let (line, message) = refused(text, "shape-mismatch");
    assert_eq!(line, 2);
    assert_eq!(message, "expected the batch field `speed` of `clash::by_seq` to be a `seq`, found `token`");
    assert_eq!(labels(text), [1]);
    refused("input speed: token bool\nmetric b = token_mean(clash::by_token())", "kind-mismatch");
}

#[test]
fn an_input_that_can_be_broadcast_to_all_readers_serves_them() {
    let text =
        "input speed: seq\nmetric a = token_mean(clash::by_token())\nmetric b = token_mean(clash::by_seq())";
    assert_eq!(ids(&Compiler::new(), &statements(text)), [""; 0]);
    let program = Compiler::new().compile("spec.aent", &statements(text)).unwrap();
    let speeds: Vec<_> = program.inputs.iter().filter(|input| input.name == "speed").collect();
    assert_eq!((speeds.len(), speeds[0].ty), (1, aent::types::InputType::Value(Type::SEQ)));
}

#[test]
fn an_input_below_its_readers_is_checked_too() {
    let text = "metric a = token_mean(clash::by_token())\ninput speed: seq\nmetric b = batch_mean(speed)";
    let (line, message) = refused(text, "shape-mismatch");
    assert_eq!((line, message.as_str()), (2, "expected `speed` to be a `token`, found `seq`"));
    assert_eq!(labels(text), [1]);
    let text = "metric a = token_mean(clash::by_token())\ninput speed: token\nmetric b = token_mean(speed)";
    assert_eq!(ids(&Compiler::new(), &statements(text)), [""; 0]);
}

#[test]
fn an_input_declared_twice_is_still_a_name_defined_twice() {
    let text = "input speed: token\ninput speed: seq\nmetric b = token_mean(speed)";
    refused(text, "duplicate-name");
}

#[test]
fn a_field_of_the_language_keeps_its_type() {
    assert_eq!(
        refused("metric a = token_mean(clash::advantages_by_seq())", "shape-mismatch").1,
        "expected the batch field `advantages` of `clash::advantages_by_seq` to be a `seq`, found `token`"
    );
    let text = "metric a = token_mean(clash::rewards_by_token())";
    assert_eq!(ids(&Compiler::new(), &statements(text)), [""; 0]);
}

#[test]
fn a_value_given_by_name_settles_a_clash() {
    let text =
        "metric a = token_mean(clash::by_token())\nmetric b = token_mean(clash::by_seq(speed = rewards))";
    assert_eq!(ids(&Compiler::new(), &statements(text)), [""; 0]);
}
