//! The values of a program as formulas that are written out: their numbers say nothing to a reader, and differ between programs.

use super::facts::{Fact, VALUE};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The most characters of a formula that are shown.
const SHOWN: usize = 120;

/// Formulas by the number of their value, such as `%3`.
pub(super) struct Formulas<'a>(HashMap<&'a str, Formula>);

struct Formula {
    at: usize,
    /// The same for the same formula, however its values are numbered.
    digest: u64,
    text: String,
    /// The same for the same operation, whatever it is computed from.
    operation: u64,
    /// Whether it is computed from other values.
    computed: bool,
    /// Digests of those that are computed themselves.
    from: Vec<u64>,
}

impl<'a> Formulas<'a> {
    /// Those among the facts. A value comes after those that it is computed from.
    pub(super) fn of(facts: &'a [Fact]) -> Self {
        let number = |name: &'a str| name.strip_prefix(VALUE).filter(|number| number.starts_with('%'));
        let mut values: Vec<(usize, &str, &str)> = facts
            .iter()
            .filter_map(|(name, text)| number(name).map(|number| (number, text)))
            .filter_map(|(number, text)| Some((number[1..].parse().ok()?, number, text.as_str())))
            .collect();
        values.sort_unstable();
        let mut formulas = Self(HashMap::with_capacity(values.len()));
        for (at, number, text) in values {
            let mut from = Vec::new();
            let mut computed = false;
            pieces(text, |piece| {
                if let Piece::Number(number) = piece {
                    computed = true;
                    from.extend(formulas.0.get(number).filter(|of| of.computed).map(|of| of.digest));
                }
            });
            let formula = Formula {
                at,
                digest: formulas.digest(text),
                text: formulas.shown(text),
                operation: without(text),
                computed,
                from,
            };
            formulas.0.insert(number, formula);
        }
        formulas
    }

    /// The innermost formulas that only one side has.
    pub(super) fn differences(&self, others: &Self, sides: [&str; 2]) -> Vec<String> {
        let [this, that] = sides;
        let mut there = others.beyond(self);
        let mut found = Vec::new();
        for Formula { text: one, operation, .. } in self.beyond(others) {
            if let Some(at) = there.iter().position(|other| other.operation == *operation) {
                let other = &there.remove(at).text;
                found.push(format!("the formula is `{one}` {this} and `{other}` {that}"));
            } else {
                found.push(format!("the formula `{one}` is not {that}"));
            }
        }
        found.extend(there.iter().map(|other| format!("the formula `{}` is not {this}", other.text)));
        found
    }

    /// Formulas that the other side does not have, though it has all that they are computed from.
    fn beyond(&self, others: &Self) -> Vec<&Formula> {
        let known: std::collections::HashSet<u64> = others.0.values().map(|of| of.digest).collect();
        let is_new = |of: &&Formula| {
            of.computed && !known.contains(&of.digest) && of.from.iter().all(|digest| known.contains(digest))
        };
        let mut new: Vec<&Formula> = self.0.values().filter(is_new).collect();
        new.sort_by_key(|of| of.at);
        new
    }

    /// A text with formulas in place of numbers, cut in the middle where it is long.
    pub(super) fn shown(&self, text: &str) -> String {
        let mut shown = String::new();
        let alone = text.starts_with('%') && !text.contains(' ');
        pieces(text, |piece| match piece {
            Piece::Text(text) => shown.push_str(text),
            Piece::Number(number) => match self.0.get(number) {
                // An operation inside of another one; between brackets and commas it needs no brackets of its own.
                Some(of) if !alone && is_operation(text) && is_operation(&of.text) => {
                    shown.extend(["(", &of.text, ")"]);
                }
                Some(of) => shown.push_str(&of.text),
                None => shown.push_str(number),
            },
        });
        let length = shown.chars().count();
        if length <= SHOWN {
            return shown;
        }
        let begin: String = shown.chars().take(SHOWN * 2 / 3).collect();
        let end: String = shown.chars().skip(length - SHOWN / 4).collect();
        format!("{begin} … {end}")
    }

    /// The digest of a text, in which numbers count as their formulas do.
    pub(super) fn digest(&self, text: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        pieces(text, |piece| match piece {
            Piece::Text(text) => text.hash(&mut hasher),
            Piece::Number(number) => match self.0.get(number) {
                Some(of) => of.digest.hash(&mut hasher),
                None => number.hash(&mut hasher),
            },
        });
        hasher.finish()
    }
}

/// The digest of a text without its numbers.
pub(super) fn without(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    pieces(text, |piece| {
        if let Piece::Text(text) = piece {
            text.hash(&mut hasher);
        }
    });
    hasher.finish()
}

/// Whether a formula has an operator outside of all brackets.
fn is_operation(text: &str) -> bool {
    let mut depth = 0;
    text.chars().any(|c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ' ' && depth == 0
    })
}

enum Piece<'a> {
    Text(&'a str),
    /// The number of a value, such as `%3`.
    Number(&'a str),
}

/// Calls `each` with the pieces of a text in turn.
fn pieces<'a>(text: &'a str, mut each: impl FnMut(Piece<'a>)) {
    let mut rest = text;
    while let Some(begin) = rest.find('%') {
        let digits = rest[begin + 1..].bytes().take_while(u8::is_ascii_digit).count();
        if begin > 0 {
            each(Piece::Text(&rest[..begin]));
        }
        let end = begin + 1 + digits;
        each(if digits > 0 { Piece::Number(&rest[begin..end]) } else { Piece::Text(&rest[begin..end]) });
        rest = &rest[end..];
    }
    if !rest.is_empty() {
        each(Piece::Text(rest));
    }
}
