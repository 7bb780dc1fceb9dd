//! Errors for text that no rule of the language matches.

use super::number::{self, Malformed};
use super::wording::quote;
use crate::diag::{Diagnostic, Fix};
use crate::span::Span;

/// The error for a piece of a text that the scanner marked as bad.
pub(super) fn explain(whole: &str, span: Span) -> Diagnostic {
    let mut error = of_piece(&whole[span.start as usize..span.end as usize], span);
    if let Some(fix) = &mut error.fix {
        apart(whole, fix);
    }
    error
}

/// Keeps what a fix puts into a text apart from the words and operators beside it: `a&&b` is to become `a and b`.
fn apart(whole: &str, fix: &mut Fix) {
    let before = whole[..fix.span.start as usize].chars().next_back();
    let after = whole[fix.span.end as usize..].chars().next();
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '.';
    let is_operator = |letter: char| "<>=!.*/&|".contains(letter);
    let join = |left: Option<char>, right: Option<char>| match (left, right) {
        (Some(left), Some(right)) => {
            is_word(left) && is_word(right) || is_operator(left) && is_operator(right)
        }
        _ => false,
    };
    let text = &mut fix.replacement;
    let joins_before = join(before, text.chars().next().or(after));
    let joins_after = join(text.chars().next_back(), after);
    if joins_before {
        text.insert(0, ' ');
    }
    if joins_after {
        text.push(' ');
    }
}

fn of_piece(text: &str, span: Span) -> Diagnostic {
    let first = text.chars().next().unwrap_or_default();
    let error = |id, message: String| Diagnostic::error(id, span, message);
    match first {
        '"' => string(text, span),
        '\'' => {
            let wrong = error(
                "unexpected-character",
                "expected a string in double quotes, found a single quote".into(),
            );
            let Some(inside) = text[1..].strip_suffix('\'') else {
                return wrong.help("strings begin and end with `\"`");
            };
            wrong.write(&format!("\"{}\"", inside.replace('\\', "\\\\").replace('"', "\\\"")))
        }
        _ if first.is_ascii_digit()
            || (first == '.' && text.len() > 1 && text.as_bytes()[1].is_ascii_digit()) =>
        {
            malformed_number(text, span)
        }
        _ if first.is_alphanumeric() || first == '_' => {
            let message = format!("expected a name of ASCII letters, digits and `_`, found {}", quote(text));
            error("invalid-name", message).help("spell it in ASCII: `beta` rather than the Greek letter")
        }
        _ => foreign(text, span),
    }
}

fn string(text: &str, span: Span) -> Diagnostic {
    let body = &text[1..];
    let mut escaped = false;
    let mut wrong = None;
    for (at, character) in body.char_indices() {
        match (escaped, character) {
            (false, '"') => break,
            (true, '"' | '\\') | (false, _) => escaped = !escaped && character == '\\',
            (true, _) => {
                wrong = wrong.or(Some((at, character)));
                escaped = false;
            }
        }
    }
    match wrong {
        Some((at, character)) if text.len() > 1 && text.ends_with('"') => {
            let end = span.start as usize + 1 + at + character.len_utf8();
            let span = Span::new(span.source, end - character.len_utf8() - 1, end);
            let message = format!("expected `\\\"` or `\\\\` in a string, found `\\{character}`");
            Diagnostic::error("invalid-string", span, message).help("write a backslash as `\\\\`")
        }
        _ => Diagnostic::error(
            "unterminated-string",
            span,
            "expected `\"` at the end of the string, found the end of the line",
        )
        .help("strings do not go on over lines; add the closing `\"`"),
    }
}

fn malformed_number(text: &str, span: Span) -> Diagnostic {
    let quoted = quote(text);
    let error = |message: String| Diagnostic::error("invalid-number", span, message);
    let whole = text.trim_end_matches('%').trim_end_matches('.');
    let percent = if text.ends_with('%') { "%" } else { "" };
    let found = number::value(text);
    let meant = match found {
        Err(Malformed::NoDigitBeforePoint) => format!("0{text}"),
        Err(Malformed::NoDigitAfterPoint) => format!("{whole}.0{percent}"),
        Err(Malformed::Underscore) => text.replace('_', ""),
        _ => String::new(),
    };
    match found {
        // More than one thing is wrong.
        _ if !meant.is_empty() && number::value(&meant).is_err() => not_a_number(text, span),
        Err(Malformed::NoDigitBeforePoint) => {
            error(format!("expected a digit before the point, found {quoted}")).write(&meant)
        }
        Err(Malformed::NoDigitAfterPoint) => {
            error(format!("expected a digit after the point, found {quoted}"))
                .help(format!("write `{meant}` or `{whole}{percent}`"))
                .fix(span, meant)
        }
        Err(Malformed::Underscore) => {
            error(format!("expected `_` only between two digits, found {quoted}")).write(&meant)
        }
        Err(Malformed::NoExponent) => {
            error(format!("expected digits after the `e`, found {quoted}")).help("write it like `1e-3`")
        }
        Err(Malformed::TooLarge) => {
            error(format!("{quoted} is larger than any 64-bit float")).help("the largest is about 1.8e308")
        }
        Err(Malformed::TooSmall) => error(format!("{quoted} is so small that a 64-bit float holds 0 for it"))
            .help("write `0`, or a larger number"),
        Err(Malformed::NotANumber) | Ok(_) => not_a_number(text, span),
    }
}

