//! What differs between two lists of named facts, in words.

/// A name and what stands under it.
pub(super) type Fact = (String, String);

/// What differs, the most telling first and not too much of it. `sides` says where each list is.
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
    // What the author wrote by name says more than the values that follow from it.
    result.sort_by_key(|difference| !difference.starts_with('`'));
    let more = result.len().saturating_sub(SHOWN);
    result.truncate(SHOWN);
    if more > 0 {
        result.push(format!("and {more} more"));
    }
    result
}
