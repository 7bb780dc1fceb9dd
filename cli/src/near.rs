//! Names that were probably meant on the command line.

/// The candidate that is spelled most like `name`, if one is near enough to be a slip.
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|&(distance, candidate)| distance <= 1 + name.len().min(candidate.len()) / 4)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_is_mended_and_a_stranger_is_not() {
        let names = ["unknown-name", "unused-let"];
        assert_eq!(nearest("unknow-name", names), Some("unknown-name"));
        assert_eq!(nearest("temperature", names), None);
    }
}
