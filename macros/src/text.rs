//! The text of doc comments.

use syn::{Attribute, Expr, ExprLit, Lit, Meta};

/// The lines of a doc comment, without the leading space of each.
pub(crate) fn docs(attributes: &[Attribute]) -> Vec<String> {
    let line = |attribute: &Attribute| {
        let Meta::NameValue(pair) = &attribute.meta else { return None };
        let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = &pair.value else { return None };
        let text = text.value();
        pair.path.is_ident("doc").then(|| text.strip_prefix(' ').unwrap_or(&text).trim_end().to_owned())
    };
    attributes.iter().filter_map(line).collect()
}

/// The same for rustdoc, with indented formulas fenced: rustdoc would run them as Rust.
pub(crate) fn fenced(lines: &[String]) -> String {
    let mut out = String::new();
    let mut inside = false;
    for (at, line) in lines.iter().enumerate() {
        let indented = line.starts_with("    ");
        // An empty line within a formula belongs to it.
        let goes_on = inside
            && line.is_empty()
            && lines[at..].iter().find(|line| !line.is_empty()).is_some_and(|next| next.starts_with("    "));
        if indented != inside && !goes_on {
            out.push_str(if indented { "```text\n" } else { "```\n" });
            inside = indented;
        }
        out.push_str(line.strip_prefix("    ").filter(|_| inside).unwrap_or(line));
        out.push('\n');
    }
    if inside {
        out.push_str("```\n");
    }
    out
}

/// A doc comment as one line.
pub(crate) fn line(attributes: &[Attribute]) -> String {
    docs(attributes).join(" ").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_are_fenced_and_sentences_are_not() {
        let lines = ["A sum.", "", "    x + y", "", "    = z", "", "Source: none."].map(str::to_owned);
        assert_eq!(fenced(&lines), "A sum.\n\n```text\nx + y\n\n= z\n```\n\nSource: none.\n");
        assert_eq!(fenced(&["    x".to_owned()]), "```text\nx\n```\n");
    }
}
