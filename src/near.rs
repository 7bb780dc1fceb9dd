//! Suggestions for misspelt names.

/// The candidate spelled most like `name`, if it is close enough to be a typing error.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > 64 {
        return None;
    }
    candidates
        .into_iter()
        .filter(|candidate| *candidate != name)
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|&(distance, candidate)| {
            distance <= 1 + name.len().min(candidate.len()) / 4 && distance < candidate.len()
        })
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many letters must change; the same letters in another case are the same name.
fn distance(name: &str, candidate: &str) -> usize {
    if name.eq_ignore_ascii_case(candidate) {
        return 0;
    }
    strsim::damerau_levenshtein(name, candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn slips_are_found_and_strangers_are_not() {
        let names = ["token_mean", "token_sum", "seq_mean"];
        assert_eq!(nearest("tokn_mean", names), Some("token_mean"));
        assert_eq!(nearest("entropy", names), None);
        assert_eq!(nearest("x", ["y"]), None);
        assert_eq!(nearest("a", ["b", "A"]), Some("A"));
        assert_eq!(nearest("token_sum", ["token_sum"]), None, "what was written is no suggestion");
        let ids = ["unknown-name", "unused-let"];
        assert_eq!(nearest("unknow-name", ids), Some("unknown-name"));
        assert_eq!(nearest("temperature", ids), None);
    }
}
