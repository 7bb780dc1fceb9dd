//! Completion in a text without an editor, such as a cell of a notebook.

use crate::features::completion;
use crate::project::Project;
use crate::settings::{Client, Settings};
use crate::shelf::Shelf;
use lsp_types::{CompletionItemKind, Uri};

/// What can stand at a place of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completions {
    /// The byte at which the word begins that they replace.
    pub start: usize,
    /// All that fits the place, best first, whatever of the word is written already.
    pub items: Vec<Completion>,
}

/// One thing that can stand there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// What is written.
    pub text: String,
    /// Its kind, as the protocol names it: `function`, `keyword`, `field`.
    pub kind: &'static str,
}

/// What can stand at a byte of a text, as `aent lsp` answers it to an editor. Imports begin at the current folder. A function
/// of the library is among it even if the text lacks the import.
#[must_use]
pub fn completions(text: &str, offset: usize) -> Completions {
    let folder = std::env::current_dir().unwrap_or_default();
    let mut project = Project::new(folder, Shelf::of_user(), Client::default(), Settings::default());
    let uri = Uri("untitled:cell".to_owned());
    project.open(uri.clone(), 0, text.to_owned());
    let view = project.view(&uri);
    let (typed, found) = completion::at(&view, &project, text.floor_char_boundary(offset));
    let one =
        |of: &completion::Candidate| Completion { text: typed.becomes(of.plain()), kind: word(of.kind) };
    Completions { start: typed.span.start as usize, items: found.iter().map(one).collect() }
}

/// The protocol's word for a kind.
fn word(kind: CompletionItemKind) -> &'static str {
    match kind {
        CompletionItemKind::Method => "method",
        CompletionItemKind::Function => "function",
        CompletionItemKind::Field => "field",
        CompletionItemKind::Variable => "variable",
        CompletionItemKind::Class => "class",
        CompletionItemKind::Module => "module",
        CompletionItemKind::Property => "property",
        CompletionItemKind::Keyword => "keyword",
        CompletionItemKind::File => "file",
        CompletionItemKind::EnumMember => "enumMember",
        CompletionItemKind::Constant => "constant",
        _ => "text",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The word to replace at the `|`, and the completions.
    fn at(marked: &str) -> (String, Vec<(String, &'static str)>) {
        let offset = marked.find('|').unwrap();
        let text = marked.replace('|', "");
        let Completions { start, items } = completions(&text, offset);
        (text[start..offset].to_owned(), items.into_iter().map(|of| (of.text, of.kind)).collect())
    }

    #[test]
    fn what_fits_the_place_is_completed_with_its_kind() {
        let (typed, found) = at("let policy = clip_ppo(lo|)\nloss = token_mean(policy)");
        assert_eq!(typed, "lo");
        assert_eq!(found.iter().find(|(text, _)| text == "low = "), Some(&("low = ".to_owned(), "field")));
        // Behind a dot, a `let` has the extras of its term, wherever the bytes are.
        for marked in ["# β 🙂\nlet mine = clip_ppo()\nlet m = mine.cl|", "let m = clip_ppo().cl|"] {
            let (typed, found) = at(marked);
            assert_eq!(typed, "cl");
            assert!(found.contains(&("clipped".to_owned(), "property")), "{found:?}");
            assert!(found.iter().all(|(_, kind)| *kind == "property"), "{found:?}");
        }
        // A string that is not closed is closed.
        for (marked, written) in
            [("import \"std/k|\"", "std/kl.aent"), ("import \"std/k|\nloss = 1", "std/kl.aent\"")]
        {
            let (typed, found) = at(marked);
            assert_eq!(typed, "std/k");
            assert!(found.contains(&(written.to_owned(), "file")), "{found:?}");
        }
        for (marked, written) in
            [("let a = gspo(level = \"to|\")", "token"), ("let a = gspo(level = \"to|", "token\"")]
        {
            let (typed, found) = at(marked);
            assert_eq!((typed.as_str(), found.len()), ("to", 2), "{found:?}");
            assert!(found.contains(&(written.to_owned(), "enumMember")), "{found:?}");
        }
        let (typed, found) = at("import \"std/kl.aent\"|");
        assert_eq!((typed.as_str(), &found[..]), ("", &[("as".to_owned(), "keyword")][..]));
        // Only where there are choices something stands in quotes.
        assert_eq!(at("let a = clip_ppo(low = \"ac|\")").1, []);
        assert_eq!(at("# clip|").1, []);
    }

    #[test]
    fn any_byte_can_be_asked_about() {
        let text = "let β = \"🙂\nloss = ";
        for offset in 0..text.len() + 2 {
            assert!(completions(text, offset).start <= text.len());
        }
    }
}
