//! Habits of other languages that the grammar does not match: types behind names, methods, modules, products without a sign,
//! blocks, lists. What is written instead is clear from the tokens around.

use super::scan::{Token, TokenKind};
use super::wording::{Expected, Neighbourhood};
use crate::diag::Diagnostic;
use crate::span::Span;

/// Names before a function that say where Python finds it.
const MODULES: [&str; 12] =
    ["np", "torch", "F", "math", "jnp", "jax", "nn", "tf", "numpy", "functional", "verl_F", "core_algos"];

/// Answers an unexpected token, if it comes from a known habit.
pub(super) fn habit(
    here: &Neighbourhood<'_>,
    index: usize,
    found: Token,
    expected: &[Expected],
    error: &Diagnostic,
) -> Option<Diagnostic> {
    let word = |back: usize| Some(here.tokens[index.checked_sub(back)?].text(here.text));
    let before = here.tokens[index.checked_sub(1)?];
    let place = found.span(here.source);
    let error = || error.clone();
    let operator = expected.contains(&Expected::Operator);
    let keyword = here.tokens[0].text(here.text);
    match found.text(here.text) {
        ":" if before.kind == TokenKind::Word && matches!(word(2), Some("(" | ",")) => {
            if keyword == "fn" && !here.tokens[..index].iter().any(|token| ends_header(*token, here)) {
                return Some(error().help("a parameter has no type: every call is checked with its own"));
            }
            let name = before.text(here.text);
            Some(error().help(format!("an argument is written `{name} = ...`")).fix(place, " ="))
        }
        ":" if matches!(keyword, "loss" | "metric") && expected.contains(&Expected::Symbol("=")) => {
            Some(error().help(format!("write `{keyword} = ...`")).fix(place, " ="))
        }
        "(" if operator && before.kind == TokenKind::Word && word(2) == Some(".") => {
            let name = before.text(here.text);
            match word(3) {
                Some(module) if MODULES.contains(&module) => {
                    let start = here.tokens[index - 3].span(here.source);
                    let end = here.tokens[index - 2].span(here.source);
                    Some(
                        error()
                            .help(format!("write `{name}(...)` without `{module}.`"))
                            .fix(start.to(end), ""),
                    )
                }
                _ => Some(error().help(method(name))),
            }
        }
        // In a block, the next line may lack its `let` or `return`.
        text if operator
            && before.kind == TokenKind::Number
            && starts_operand(found)
            && !expected.contains(&Expected::Word("return")) =>
        {
            let number = before.text(here.text);
            let start = Span::new(here.source, found.start as usize, found.start as usize);
            Some(error().help(format!("write `{number} * {text}`")).fix(start, "* "))
        }
        _ => None,
    }
}

/// The `=` after the parentheses of a `fn`.
fn ends_header(token: Token, here: &Neighbourhood<'_>) -> bool {
    let closed = here.tokens.iter().find(|of| of.kind == TokenKind::Close);
    closed.is_some_and(|closed| token.start > closed.start) && token.text(here.text) == "="
}

fn starts_operand(token: Token) -> bool {
    matches!(token.kind, TokenKind::Word | TokenKind::Open)
}

fn method(name: &str) -> String {
    match name {
        "mean" | "sum" => format!("there are no methods: `token_{name}(...)` goes around the value"),
        _ => format!("there are no methods: `{name}(...)` goes around the value"),
    }
}

/// What to write in place of a bracket, by where it stands.
pub(super) fn bracket(here: &Neighbourhood<'_>, index: usize) -> Option<&'static str> {
    let keyword = here.tokens[0].text(here.text);
    let before = index.checked_sub(1).map(|before| here.tokens[before]);
    match here.tokens[index].text(here.text).chars().next()? {
        '[' if keyword == "input" => Some(
            "write `input w: token` for one value per token, `seq` per sequence, `scalar` for one of the step",
        ),
        '[' if before.is_some_and(Token::ends_operand) => {
            Some("there is no indexing: a formula holds for every token")
        }
        '[' => Some("there are no lists; a range is written `a .. b`"),
        _ => None,
    }
}

/// Whether a word opens a block in another language.
pub(super) fn opens_block(word: &str) -> bool {
    matches!(word, "if" | "for" | "while" | "else" | "elif" | "with")
}

/// What to write instead of a statement of another language.
pub(super) fn statement(word: &str) -> Option<&'static str> {
    Some(match word {
        "if" | "else" | "elif" | "switch" | "match" => {
            "a choice is a value, `where(condition, a, b)`; a switch is `param use_kl = 1 in 0 .. 1` and a product with it"
        }
        "for" | "while" => {
            "there are no loops: a formula holds for every token, and reductions such as `token_mean(x)` add up"
        }
        "def" | "function" | "func" | "lambda" => "a function is written `fn name(x) = ...`",
        "parameter" | "constant" | "hyperparameter" => {
            "a constant that may be set is written `param name = 0.2`"
        }
        "var" | "const" | "val" | "auto" => "write `let`, or `param` for a constant that may be set",
        "extra" => "an `extra` stands in the block of a `fn`: `fn f(a) { extra b = a > 1 return a }`",
        "return" => "the value to minimise is written `loss = ...`; a `return` ends the block of a `fn`",
        "from" | "include" | "use" => "write `import \"file.aent\"`",
        _ => return None,
    })
}
