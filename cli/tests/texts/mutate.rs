//! Texts to start from, and edits of their tokens.

use aent::diag::codes::{CODES, Code};
use aent::span::{SourceId, Spanned};
use aent::syntax::{Token, tokens};
use proptest::prelude::*;
use proptest::sample::Index;
use std::fs;
use std::ops::Range;
use std::path::Path;

/// The words of the language, as a fuzzer reads them.
const DICTIONARY: &str = include_str!("../../../fuzz/aent.dict");

/// Characters that nobody types on purpose.
const STRANGE: [&str; 16] = [
    "\u{feff}",
    "\r\n",
    "\r",
    "\0",
    "\u{1b}[31m",
    "\u{2028}",
    "é",
    "≤",
    "\u{1f600}",
    "e\u{301}",
    "\u{202e}",
    "\"",
    "#",
    "'",
    "1e999",
    "\t",
];

/// One edit of a text.
#[derive(Clone, Debug)]
pub(crate) enum Edit {
    /// Deletes a token.
    Delete(Index),
    /// Writes a token twice.
    Duplicate(Index),
    /// Exchanges two tokens of a sort.
    Swap(Index, Index),
    /// Puts a token in the place of another one of its sort.
    Borrow(Index, Index),
    /// Breaks a line, or writes another blank.
    Blank(Index, &'static str),
    /// Puts a word in a token's place.
    Replace(Index, String),
    /// Writes a word before a token.
    Insert(Index, String),
    /// Drops a letter of a token.
    Misspell(Index, Index),
    /// Ends the text at a byte.
    Cut(Index),
}

/// Some edits, one after the other.
pub(crate) fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let words = DICTIONARY.lines().filter_map(|line| line.strip_prefix('"')?.strip_suffix('"'));
    let words = words.map(|word| word.replace("\\x0a", "\n").replace("\\\"", "\""));
    let words: Vec<String> = words.chain(STRANGE.map(str::to_owned)).collect();
    let word = move || proptest::sample::select(words.clone());
    let at = any::<Index>;
    let blank = proptest::sample::select(vec![" ", "\n", "\n\n\n", "\t", " # why\n", "\r\n"]);
    let edit = prop_oneof![
        3 => at().prop_map(Edit::Delete),
        2 => at().prop_map(Edit::Duplicate),
        6 => (at(), at()).prop_map(|(one, other)| Edit::Swap(one, other)),
        12 => (at(), at()).prop_map(|(one, other)| Edit::Borrow(one, other)),
        6 => (at(), blank).prop_map(|(at, blank)| Edit::Blank(at, blank)),
        3 => (at(), word()).prop_map(|(at, word)| Edit::Replace(at, word)),
        3 => (at(), word()).prop_map(|(at, word)| Edit::Insert(at, word)),
        6 => (at(), at()).prop_map(|(at, letter)| Edit::Misspell(at, letter)),
        1 => at().prop_map(Edit::Cut),
    ];
    proptest::collection::vec(edit, 1..4)
}

/// The text after the edits.
pub(crate) fn edited(text: &str, edits: &[Edit]) -> String {
    edits.iter().fold(text.to_owned(), |text, edit| once(&text, edit))
}

fn once(text: &str, edit: &Edit) -> String {
    let tokens = tokens(SourceId(0), text);
    let range = |of: &Spanned<Token>| of.span.start as usize..of.span.end as usize;
    let places: Vec<Range<usize>> = tokens.iter().map(range).collect();
    let replaced =
        |place: &Range<usize>, by: &str| format!("{}{by}{}", &text[..place.start], &text[place.end..]);
    if let Edit::Cut(at) = edit {
        let borders: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        return text[..borders[at.index(borders.len())]].to_owned();
    }
    if places.is_empty() {
        return text.to_owned();
    }
    let place = |at: &Index| &places[at.index(places.len())];
    let alike = |one: &Index, other: &Index| {
        let of = tokens[one.index(tokens.len())].node;
        let alike: Vec<_> = tokens.iter().filter(|token| token.node == of).map(range).collect();
        alike[other.index(alike.len())].clone()
    };
    match edit {
        Edit::Delete(at) => replaced(place(at), ""),
        Edit::Duplicate(at) => replaced(place(at), &format!("{0} {0}", &text[place(at).clone()])),
        Edit::Replace(at, word) => replaced(place(at), word),
        Edit::Insert(at, word) => replaced(&(place(at).start..place(at).start), &format!("{word} ")),
        Edit::Misspell(at, letter) => {
            let mut letters: Vec<char> = text[place(at).clone()].chars().collect();
            letters.remove(letter.index(letters.len()));
            replaced(place(at), &letters.into_iter().collect::<String>())
        }
        Edit::Borrow(one, other) => replaced(place(one), &text[alike(one, other)]),
        Edit::Blank(at, blank) => replaced(&(place(at).start..place(at).start), blank),
        Edit::Swap(one, other) => {
            let (first, last) = (place(one).clone(), alike(one, other));
            let (first, last) = if first.start <= last.start { (first, last) } else { (last, first) };
            if first == last {
                return text.to_owned();
            }
            let between = &text[first.end..last.start];
            format!(
                "{}{}{between}{}{}",
                &text[..first.start],
                &text[last.clone()],
                &text[first],
                &text[last.end..]
            )
        }
        Edit::Cut(_) => unreachable!("cut above"),
    }
}

/// All examples, and the example of each diagnostic.
pub(crate) fn seeds() -> Vec<String> {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let files = aent_files::below(&examples, "aent").unwrap();
    let texts = files.iter().map(|file| fs::read_to_string(file).unwrap());
    texts.chain(CODES.iter().filter_map(Code::example).map(str::to_owned)).collect()
}
