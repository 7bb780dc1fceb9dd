//! Describes the differences between two lists of named facts.

use super::formulas::{Formulas, without};

/// A name and its value.
pub(super) type Fact = (String, String);

/// What the name of a fact about a value of the program begins with. Its number follows.
pub(super) const VALUE: &str = "value ";

/// Describes the most telling differences. `sides` says where each list comes from.
pub(super) fn differences(here: &[Fact], there: &[Fact], sides: [&str; 2]) -> Vec<String> {
    const SHOWN: usize = 3;
    let [this, that] = sides;
    let [formulas, others] = [here, there].map(Formulas::of);
    let mut result = formulas.differences(&others, sides);
    let same_formulas = result.is_empty();
    // Where a formula differs, so does all that is computed from it, which is not worth telling.
    let told = |of: &Formulas<'_>, text: &str| if same_formulas { of.digest(text) } else { without(text) };
    let find =
        |of: &'_ [Fact], key: &str| of.iter().find(|(name, _)| name == key).map(|(_, text)| text.clone());
    let named = |of: &[Fact]| -> Vec<Fact> {
        of.iter().filter(|(name, _)| !name.starts_with(VALUE)).cloned().collect()
    };
    for (key, text) in named(here) {
        match find(there, &key) {
            Some(other) if told(&formulas, &text) == told(&others, &other) => {}
            Some(other) => {
                let (text, other) = (formulas.shown(&text), others.shown(&other));
                result.push(format!("{key} is `{text}` {this} and `{other}` {that}"));
            }
            None => result.push(format!("{key} (`{}`) is not {that}", formulas.shown(&text))),
        }
    }
    for (key, text) in named(there) {
        if find(here, &key).is_none() {
            result.push(format!("{key} (`{}` {that}) is not {this}", others.shown(&text)));
        }
    }
    // Names that the author wrote (in backticks) tell more than the values derived from them.
    result.sort_by_key(|difference| !difference.starts_with('`'));
    let more = result.len().saturating_sub(SHOWN);
    result.truncate(SHOWN);
    if more > 0 {
        result.push(format!("and {more} more"));
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clipped ratio whose values come in another order on the other side, and its bounds.
    fn sides(high: &str, signal: &str) -> [Vec<Fact>; 2] {
        let fact = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        let here = vec![
            fact("the loss", "%4"),
            fact("`controller beta`", "band(step = 0.1) on %2"),
            fact("value %0", "log_prob"),
            fact("value %1", "old_log_prob"),
            fact("value %2", "%0 - %1"),
            fact("value %3", "1.2"),
            fact("value %4", "min(%2, %3)"),
        ];
        let there = vec![
            fact("the loss", "%4"),
            fact("`controller beta`", &format!("band(step = 0.1) on {signal}")),
            fact("value %0", high),
            fact("value %1", "log_prob"),
            fact("value %2", "old_log_prob"),
            fact("value %3", "%1 - %2"),
            fact("value %4", "min(%3, %0)"),
        ];
        [here, there]
    }

    #[test]
    fn what_is_only_numbered_otherwise_is_the_same() {
        let [here, there] = sides("1.2", "%3");
        assert_eq!(differences(&here, &there, ["here", "there"]), Vec::<String>::new());
    }

    #[test]
    fn the_innermost_formula_that_differs_is_written_out() {
        let [here, there] = sides("1.3", "%3");
        let expected = "the formula is `min(log_prob - old_log_prob, 1.2)` here and `min(log_prob - old_log_prob, 1.3)` there";
        assert_eq!(differences(&here, &there, ["here", "there"]), [expected]);
    }

    #[test]
    fn a_controller_of_another_signal_is_told_with_both() {
        let [here, there] = sides("1.2", "%1");
        let expected = "`controller beta` is `band(step = 0.1) on (log_prob - old_log_prob)` here and `band(step = 0.1) on log_prob` there";
        assert_eq!(differences(&here, &there, ["here", "there"]), [expected]);
    }
}
