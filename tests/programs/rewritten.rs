//! A program that is written in another way is the same program: other names, other constants of the same value, statements in
//! another order, a metric more.

use crate::generate::{Manner, choices, program};
use crate::run::{Numbers, session, whole};
use crate::{check, compiled, extent};
use aent::testing::{Case, rough, smooth};
use std::cell::Cell;

fn numbers(text: &str, case: &Case) -> Numbers {
    whole(&session(compiled(text)), case).unwrap_or_else(|error| panic!("{error}\nin\n{text}"))
}

/// How many programs were written in another way; a test that changes few of them tests little.
#[derive(Default)]
struct Changed(Cell<u32>);

impl Changed {
    fn count(&self, text: &str, other: &str) {
        self.0.set(self.0.get() + u32::from(text != other));
    }

    #[track_caller]
    fn assert_many(self, of: u32) {
        assert!(self.0.get() * 5 > of, "{} of {of} programs were changed", self.0.get());
    }
}

#[track_caller]
fn same(text: &str, other: &str, case: &Case) {
    let (found, expected) = (numbers(other, case), numbers(text, case));
    assert!(found.same_bits(&expected), "{text}\nrewritten\n{other}\n{found:?}\n{expected:?}");
}

/// The text with each word replaced for which there is something else. Strings and comments have no such words.
fn reworded(text: &str, instead: impl Fn(&str) -> Option<String>) -> String {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    let mut result = String::new();
    let mut rest = text;
    while let Some(begin) = rest.find(is_part) {
        result.push_str(&rest[..begin]);
        let end = rest[begin..].find(|c| !is_part(c)).map_or(rest.len(), |length| begin + length);
        let word = &rest[begin..end];
        result.push_str(&instead(word).unwrap_or_else(|| word.to_owned()));
        rest = &rest[end..];
    }
    result + rest
}

/// Another name for what the generator calls `x3`, `b1`, `t2`, `s0` or `w1`, also before an extra: `t2.clipped`.
fn renamed(word: &str) -> Option<String> {
    let (name, extra) = word.split_once('.').map_or((word, None), |(name, extra)| (name, Some(extra)));
    let (letter, number) = name.split_at_checked(1)?;
    if !"xbtsw".contains(letter) || number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let extra = extra.map(|extra| format!(".{extra}")).unwrap_or_default();
    Some(format!("renamed_{letter}_{number}{extra}"))
}

#[test]
fn names_of_values_change_no_bit() {
    let changed = Changed::default();
    check(200, (choices(), rough(extent())), |(choices, case)| {
        let text = program(&choices, Manner::Wild);
        let other = reworded(&text, renamed);
        changed.count(&text, &other);
        same(&text, &other, &case);
    });
    changed.assert_many(200);
    let sample =
        reworded("let x0 = log_prob\nlet t1 = clip_ppo()\nloss = token_mean(x0 * t1.clipped)", renamed);
    assert_eq!(sample.matches("renamed_").count(), 4, "{sample}");
}

#[test]
fn a_metric_more_changes_no_bit_of_the_rest() {
    check(200, (choices(), rough(extent())), |(choices, case)| {
        let text = program(&choices, Manner::Wild);
        let more =
            format!("{text}\nmetric added = token_mean(entropy()) + token_mean(clamped_entropy(drop = 30%))");
        let (mut found, expected) = (numbers(&more, &case), numbers(&text, &case));
        assert!(found.reported.remove("added").is_some(), "{found:?}");
        // Another statistic of the logits may be read in the same loop, whose sums are then cut elsewhere.
        if let Some(difference) = found.difference(&expected, 1e-9) {
            assert!(!expected.loss.is_finite(), "{more}\n{difference}");
        }
    });
}

#[test]
fn a_constant_that_is_written_as_a_formula_changes_no_bit() {
    let halves = |word: &str| {
        let is_number = word.contains('.') && word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        is_number.then(|| format!("(0.5 * {word} + 0.5 * {word})"))
    };
    let changed = Changed::default();
    check(200, (choices(), smooth(extent())), |(choices, case)| {
        let text = program(&choices, Manner::Tame);
        // Of the lines without ranges, percentages, defaults and named arguments, which are numbers and no formulas.
        let lines = text.lines().map(|line| {
            let plain = line.starts_with("let ") && !line.contains("..") && line.matches('=').count() == 1;
            if plain { reworded(line, halves) } else { line.to_owned() }
        });
        let other = lines.collect::<Vec<_>>().join("\n");
        changed.count(&text, &other);
        same(&text, &other, &case);
    });
    changed.assert_many(200);
}

/// The words of a line that may be names.
fn words(line: &str) -> Vec<&str> {
    line.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty()).collect()
}

/// The text with neighbouring `let`s in the other order, where the second does not read the first.
fn swapped(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    for at in 1..lines.len() {
        let is_let = |line: &str| line.starts_with("let ");
        let (one, other) = (lines[at - 1], lines[at]);
        if is_let(one) && is_let(other) && !words(other)[1..].contains(&words(one)[1]) {
            lines.swap(at - 1, at);
        }
    }
    lines.join("\n")
}

#[test]
fn the_order_of_statements_that_do_not_read_each_other_does_not_matter() {
    assert_eq!(swapped("let a = 1\nlet b = 2\nlet c = a"), "let b = 2\nlet a = 1\nlet c = a");
    let changed = Changed::default();
    check(200, (choices(), smooth(extent())), |(choices, case)| {
        let text = program(&choices, Manner::Tame);
        let other = swapped(&text);
        changed.count(&text, &other);
        let (found, expected) = (numbers(&other, &case), numbers(&text, &case));
        // Gradients of a value that several read are added in another order.
        if let Some(difference) = found.difference(&expected, 1e-9) {
            panic!("{text}\nrewritten\n{other}\n{difference}");
        }
    });
    changed.assert_many(200);
}
