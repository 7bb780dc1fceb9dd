//! Describes the differences between two lists of named facts.

/// A name and its value.
pub(super) type Fact = (String, String);

/// Describes the most telling differences. `sides` says where each list comes from.
pub(super) fn differences(here: &[Fact], there: &[Fact], sides: [&str; 2]) -> Vec<String> {
    const SHOWN: usize = 3;
    let find = |of: &[Fact], key: &str| of.iter().find(|(name, _)| name == key).map(|(_, text)| text.clone());
    let [this, that] = sides;
    let mut result = Vec::new();
    for (key, text) in here {
        match find(there, key) {
            Some(other) if other == *text => {}
            Some(other) => result.push(format!("{key} is `{text}` {this} and `{other}` {that}")),
            None => result.push(format!("{key} (`{text}`) is not {that}")),
        }
    }
    for (key, text) in there {
        if find(here, key).is_none() {
            result.push(format!("{key} (`{text}` {that}) is not {this}"));
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
