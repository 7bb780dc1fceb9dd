//! From a text to words, numbers and signs.

use crate::{Result, wrong};

/// A word, number or sign.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    Name(String),
    Number(f64),
    Text(String),
    Sign(&'static str),
    End,
}

/// Longer signs first.
const SIGNS: [&str; 20] =
    ["<=", ">=", "==", "!=", "..", "<", ">", "+", "-", "*", "/", "^", "(", ")", "{", "}", ",", "=", ".", ":"];

/// All tokens of a text, with an `End` behind them.
pub(crate) fn tokens(text: &str) -> Result<Vec<Token>> {
    let mut rest = text.trim_start_matches('\u{feff}');
    let mut found = Vec::new();
    loop {
        rest = rest.trim_start();
        let Some(first) = rest.chars().next() else { break };
        if first == '#' {
            rest = rest.find('\n').map_or("", |end| &rest[end..]);
        } else if first.is_ascii_alphabetic() || first == '_' {
            let length = name_length(rest);
            found.push(Token::Name(rest[..length].to_owned()));
            rest = &rest[length..];
        } else if first.is_ascii_digit() {
            let (number, length) = number(rest)?;
            found.push(Token::Number(number));
            rest = &rest[length..];
        } else if first == '"' {
            let (text, length) = string(rest)?;
            found.push(Token::Text(text));
            rest = &rest[length..];
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            found.push(Token::Sign(sign));
            rest = &rest[sign.len()..];
        } else {
            return wrong(format!("`{first}` begins no word"));
        }
    }
    found.push(Token::End);
    Ok(found)
}

/// The length of a name, perhaps qualified: `acme::my_term`.
fn name_length(text: &str) -> usize {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let plain = text.find(|c| !is_part(c)).unwrap_or(text.len());
    match text[plain..].strip_prefix("::") {
        Some(rest) if rest.starts_with(is_part) => plain + 2 + name_length(rest),
        _ => plain,
    }
}

/// A number and its length; a percentage is the number nearest to a hundredth of what is written.
fn number(text: &str) -> Result<(f64, usize)> {
    let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let mut length = digits(text);
    if let Some(behind) = text[length..].strip_prefix('.')
        && behind.starts_with(|c: char| c.is_ascii_digit())
    {
        length += 1 + digits(behind);
    }
    let mantissa = text[..length].replace('_', "");
    let mut exponent = 0;
    if let Some(behind) = text[length..].strip_prefix(['e', 'E']) {
        let sign = usize::from(behind.starts_with(['+', '-']));
        let count = digits(&behind[sign..]);
        if count > 0 {
            let written = behind[..sign + count].replace('_', "");
            exponent = written.parse().or_else(|_| wrong(format!("the exponent {written}")))?;
            length += 1 + sign + count;
        }
    }
    if text[length..].starts_with('%') {
        exponent -= 2;
        length += 1;
    }
    let written = format!("{mantissa}e{exponent}");
    Ok((written.parse().or_else(|_| wrong(format!("the number {written}")))?, length))
}

/// A string and its length with both quotes.
fn string(text: &str) -> Result<(String, usize)> {
    let mut found = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Ok((found, at + 1)),
            '\\' => match characters.next() {
                Some((_, escaped @ ('"' | '\\'))) => found.push(escaped),
                _ => return wrong("an escape that is none"),
            },
            _ => found.push(c),
        }
    }
    wrong("a string without an end")
}

#[cfg(test)]
mod tests {
    use super::{Token, tokens};

    #[test]
    fn a_percentage_is_the_nearest_number() {
        assert_eq!(tokens("30%").unwrap()[0], Token::Number(0.3));
        assert_eq!(tokens("0.1%").unwrap()[0], Token::Number(0.001));
        assert_eq!(tokens("1_000").unwrap()[0], Token::Number(1000.0));
    }

    #[test]
    fn a_range_of_whole_numbers_has_two_dots() {
        assert_eq!(
            tokens("0..1").unwrap(),
            [Token::Number(0.0), Token::Sign(".."), Token::Number(1.0), Token::End]
        );
    }

    #[test]
    fn a_qualified_name_is_one_word() {
        assert_eq!(tokens("a::b: c").unwrap()[..2], [Token::Name("a::b".to_owned()), Token::Sign(":")]);
    }
}
