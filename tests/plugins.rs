//! A linked plugin crate is as good as a built-in: checked, documented, fused, saved and brought back.

use aent::diag::Severity;
use aent::plugin::{AnyEntry, Literal, Lookup, Presence, registry};
use aent::program::Program;
use aent::testing::{Extent, Outcome, sample, smooth};
use aent::{Session, compile};
use aent_plugin_template as _;
use tch::Kind;

const SPEC: &str = "
    let tail = template::tail_mass(k = 2)

    controller beta = template::step(signal = token_mean(tail), target = 0.05, step = 0.1)

    loss = token_mean(clip_ppo()) + beta * token_mean(tail)

    metric tail = token_mean(tail)";

/// The ids and messages of the errors of a loss that is, or contains, the given expression.
fn errors(statements: &str) -> Vec<(&'static str, String)> {
    let failure = compile(statements).expect_err("the program is wrong");
    let errors = failure.diagnostics.iter().filter(|found| found.severity == Severity::Error);
    errors.map(|found| (found.id, found.message.clone())).collect()
}

#[track_caller]
fn assert_refused(expr: &str, id: &str, words: &[&str]) {
    let found = errors(&format!("loss = token_mean({expr})"));
    let matches =
        |(found, message): &(&str, String)| *found == id && words.iter().all(|word| message.contains(word));
    assert!(found.iter().any(matches), "`{expr}`: expected {id} with {words:?}, found {found:?}");
}

#[track_caller]
fn assert_controller_refused(call: &str, id: &str, words: &[&str]) {
    let found = errors(&format!("controller c = {call}\nloss = token_mean(log_prob) * c"));
    let matches =
        |(found, message): &(&str, String)| *found == id && words.iter().all(|word| message.contains(word));
    assert!(found.iter().any(matches), "`{call}`: expected {id} with {words:?}, found {found:?}");
}

#[test]
fn a_program_of_built_ins_and_plugins_steps_and_moves_its_coefficient() {
    let case = sample(&smooth(Extent::exactly(2, 3, 5)), 1).remove(0);
    let mut session = Session::new(compile(SPEC).unwrap());
    let leaves = case.leaves(Kind::Float, tch::Device::Cpu);
    let output = session.forward(&leaves.batch).unwrap();
    output.backward().unwrap();
    assert!(leaves.logits.grad().abs().sum(Kind::Float).double_value(&[]) > 0.0);
    assert_eq!(session.coefficients(), [("beta".to_owned(), 0.0)].into());
    session.update(&output).unwrap();
    let up = output.metrics().unwrap()["tail"] <= 0.05;
    assert_eq!(session.coefficients(), [("beta".to_owned(), if up { 0.1 } else { 0.0 })].into());
}

#[test]
fn a_saved_program_brings_its_plugin_objects_back() {
    let program = compile(SPEC).unwrap();
    let saved = serde_json::to_string(&program).unwrap();
    assert!(saved.contains("aent-plugin-template"), "{saved}");
    let restored: Program = serde_json::from_str(&saved).unwrap();
    assert_eq!(restored.to_string(), program.to_string());
    let case = sample(&smooth(Extent::exactly(2, 3, 5)), 1).remove(0);
    let outcome = |program| Outcome::of(&Session::new(program), &case, Kind::Double).unwrap();
    assert_eq!(outcome(restored), outcome(program));
}

#[test]
fn a_program_of_another_version_of_a_plugin_is_refused_with_both_versions() {
    let version = registry()
        .iter()
        .find(|entry| entry.declaration().name == "template::step")
        .unwrap()
        .declaration()
        .version;
    let saved = serde_json::to_string(&compile(SPEC).unwrap()).unwrap();
    let owned = |version: &str| format!("\"owner\":\"aent-plugin-template\",\"version\":\"{version}\"");
    assert!(saved.contains(&owned(version)), "{saved}");
    let other = saved.replace(&owned(version), &owned("99.0.0"));
    let error = serde_json::from_str::<Program>(&other).unwrap_err().to_string();
    assert!(error.contains("99.0.0") && error.contains(version), "{error}");
    let gone = saved.replace("template::tail_mass", "template::gone");
    let error = serde_json::from_str::<Program>(&gone).unwrap_err().to_string();
    assert!(error.contains("template::gone"), "{error}");
}

