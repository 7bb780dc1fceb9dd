//! The layers of the library: which module may use which. This table defines the architecture; change it deliberately.

use super::Problem;
use super::imports::{Use, uses};
use super::tree::TextFile;
use std::collections::BTreeMap;

/// A module directly under `src`, and what it may use.
struct Layer {
    module: &'static str,
    /// Modules of the library. A module may always use itself.
    may_use: &'static [&'static str],
    /// Whether it may use libtorch.
    torch: bool,
}

const LAYERS: &[Layer] = &[
    // Basic types: no tensors, and no use of higher layers.
    Layer { module: "span", may_use: &[], torch: false },
    Layer { module: "source", may_use: &["span"], torch: false },
    Layer { module: "near", may_use: &[], torch: false },
    Layer { module: "interval", may_use: &[], torch: false },
    Layer { module: "types", may_use: &[], torch: false },
    Layer { module: "rows", may_use: &[], torch: false },
    Layer { module: "passes", may_use: &["rows"], torch: false },
    Layer { module: "fields", may_use: &["interval", "types", "rows"], torch: false },
    Layer { module: "diag", may_use: &["span"], torch: false },
    Layer { module: "syntax", may_use: &["span", "diag", "types"], torch: false },
    Layer { module: "panic", may_use: &[], torch: false },
    // Tensors of any host, and the one host that uses libtorch.
    Layer { module: "tensor", may_use: &[], torch: false },
    Layer { module: "host", may_use: &["panic", "tensor"], torch: true },
    // Numbers: from the language, they use only names of fields and row statistics.
    Layer { module: "kernels", may_use: &["fields", "passes", "rows", "tensor"], torch: false },
    // The interface between the language and everything that it can call.
    Layer {
        module: "plugin",
        may_use: &["span", "diag", "types", "near", "interval", "fields", "rows", "tensor"],
        torch: false,
    },
    // From a text to a program and its plan, without tensors.
    Layer { module: "load", may_use: &["span", "source", "diag", "syntax", "plugin"], torch: false },
    Layer {
        module: "program",
        may_use: &["span", "source", "diag", "types", "interval", "fields", "plugin", "rows"],
        torch: false,
    },
    Layer {
        module: "check",
        may_use: &[
            "span", "diag", "types", "near", "interval", "fields", "syntax", "load", "plugin", "rows",
            "program",
        ],
        torch: false,
    },
    Layer {
        module: "plan",
        may_use: &["span", "types", "fields", "plugin", "rows", "program"],
        torch: false,
    },
    // From a plan and a batch to numbers, without the text.
    Layer {
        module: "exec",
        may_use: &[
            "panic", "types", "fields", "plugin", "rows", "passes", "tensor", "kernels", "program", "plan",
        ],
        torch: false,
    },
    // Built-ins are registered like plugins: no module uses them, and they see only what a plugin sees.
    Layer { module: "terms", may_use: &["plugin"], torch: false },
    Layer { module: "control", may_use: &["plugin"], torch: false },
    Layer { module: "reductions", may_use: &["plugin"], torch: false },
];

/// The path of the table.
const THIS_FILE: &str = "xtask/src/tidy/layers.rs";

/// These connect all layers, and may use everything, including the crate's root.
const UNBOUND: &[&str] = &["lib", "compile", "testing"];

/// Compares what every module of `src` uses with the table.
pub(crate) fn check(files: &[TextFile]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let Some(place) = file.path.strip_prefix("src/").filter(|place| !is_test(place)) else { continue };
        match uses(place, &file.text) {
            Ok(uses) => problems.extend(check_file(&file.path, top_module(place), &uses)),
            Err(message) => problems.push(Problem { path: file.path.clone(), line: 1, message }),
        }
    }
    problems
}

/// Reports modules that the table allows but no code uses.
pub(crate) fn check_allowances(files: &[TextFile]) -> Vec<Problem> {
    let mut used: BTreeMap<&str, Vec<Use>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let Some(place) = file.path.strip_prefix("src/").filter(|place| !is_test(place)) else { continue };
        used.entry(top_module(place)).or_default().extend(uses(place, &file.text).unwrap_or_default());
    }
    let line_of = |module: &str| {
        let table = files.iter().find(|file| file.path == THIS_FILE);
        let row = format!("module: \"{module}\"");
        table.and_then(|file| file.text.lines().position(|line| line.contains(&row))).map_or(1, |at| at + 1)
    };
    let mut problems = Vec::new();
    for Layer { module, may_use, torch } in LAYERS {
        let found = used.get(module).map_or(&[][..], Vec::as_slice);
        let mut unused: Vec<&str> = may_use.to_vec();
        unused.retain(|name| !found.iter().any(|of| !of.torch && of.name == *name));
        if *torch && !found.iter().any(|of| of.torch) {
            unused.push("torch");
        }
        problems.extend(unused.into_iter().map(|name| Problem {
            path: THIS_FILE.to_owned(),
            line: line_of(module),
            message: format!("`{module}` may use `{name}` and does not: take it off"),
        }));
    }
    problems
}

