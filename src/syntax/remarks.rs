//! The comments that document a statement.

/// The comment lines right above the byte `at`, without their `#`. One for the
/// checker, `# aent: ...`, documents nothing.
pub fn comment_above(text: &str, at: usize) -> Vec<&str> {
    let mut lines: Vec<_> = text[..at]
        .lines()
        .rev()
        .map_while(|line| line.trim_start().strip_prefix('#'))
        .map(str::trim)
        .collect();
    lines.reverse();
    lines.retain(|line| !line.starts_with("aent:"));
    lines
}

#[cfg(test)]
mod tests {
    use super::comment_above;

    #[test]
    fn only_the_lines_right_above_a_statement_document_it() {
        let text = "# of the file\n\n# one\n#   two\n# aent: allow(unused-param)\nparam a = 1\nparam b = 2\n";
        let at = |word: &str| text.find(word).unwrap();
        assert_eq!(comment_above(text, at("param a")), ["one", "two"]);
        assert!(comment_above(text, at("param b")).is_empty());
    }
}
