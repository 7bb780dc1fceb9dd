//! Finds terms, functions and fields by words.

use aent::load::LibraryFn;
use aent::plugin::{Alias, AnyEntry};

/// Words that must all occur, in any case, in a name, a description or a name elsewhere.
#[derive(Clone, Debug, Default)]
pub struct Search {
    words: Vec<String>,
}

impl Search {
    /// A search for the words of a text; without words it finds everything.
    pub fn new(text: &str) -> Self {
        Self { words: text.split_whitespace().map(str::to_lowercase).collect() }
    }

    /// Whether the texts together have all words.
    pub(super) fn finds(&self, texts: &[&str]) -> bool {
        let texts: Vec<String> = texts.iter().map(|text| text.to_lowercase()).collect();
        self.words.iter().all(|word| texts.iter().any(|text| text.contains(word)))
    }

    pub(super) fn finds_entry(&self, entry: AnyEntry) -> bool {
        let of = entry.declaration();
        let mut texts = vec![of.name, of.docs];
        texts.extend(of.aliases.iter().flat_map(names));
        self.finds(&texts)
    }

    pub(super) fn finds_function(&self, of: &LibraryFn) -> bool {
        let mut texts: Vec<&str> = vec![&of.name, &of.docs, &of.file];
        texts.extend(of.aliases.iter().flat_map(names));
        self.finds(&texts)
    }
}

fn names(of: &Alias) -> [&str; 3] {
    [of.framework, of.name, of.remark]
}

#[cfg(test)]
mod tests {
    use super::Search;

    #[test]
    fn all_words_must_occur_somewhere() {
        let texts = ["clip_ppo", "PPO's clipped surrogate"];
        assert!(Search::new("ppo Surrogate").finds(&texts));
        assert!(!Search::new("ppo entropy").finds(&texts));
        assert!(Search::default().finds(&texts));
    }
}