/// `plan` for `plan/fuse.rs`, `diag` for `diag.rs`.
fn top_module(place: &str) -> &str {
    let first = place.split('/').next().unwrap_or(place);
    first.strip_suffix(".rs").unwrap_or(first)
}

/// Whether the file is a module of tests.
fn is_test(place: &str) -> bool {
    place.split('/').any(|part| part == "tests" || part == "tests.rs")
}

fn check_file(path: &str, module: &str, uses: &[Use]) -> Vec<Problem> {
    if UNBOUND.contains(&module) {
        return Vec::new();
    }
    let problem = |line, message| Problem { path: path.to_owned(), line, message };
    let Some(layer) = LAYERS.iter().find(|layer| layer.module == module) else {
        let message = format!("`{module}` is in no layer: give it a row in xtask/src/tidy/layers.rs");
        return vec![problem(1, message)];
    };
    let mut problems = Vec::new();
    for found in uses {
        if found.torch {
            if !layer.torch {
                let message = format!("`{module}` must not touch libtorch, found `{}`", found.name);
                problems.push(problem(found.line, message));
            }
            continue;
        }
        let name = found.name.as_str();
        let known = LAYERS.iter().any(|layer| layer.module == name) || UNBOUND.contains(&name);
        let allowed = name == module || layer.may_use.contains(&name);
        if known && !allowed {
            let may = layer.may_use.join("`, `");
            let may = if may.is_empty() { "no other module".to_owned() } else { format!("only `{may}`") };
            problems.push(problem(found.line, format!("`{module}` may use {may}, found `{name}`")));
        } else if !known && !allowed {
            let message = format!("use `{name}` from the module that defines it, not from the crate's root");
            problems.push(problem(found.line, message));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(path: &str, text: &str) -> Vec<String> {
        check(&[TextFile::new(path, text)]).into_iter().map(|problem| problem.to_string()).collect()
    }

    #[test]
    fn a_module_may_use_itself_and_what_its_layer_names() {
        assert_eq!(
            messages("src/plan/fuse.rs", "use crate::plan::Plan;\nuse crate::{rows, types::Type};"),
            [""; 0]
        );
    }

    #[test]
    fn using_a_higher_layer_is_named_with_its_line() {
        let found = messages("src/plan/fuse.rs", "use crate::types::Type;\nuse crate::exec::Session;");
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("src/plan/fuse.rs:2: `plan` may use only"), "{found:?}");
        assert!(found[0].ends_with("found `exec`"), "{found:?}");
    }

    #[test]
    fn an_allowance_that_nobody_uses_is_named() {
        let files = [TextFile::new("src/fields.rs", "use crate::types::Type;")];
        let found: Vec<_> = check_allowances(&files).iter().map(ToString::to_string).collect();
        let expected = "xtask/src/tidy/layers.rs:1: `fields` may use `interval` and does not: take it off";
        assert!(found.iter().any(|line| line == expected), "{found:?}");
        assert!(!found.iter().any(|line| line.contains("`fields` may use `types`")), "{found:?}");
    }

    #[test]
    fn nobody_uses_the_built_ins() {
        for layer in LAYERS {
            for built_in in ["terms", "control", "reductions"] {
                assert!(!layer.may_use.contains(&built_in), "{}", layer.module);
            }
        }
        assert_eq!(messages("src/exec/mod.rs", "fn a() { crate::terms::entropy() }").len(), 1);
    }

    #[test]
    fn no_two_layers_use_each_other() {
        for layer in LAYERS {
            for used in layer.may_use {
                let lower = LAYERS.iter().find(|other| other.module == *used);
                let lower = lower.unwrap_or_else(|| panic!("`{used}` has no row"));
                assert!(!lower.may_use.contains(&layer.module), "`{}` and `{used}`", layer.module);
            }
        }
    }

    #[test]
    fn libtorch_stays_in_its_host() {
        assert_eq!(
            messages("src/check/infer.rs", "use tch::Kind;"),
            ["src/check/infer.rs:1: `check` must not touch libtorch, found `tch`"]
        );
        assert_eq!(messages("src/host/mod.rs", "use tch::Kind;"), [""; 0]);
    }

    #[test]
    fn tests_may_use_everything() {
        let text = "use crate::types::Type;\n#[cfg(test)]\nmod tests {\n    use crate::exec::Session;\n}";
        assert_eq!(messages("src/plan/fuse.rs", text), [""; 0]);
        assert_eq!(messages("src/plan/tests.rs", "use crate::exec::Session;"), [""; 0]);
    }

    #[test]
    fn the_root_is_for_users() {
        assert_eq!(messages("src/exec/mod.rs", "use crate::compile;").len(), 1);
        assert_eq!(messages("src/testing/mod.rs", "use crate::compile;"), [""; 0]);
    }

    #[test]
    fn a_new_module_needs_a_row() {
        assert!(messages("src/novelty.rs", "//! New.")[0].contains("is in no layer"));
    }
}
