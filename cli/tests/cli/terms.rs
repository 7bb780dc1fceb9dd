//! `aent terms`

use super::fixture::Folder;
use aent::plugin::registry;
use serde_json::{Value, json};

#[test]
fn everything_registered_is_listed_with_its_crate() {
    let ran = Folder::new().run(&["terms"]);
    assert_eq!(ran.code, 0);
    for entry in registry().iter() {
        assert!(
            ran.stdout.contains(&format!(" {}(", entry.declaration().name)),
            "{}",
            entry.declaration().name
        );
    }
    for function in aent::load::functions() {
        assert!(ran.stdout.contains(&format!(" {}(", function.name)), "{}", function.name);
    }
    for name in aent::BUILTINS.iter().map(|of| of.name).chain(aent::fields::FIELDS.iter().map(|of| of.name)) {
        assert!(ran.stdout.contains(&format!(" {name}")), "{name}");
    }
}

#[test]
fn each_can_be_described() {
    for (name, parts) in [
        (
            "clip_ppo",
            &["low = 0.2", "[dual]", "`.clipped`, token bool: ", "arXiv 1707.06347", "crate `aent`"][..],
        ),
        ("token_mean", &["token_mean(x: token) -> scalar", "reduction"]),
        ("band", &["signal: scalar, target, step = 0.001", "controller"]),
        ("clamp", &["clamp(x, lo, hi)", "function of the language"]),
        ("max", &["max(a, b, ...)"]),
        ("dro", &["dro(beta, ", "Kimi k1.5", "fn dro(", "import \"std/surrogates.aent\""]),
        ("advantages", &["advantages: token, no gradient", "batch field"]),
    ] {
        let ran = Folder::new().run(&["terms", name]);
        assert_eq!(ran.code, 0);
        for part in parts {
            assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
        }
    }
}

#[test]
fn programs_get_the_same_table_as_json() {
    let ran = Folder::new().run(&["terms", "--format", "json"]);
    assert_eq!(ran.code, 0);
    let table: Value = serde_json::from_str(&ran.stdout).unwrap();
    let named = |kind: &str, name: &str| -> Value {
        let entries = table[kind].as_array().unwrap();
        entries.iter().find(|entry| entry["name"] == name).unwrap_or_else(|| panic!("{kind} {name}")).clone()
    };
    let kl = named("terms", "kl");
    assert_eq!(kl["inputs"][1]["name"], "ref_log_prob");
    assert_eq!((&kl["inputs"][0]["gradient"], &kl["inputs"][1]["gradient"]), (&true.into(), &false.into()));
    assert_eq!(kl["parameters"][0]["default"], "k3");
    assert_eq!(kl["parameters"][0]["choices"].as_array().unwrap().len(), 7);
    assert_eq!(kl["parameters"][1]["min"], json!({ "value": 0.0, "included": false }));
    assert_eq!(named("terms", "clip_ppo")["extras"][1]["type"], "token bool");
    assert_eq!(named("terms", "entropy")["row_statistics"], json!(["entropy"]));
    assert_eq!(named("controllers", "band")["parameters"][2]["default"], json!([1e-5, 1e-2]));
    assert_eq!(named("library", "dro")["aliases"][0]["framework"], "ROLL");
    assert_eq!(named("reductions", "group_mean")["additive"], false);
    for kind in ["functions", "fields"] {
        assert!(!table[kind].as_array().unwrap().is_empty());
    }
    assert_eq!(Folder::new().run(&["terms", "kl", "--format", "json"]).code, 2);
}

#[test]
fn a_search_lists_what_has_all_its_words() {
    let ran = Folder::new().run(&["terms", "--search", "GEO mean"]);
    assert_eq!(ran.code, 0);
    assert!(ran.stdout.contains(" gmpo("), "verl calls it `geo_mean`: {}", ran.stdout);
    assert!(!ran.stdout.contains("entropy("), "{}", ran.stdout);
    let ran = Folder::new().run(&["terms", "--search", "geo_mean", "--format", "json"]);
    let names: Vec<_> = ran.json()["terms"].as_array().unwrap().iter().map(|of| of["name"].clone()).collect();
    assert_eq!(names, ["gmpo"]);
    Folder::new()
        .run(&["terms", "--search", "zebra crossing"])
        .refused("nothing has the words `zebra crossing`");
}

#[test]
fn an_unknown_name_gets_a_near_one() {
    Folder::new().run(&["terms", "tokn_mean"]).refused("did you mean `token_mean`?");
    Folder::new().run(&["terms", "acme::bonus"]).refused("use acme as _;");
    Folder::new().run(&["terms", "geo_mean"]).refused("what verl calls `geo_mean` is here `gmpo`");
    Folder::new().run(&["terms", "tokn_tis"]).refused("did you mean `token_tis`?");
    Folder::new().run(&["terms", "xyzzy"]).refused("`aent terms` lists every name");
}

#[test]
fn the_documents_are_up_to_date() {
    for (args, file) in
        [(&["terms", "--markdown"][..], "terms.md"), (&["explain", "--all", "--markdown"], "diagnostics.md")]
    {
        let path = format!("{}/../docs/{file}", env!("CARGO_MANIFEST_DIR"));
        let found = std::fs::read_to_string(path).unwrap();
        let wanted = Folder::new().run(args).stdout;
        assert!(
            found == wanted,
            "docs/{file} is not what `aent {}` prints: run `cargo xtask docs`",
            args.join(" ")
        );
    }
}

#[test]
fn the_functions_of_a_file_are_listed_with_their_comments() {
    let text =
        "# Half of it. And more.\nfn half(x, by = 0.5) = x * by\nloss = token_mean(half(clip_ppo()))\n";
    let folder = Folder::with("mine.aent", text);
    let ran = folder.run(&["terms", "mine.aent"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("half(x, by = 0.5)  Half of it"), "{}", ran.stdout);
    folder.write("none.aent", "loss = token_mean(clip_ppo())");
    folder.run(&["terms", "none.aent"]).refused("`none.aent` defines no `fn`");
    folder.run(&["terms", "missing.aent"]).refused("cannot read `missing.aent`");
}
