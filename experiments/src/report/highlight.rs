//! Colours a spec's text on the page, without a script and without checking the text.

use maud::{Markup, html};

const KEYWORDS: [&str; 12] =
    ["param", "input", "set", "fn", "let", "controller", "loss", "metric", "import", "in", "and", "or"];
const WORDS: [&str; 7] = ["not", "true", "false", "token", "seq", "scalar", "bool"];

/// The text as HTML, with each coloured part in a `<span>`.
pub(super) fn highlight(text: &str) -> Markup {
    let mut parts: Vec<(&str, &str)> = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (length, class) = match first {
            '#' => (rest.find('\n').unwrap_or(rest.len()), "comment"),
            '"' => (string(rest), "string"),
            '0'..='9' => (number(rest), "number"),
            'a'..='z' | 'A'..='Z' | '_' => {
                let length = word(rest);
                (length, kind(&rest[..length], &rest[length..]))
            }
            other => (other.len_utf8(), ""),
        };
        let (part, after) = rest.split_at(length);
        parts.push((part, class));
        rest = after;
    }
    html! {
        @for (part, class) in parts {
            @if class.is_empty() { (part) } @else { span class=(class) { (part) } }
        }
    }
}

fn kind(word: &str, after: &str) -> &'static str {
    if KEYWORDS.contains(&word) || WORDS.contains(&word) {
        "keyword"
    } else if after.starts_with('(') {
        "call"
    } else {
        ""
    }
}

fn word(text: &str) -> usize {
    text.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(text.len())
}

fn string(text: &str) -> usize {
    // A string ends at its quote or, if unfinished, at the end of its line.
    match text[1..].find(['"', '\n']) {
        Some(end) if text[1 + end..].starts_with('"') => end + 2,
        Some(end) => end + 1,
        None => text.len(),
    }
}

/// `1_000`, `0.2`, `1e-3` or `30%`; the dots of a range `0.05 .. 0.23` or `0..1` are not part of a number.
fn number(text: &str) -> usize {
    let digits = |from: usize| {
        from + text[from..]
            .find(|digit: char| !digit.is_ascii_digit() && digit != '_')
            .unwrap_or(text.len() - from)
    };
    let mut end = digits(0);
    if text[end..].starts_with('.') && digits(end + 1) > end + 1 {
        end = digits(end + 1);
    }
    if text[end..].starts_with(['e', 'E']) {
        let sign = usize::from(text[end + 1..].starts_with(['+', '-']));
        if digits(end + 1 + sign) > end + 1 + sign {
            end = digits(end + 1 + sign);
        }
    }
    end + usize::from(text[end..].starts_with('%'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_numbers_calls_and_comments_are_coloured() {
        assert_eq!(
            highlight("param drop = 30% # why <not>\nlet h = exp(1e-3)").0,
            "<span class=\"keyword\">param</span> drop = <span class=\"number\">30%</span> \
             <span class=\"comment\"># why &lt;not&gt;</span>\n<span class=\"keyword\">let</span> h = \
             <span class=\"call\">exp</span>(<span class=\"number\">1e-3</span>)"
        );
    }

    #[test]
    fn a_range_is_two_numbers() {
        assert_eq!(highlight("0..1").0, "<span class=\"number\">0</span>..<span class=\"number\">1</span>");
    }

    #[test]
    fn any_text_comes_through_unchanged_but_for_spans() {
        for text in
            ["", "\"open", "\"open\nlet", "é≤\u{1F600}1.", "1e", "1_0.5E+", "a1 9%%", "#", "12.x", "<&>"]
        {
            let page = highlight(text).0;
            let plain = page.split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text));
            assert_eq!(plain.collect::<String>(), html! { (text) }.0);
        }
    }
}
