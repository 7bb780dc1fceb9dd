//! Colours a spec's text on the page, whether or not it is correct.

use aent::span::SourceId;
use aent::syntax::{Token, tokens};
use maud::{Markup, html};

/// The text as HTML, with each coloured token in a `<span>`.
pub(super) fn highlight(text: &str) -> Markup {
    let mut end = 0;
    let tokens = tokens(SourceId::default(), text).into_iter().map(|token| {
        let place = token.span.start as usize..token.span.end as usize;
        let between = &text[end..place.start];
        end = place.end;
        let class = match token.node {
            Token::Reserved => Some("keyword"),
            Token::Name if text[place.end..].starts_with('(') => Some("call"),
            Token::Number => Some("number"),
            Token::String => Some("string"),
            Token::Comment => Some("comment"),
            Token::Name | Token::Symbol | Token::Unknown => None,
        };
        (between, &text[place], class)
    });
    let tokens: Vec<_> = tokens.collect();
    html! {
        @for (between, token, class) in tokens {
            (between)
            @if let Some(class) = class { span class=(class) { (token) } } @else { (token) }
        }
        (text[end..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_numbers_calls_and_comments_are_coloured() {
        assert_eq!(
            highlight("param drop = 30% # why <not>\nlet h = exp(1e-3)\n").0,
            "<span class=\"keyword\">param</span> drop = <span class=\"number\">30%</span> \
             <span class=\"comment\"># why &lt;not&gt;</span>\n<span class=\"keyword\">let</span> h = \
             <span class=\"call\">exp</span>(<span class=\"number\">1e-3</span>)\n"
        );
    }

    #[test]
    fn any_text_comes_through_unchanged_but_for_spans() {
        for text in
            ["", "\"open", "\"open\nlet", "é≤\u{1F600}1.", "1e", "1_0.5E+", "a1 9%%", "#", "12.x", "<&> \n\n"]
        {
            let page = highlight(text).0;
            let plain = page.split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text));
            assert_eq!(plain.collect::<String>(), html! { (text) }.0);
        }
    }
}