fn not_a_number(text: &str, span: Span) -> Diagnostic {
    Diagnostic::error("invalid-number", span, format!("expected a number, found {}", quote(text)))
        .help("numbers are written `1`, `0.2`, `1e-3`, `1_000` or `30%`, and names begin with a letter")
}

fn foreign(text: &str, span: Span) -> Diagnostic {
    let first = text.chars().next().unwrap_or_default();
    let known = remedy(text, first);
    let is_comment = text.starts_with("//") || text.starts_with("/*");
    let diagnostic = match () {
        () if is_comment => {
            let mark = quote(&text[..2]);
            Diagnostic::error(
                "unknown-operator",
                span,
                format!("expected `#` before a comment, found {mark}"),
            )
        }
        () if text.len() > 1
            && text.is_ascii()
            && !text.chars().all(|c| c == first && !"&|*".contains(c)) =>
        {
            Diagnostic::error(
                "unknown-operator",
                span,
                format!("{} is not an operator of the language", quote(text)),
            )
        }
        () if first.is_ascii_graphic()
            || !(first.is_whitespace() || first.is_control() || is_invisible(first)) =>
        {
            Diagnostic::error(
                "unexpected-character",
                span,
                format!("{} has no meaning in the language", quote(text)),
            )
        }
        () => {
            let name = format!("U+{:04X}", first as u32);
            Diagnostic::error(
                "unexpected-character",
                span,
                format!("the character {name} has no meaning in the language"),
            )
        }
    };
    match known {
        Some((help, Some(replacement))) if text.is_ascii() || text.chars().count() == 1 => {
            let length = if is_comment { 2 } else { text.len() };
            let place = Span::new(span.source, span.start as usize, span.start as usize + length);
            diagnostic.help(help).fix(place, replacement)
        }
        Some((help, _)) => diagnostic.help(help),
        None => diagnostic,
    }
}

/// What to write instead of an operator or character of other languages, and the text that replaces it if that alone
/// mends the file.
fn remedy(text: &str, first: char) -> Option<(&'static str, Option<&'static str>)> {
    let only = |help| Some((help, None));
    let by = |help, replacement| Some((help, Some(replacement)));
    match text {
        "&&" | "&" => by("write `and`", "and"),
        "||" | "|" => by("write `or`", "or"),
        "!" => by("write `not`", "not "),
        "**" => by("a power is written `x^2`", "^"),
        "===" => by("equality is written `==`", "=="),
        "!==" | "<>" => by("inequality is written `!=`", "!="),
        "=<" => by("write `<=`", "<="),
        "=>" => only("write `>=`, or `=` after an argument's name"),
        ":=" => by("a definition is written with `=`", "="),
        "..." | "..=" | "..<" => by("a range is written `a .. b`, both ends included", ".."),
        "->" => only("a function is written `fn name(x) = ...`"),
        "|>" => only("write the call around its argument: `f(x)`"),
        "+=" | "-=" | "*=" | "/=" | "**=" => only("a name is defined once; give the new value a new name"),
        ";" => by("leave it out: every statement begins with its keyword", ""),
        _ if text.starts_with("//") => by("a comment begins with `#`", "#"),
        _ if text.starts_with("/*") => only("a comment begins with `#`"),
        _ => match first {
            ';' => only("leave it out: every statement begins with its keyword"),
            '[' | ']' => only("there are no lists and no indexing; a range is written `a .. b`"),
            '{' | '}' => only("only a `fn` has a block; write arguments in parentheses"),
            '%' => only("`%` makes a percentage of the number right before it, as in `30%`"),
            '?' => only("a choice is written `where(condition, value, otherwise)`"),
            '\\' => only("a line goes on by itself; leave the backslash out"),
            '@' => only("matrix products are not expressions; name a row statistic of the logits"),
            '\u{2212}' | '\u{2013}' | '\u{2014}' => by("write the minus as `-`", "-"),
            '\u{d7}' | '\u{b7}' | '\u{22c5}' => by("write the product as `*`", "*"),
            '\u{f7}' => by("write the quotient as `/`", "/"),
            '\u{2264}' => by("write `<=`", "<="),
            '\u{2265}' => by("write `>=`", ">="),
            '\u{2260}' => by("write `!=`", "!="),
            '\u{2026}' => by("write a range as `a .. b`", ".."),
            '\u{201c}' | '\u{201d}' | '\u{2018}' | '\u{2019}' => {
                by("write strings in straight double quotes", "\"")
            }
            '\u{a0}' | '\u{2003}' | '\u{2009}' | '\u{202f}' | '\u{200b}' | '\u{feff}' => {
                by("it looks like a blank; write a plain one", " ")
            }
            _ => None,
        },
    }
}

fn is_invisible(character: char) -> bool {
    let marks = ['\u{200b}'..='\u{200f}', '\u{2028}'..='\u{202e}', '\u{2060}'..='\u{206f}'];
    character == '\u{feff}' || marks.iter().any(|range| range.contains(&character))
}
