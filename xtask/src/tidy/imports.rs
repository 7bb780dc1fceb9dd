//! Finds the top modules of the crate that a file names, through `crate::`, `super::` or a macro.

use super::scan::{Token, starts_with, tokens, without_tests};

/// A module or crate that a file names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Use {
    /// A top module of this crate, an item at its root, or libtorch's crate.
    pub(crate) name: String,
    /// Counted from 1.
    pub(crate) line: usize,
    /// Whether it is libtorch's crate.
    pub(crate) torch: bool,
}

/// The crates that bring libtorch's tensors.
const TORCH: &[&str] = &["tch", "torch_sys"];

/// What a file at `place` below `src` names, outside its tests.
pub(crate) fn uses(place: &str, text: &str) -> Result<Vec<Use>, String> {
    let tokens = without_tests(&tokens(text)?);
    let mut found = Vec::new();
    // The number of `super`s from here to the crate's root, and where inline modules end.
    let mut climb = depth(place);
    let mut inline_ends = Vec::new();
    let mut braces = 0_usize;
    for at in 0..tokens.len() {
        let rest = &tokens[at..];
        match rest[0].text.as_str() {
            "{" => {
                if at >= 2 && tokens[at - 2].is("mod") {
                    climb += 1;
                    inline_ends.push(braces);
                }
                braces += 1;
            }
            "}" => {
                braces = braces.saturating_sub(1);
                if inline_ends.last() == Some(&braces) {
                    inline_ends.pop();
                    climb -= 1;
                }
            }
            // The library also names itself `aent`, so that macros work inside and outside.
            "crate" | "aent" if !follows_a_path(&tokens, at) => found.extend(path_heads(&rest[1..])),
            "super" if !follows_a_path(&tokens, at) => {
                let supers = rest.chunks(2).take_while(|pair| starts_with(pair, &["super", "::"])).count();
                if supers >= climb && supers > 0 {
                    found.extend(path_heads(&rest[2 * supers - 1..]));
                }
            }
            _ if names_torch(&tokens, at) => {
                found.push(Use { name: rest[0].text.clone(), line: rest[0].line, torch: true });
            }
            _ => {}
        }
    }
    Ok(found)
}

/// How many `super`s lead from the file to the crate's root.
fn depth(place: &str) -> usize {
    let parts = place.split('/').count();
    if place.ends_with("/mod.rs") { parts - 1 } else { parts }
}

/// Whether the token is libtorch's crate, and not another item with that name.
fn names_torch(tokens: &[Token], at: usize) -> bool {
    let is_path = tokens.get(at + 1).is_some_and(|next| next.is("::")) || at > 0 && tokens[at - 1].is("use");
    TORCH.iter().any(|name| tokens[at].is(name)) && is_path && !follows_a_path(tokens, at)
}

fn follows_a_path(tokens: &[Token], at: usize) -> bool {
    at > 0 && tokens[at - 1].is("::")
}

/// The first names after `::`: one, or the first of each branch in `{a, b::c}`. Macros do not count.
fn path_heads(tokens: &[Token]) -> Vec<Use> {
    if !tokens.first().is_some_and(|token| token.is("::")) {
        return Vec::new();
    }
    let Some(first) = tokens.get(1) else { return Vec::new() };
    if first.is_ident {
        let is_macro = tokens.get(2).is_some_and(|next| next.is("!"));
        return if is_macro { Vec::new() } else { vec![module(first)] };
    }
    let mut heads = Vec::new();
    let mut depth = 0_usize;
    let mut at_start = false;
    for token in &tokens[1..] {
        match token.text.as_str() {
            "{" => {
                depth += 1;
                at_start = depth == 1;
            }
            "}" if depth <= 1 => break,
            "}" => depth -= 1,
            "," => at_start = depth == 1,
            _ => {
                if at_start && token.is_ident && depth == 1 {
                    heads.push(module(token));
                }
                at_start = false;
            }
        }
        if depth == 0 {
            break;
        }
    }
    heads
}

fn module(token: &Token) -> Use {
    Use { name: token.text.clone(), line: token.line, torch: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(place: &str, text: &str) -> Vec<String> {
        uses(place, text).unwrap().into_iter().map(|found| found.name).collect()
    }

    #[test]
    fn imports_and_paths_in_code_are_found() {
        assert_eq!(
            names("a.rs", "use crate::span::Span;\nfn f(x: crate::types::Type) { crate::diag::g() }"),
            ["span", "types", "diag"]
        );
    }

    #[test]
    fn the_crates_own_name_is_no_way_round() {
        assert_eq!(
            names("a.rs", "use aent::exec::Session; fn f(aent: i64) { other::aent::g(aent) }"),
            ["exec"]
        );
    }

    #[test]
    fn a_group_names_each_of_its_branches() {
        assert_eq!(
            names("a.rs", "use crate::{span::{Span, Spanned}, types, diag::Label as L};"),
            ["span", "types", "diag"]
        );
    }

    #[test]
    fn comments_texts_and_foreign_paths_name_nothing() {
        let text = "//! See [`crate::exec`].\n/// `crate::plan`\nfn a() { say(\"crate::check\"); other::tch::b() } // crate::x";
        assert_eq!(names("a.rs", text), [""; 0]);
    }

    #[test]
    fn macros_count_where_they_are_written() {
        assert_eq!(names("a.rs", "macro_rules! m { () => { $crate::plugin::submit!() } }"), ["plugin"]);
        assert_eq!(names("a.rs", "assert!(crate::span::ok());"), ["span"]);
        assert_eq!(names("a.rs", "crate::term! { x }"), [""; 0]);
    }

    #[test]
    fn climbing_to_the_root_is_no_way_round() {
        assert_eq!(names("plan/fuse.rs", "use super::super::exec::Session;"), ["exec"]);
        assert_eq!(names("plan/fuse.rs", "use super::lower::lower;"), [""; 0]);
        assert_eq!(names("plan/mod.rs", "use super::exec::Session;"), ["exec"]);
        assert_eq!(names("diag.rs", "use super::{exec, span};"), ["exec", "span"]);
    }

    #[test]
    fn an_inline_module_is_one_step_deeper() {
        let text = "mod a { use super::b; use super::super::exec; }\nuse super::span;";
        assert_eq!(names("diag.rs", text), ["exec", "span"]);
    }

    #[test]
    fn libtorchs_crate_is_told_apart() {
        let found = uses("a.rs", "use tch::Kind;\nfn f(tch: i64) -> torch_sys::C { tch }").unwrap();
        let found: Vec<_> =
            found.iter().map(|found| (found.name.as_str(), found.line, found.torch)).collect();
        assert_eq!(found, [("tch", 1, true), ("torch_sys", 2, true)]);
    }
}