#[test]
fn an_entry_names_its_owner_and_its_arguments() {
    let Lookup::Found(entry @ AnyEntry::Controller(_)) = registry().find("template::step") else {
        panic!("`template::step` is a controller");
    };
    assert_eq!(entry.declaration().owner, "aent-plugin-template");
    let parameters = entry.declaration().parameters.iter();
    let arguments: Vec<_> = parameters.map(|of| (of.name, of.presence, of.limits.in_words())).collect();
    let default = |value| Presence::Default(value);
    let expected = [
        ("target", Presence::Required, None),
        ("step", default(Literal::Number(0.005)), Some("above 0".to_owned())),
        ("bounds", default(Literal::Range(0.0, 1.0)), None),
        ("init", default(Literal::Number(0.0)), None),
    ];
    assert_eq!(arguments, expected);
}

#[test]
fn the_sets_of_a_clamped_entropy_exclude_one_another() {
    assert_refused("clamped_entropy()", "argument-value", &["`drop`", "`min_p`", "none"]);
    assert_refused("clamped_entropy(drop = 0.3, top_k = 4)", "argument-value", &["`drop` and `top_k`"]);
    assert_refused("clamped_entropy(drop = 1)", "argument-value", &["`drop`", "found 1"]);
    assert_refused("clamped_entropy(drop = -0.1)", "argument-value", &["`drop`", "-0.1"]);
    assert_refused("clamped_entropy(top_k = 0)", "argument-value", &["`top_k`", "found 0"]);
    assert_refused("clamped_entropy(top_k = 2.5)", "argument-type", &["a whole number", "`top_k`"]);
    assert_refused("clamped_entropy(top_p = 0)", "argument-value", &["`top_p`"]);
    assert_refused("clamped_entropy(min_p = 1.5)", "argument-value", &["`min_p`"]);
    assert_refused("clamped_entropy(dorp = 0.3)", "unknown-argument", &["`dorp`"]);
}

#[test]
fn arguments_out_of_range_are_refused() {
    assert_refused("clip_ppo(low = 1.5)", "argument-value", &["`low`", "1.5"]);
    assert_refused("clip_ppo(high = -0.2)", "argument-value", &["`high`", "-0.2"]);
    assert_refused("clip_ppo(dual = 0.5)", "argument-value", &["`dual`", "above 1"]);
    assert_refused("clip_ppo(delta = 1)", "argument-value", &["`delta`", "above 1"]);
    assert_refused("clip_ppo(guard = 0)", "argument-value", &["`guard`"]);
    assert_refused("kl(estimator = \"k4\")", "argument-value", &["`estimator`", "k4", "k3"]);
    assert_refused("kl(output_clamp = 0)", "argument-value", &["`output_clamp`"]);
    assert_refused("clip_value(clip = -1)", "argument-value", &["`clip`"]);
    assert_refused("template::tail_mass(k = 0)", "argument-value", &["`k`"]);
    assert_refused("template::tail_mass()", "missing-argument", &["`k`"]);
    let found = errors("loss = seq_mean_token_sum_norm(log_prob, length = 0)");
    assert_eq!(found[0].0, "argument-value", "{found:?}");
}

#[test]
fn controllers_that_could_never_act_are_refused() {
    let band = |args: &str| format!("band(signal = token_mean(entropy()), {args})");
    let refused =
        |args: &str, words: &[&str]| assert_controller_refused(&band(args), "argument-value", words);
    assert_controller_refused(&band("target = 0.5 .. 0.1"), "empty-range", &["0.5 .. 0.1"]);
    refused("target = 0.1, bounds = 1 .. 1, init = 1", &["`bounds`", "room"]);
    refused("target = 0.1, init = 2", &["`init`", "found 2"]);
    refused("target = 0.1, step = 0", &["`step`"]);
    refused("target = 0.1, reg = -1", &["`reg`"]);
    refused("target = 0.1, step = 0.5, reg = 3", &["`step * reg`", "1.5"]);
    assert_controller_refused("band(signal = token_mean(entropy()))", "missing-argument", &["`target`"]);
    assert_controller_refused("linear(from = 1, to = 0, steps = 0)", "argument-value", &["`steps`"]);
    assert_controller_refused("cosine(from = 1, to = 0)", "missing-argument", &["`steps`"]);
    assert_controller_refused("constant()", "missing-argument", &["`value`"]);
}

#[test]
fn the_readmes_show_the_code_of_the_template() {
    let (own, root) = (include_str!("../plugins/template/README.md"), include_str!("../README.md"));
    for code in [
        include_str!("../plugins/template/src/tail_mass.rs"),
        include_str!("../plugins/template/src/step.rs"),
    ] {
        assert!(own.contains(code.trim_end()), "the template's README shows other code than\n{code}");
        assert!(root.contains(code.trim_end()), "README.md shows other code than\n{code}");
    }
    let manifest = include_str!("../plugins/template/Cargo.toml");
    assert!(own.contains(manifest.trim_end()), "the template's README shows another manifest");
}
