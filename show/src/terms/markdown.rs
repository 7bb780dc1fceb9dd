//! The reference of everything registered, as one Markdown document.

use super::{KINDS, describe, entries, signature};
use aent::load::LIBRARY;
use aent::{BUILTINS, fields};
use std::fmt::Write as _;

/// The whole document.
pub fn reference() -> String {
    let mut out = String::from(
        "# Terms, reductions, controllers, functions and batch fields\n\n\
         Everything that a file can call or read. `aent terms NAME` shows one of these sections. This page is written by \
         `cargo xtask docs` from the entries' declarations.\n",
    );
    // Writing into a string cannot fail.
    for (kind, heading) in KINDS {
        let _ = write!(out, "\n## {heading}\n");
        for entry in entries(kind) {
            let (declaration, body) = (entry.declaration(), describe::body(entry));
            let _ = write!(
                out,
                "\n### {}\n\n```text\n{}\n```\n\n{body}",
                declaration.name,
                signature::short(entry)
            );
            let _ = write!(out, "\nExample: `{}`. Crate: `{}`.\n", declaration.example, declaration.owner);
        }
    }
    out.push_str(
        "\n## Library\n\nFunctions in the language itself. A file that imports one of these may call what it defines, and may copy it \
         and change it.\n",
    );
    for (file, text) in LIBRARY {
        let _ = write!(out, "\n### std/{file}\n\n```aent\n{text}```\n");
    }
    out.push_str("\n## Functions\n\n| function | |\n| --- | --- |\n");
    for function in BUILTINS {
        let _ = writeln!(out, "| `{}` | {} |", signature::function(function), function.docs);
    }
    out.push_str("\n## Batch fields\n\n| field | type | gradient | |\n| --- | --- | --- | --- |\n");
    for field in fields::FIELDS {
        let gradient = if field.gradient { "yes" } else { "no" };
        let _ = writeln!(out, "| `{}` | `{}` | {gradient} | {} |", field.name, field.ty, field.docs);
    }
    out.push_str(
        "\n`logits` (`[B, T, V]`) and `actions` (`[B, T]`, int64) are read through row statistics such as `log_prob` and `entropy`; \
         they are not values of a formula.\n",
    );
    out
}
