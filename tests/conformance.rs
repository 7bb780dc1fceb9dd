//! Every registered entry, built in or linked, passes the suite for plugins.

use aent::plugin::registry;
use aent::testing::Conformance;
use aent_plugin_template as _;

#[test]
fn every_registered_entry_conforms() {
    let failures: Vec<String> = registry()
        .iter()
        .filter_map(|entry| {
            let name = entry.info().name;
            let found = Conformance::of(name).check().err()?;
            Some(format!("`{name}` does not conform:\n{found}"))
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn the_registry_holds_the_language_and_the_linked_plugin() {
    let names: Vec<&str> = registry().iter().map(|entry| entry.info().name).collect();
    let language = [
        "band",
        "batch_mean",
        "batch_sum",
        "clamped_entropy",
        "clip_ppo",
        "clip_value",
        "constant",
        "cosine",
        "entropy",
        "group_mean",
        "group_std",
        "kl",
        "linear",
        "log_prob",
        "seq_mean",
        "seq_mean_token_mean",
        "seq_mean_token_sum",
        "seq_mean_token_sum_norm",
        "seq_sum",
        "template::step",
        "template::tail_mass",
        "token_mean",
        "token_sum",
    ];
    for name in language {
        assert!(names.contains(&name), "`{name}` is not registered: {names:?}");
    }
}
