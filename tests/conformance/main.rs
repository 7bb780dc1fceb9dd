//! Every registered entry, built in or linked, passes the suite for plugins; and the suite finds what is wrong.

mod faulty;

use aent::plugin::registry;
use aent::testing::Conformance;
use aent_plugin_template as _;

/// Terms that hold a factor of their formula constant for the gradient. What their gradient is, tests/numerics judges.
const WITH_STOPS: [&str; 4] = ["cispo", "dppo", "gppo", "vtrace"];

fn assert_all_conform(kind: &str) {
    let entries = registry().iter().filter(|entry| entry.kind() == kind);
    let names = entries.map(|entry| entry.declaration().name).filter(|name| !name.starts_with("faulty::"));
    let failures: Vec<String> = names
        .filter_map(|name| {
            let suite = Conformance::of(name);
            let suite = if WITH_STOPS.contains(&name) { suite.gradient_of_its_own() } else { suite };
            let found = suite.check().err()?;
            Some(format!("`{name}` does not conform:\n{found}"))
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn every_registered_term_conforms() {
    assert_all_conform("term");
}

#[test]
fn every_registered_reduction_conforms() {
    assert_all_conform("reduction");
}

#[test]
fn every_registered_controller_conforms() {
    assert_all_conform("controller");
}

#[test]
fn the_registry_holds_the_language_and_the_linked_plugin() {
    let names: Vec<&str> = registry().iter().map(|entry| entry.declaration().name).collect();
    let language = "accepted adaptive_kl anchored average band batch_mean batch_sum cispo clamped_entropy clip_cov \
                    clip_ppo clip_value constant cosine cumsum doubling dppo dual_ascent entropy gae gmpo gppo group_count group_max \
                    group_mean group_min group_rank group_std group_sum gspo kl length linear log_prob m2po_kept mass mass_entropy pass_at_k pid \
                    piecewise position renyi_entropy reverse_cumsum seq_max seq_mean seq_mean_token_mean \
                    seq_mean_token_sum seq_mean_token_sum_norm seq_min seq_std seq_sum step template::step \
                    template::tail_mass token_max token_mean token_min token_sum tsallis_entropy varentropy \
                    vtrace z_loss";
    for name in language.split(' ') {
        assert!(names.contains(&name), "`{name}` is not registered: {names:?}");
    }
}

#[track_caller]
fn assert_found(name: &str, words: &[&str]) {
    let found = Conformance::of(name).check().expect_err("the entry is faulty");
    for word in words {
        assert!(found.contains(word), "`{name}`: expected a finding with {word:?}, found\n{found}");
    }
}

#[test]
fn poor_documentation_is_found() {
    assert_found("faulty::undocumented", &["one sentence", "Formula", "Source:", "the line about `scale`"]);
}

#[test]
fn a_gradient_that_is_not_the_derivative_is_found_unless_it_is_meant() {
    assert_found("faulty::half_gradient", &["finite differences"]);
    Conformance::of("faulty::half_gradient").gradient_of_its_own().check().unwrap();
}

#[test]
fn lost_digits_are_found() {
    assert_found("faulty::lossy", &["f32 against f64"]);
}

#[test]
fn a_value_outside_of_its_interval_is_found() {
    assert_found("faulty::lossy", &["expected values in 0 .. inf"]);
}

#[test]
fn a_mean_over_the_part_at_hand_is_found() {
    assert_found("faulty::local_mean", &["micro-batches"]);
}

#[test]
fn a_result_of_another_shape_is_found() {
    assert_found("faulty::flat", &["expected a result of shape"]);
}

#[test]
fn an_argument_that_is_not_saved_is_found() {
    assert_found("faulty::forgetful", &["saving and restoring"]);
}

#[test]
fn a_controller_that_leaves_its_bounds_is_found() {
    assert_found("faulty::wanderer", &["is outside"]);
}

#[test]
fn a_controller_that_refuses_its_own_memory_is_found() {
    assert_found("faulty::hoarder", &["`validate` refuses the state", "length 0, found length 1"]);
}

#[test]
fn an_unknown_name_is_found() {
    assert_found("faulty::nothing", &["no crate or more than one registers `faulty::nothing`"]);
}
