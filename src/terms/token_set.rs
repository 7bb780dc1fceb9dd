//! The ways to say which of a row's tokens count.

use crate::plugin::prelude::{ArgError, TokenList, TokenSet};

/// The arguments of which exactly one is given.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) drop: Option<f64>,
    pub(super) top_k: Option<i64>,
    pub(super) top_p: Option<f64>,
    pub(super) min_p: Option<f64>,
    pub(super) within: Option<TokenList>,
}

impl Asked {
    /// The set that is asked for, all tokens without any argument.
    pub(super) fn set(self) -> TokenSet {
        self.given().first().map_or(TokenSet::All, |(_, set)| *set)
    }

    /// Refuses none and several of them; `help` says what to write.
    pub(super) fn check(self, help: &str) -> Result<(), ArgError> {
        self.check_among("`drop`, `top_k`, `top_p` and `min_p`", help)
    }

    /// The same; `names` are all that the term takes.
    pub(super) fn check_among(self, names: &str, help: &str) -> Result<(), ArgError> {
        let given = self.given();
        let message = match given.as_slice() {
            [_] => return Ok(()),
            [] => format!("expected one of {names}, found none"),
            [(first, _), (second, _), ..] => {
                format!("expected one of {names}, found `{first}` and `{second}`")
            }
        };
        let blamed = given.get(1).map_or("", |(name, _)| name);
        Err(ArgError::new(blamed, message).help(help))
    }

    fn given(self) -> Vec<(&'static str, TokenSet)> {
        let sets = [
            self.drop.map(|p| ("drop", TokenSet::Drop(p))),
            self.top_k.map(|k| ("top_k", TokenSet::TopK(k))),
            self.top_p.map(|q| ("top_p", TokenSet::TopP(q))),
            self.min_p.map(|r| ("min_p", TokenSet::MinP(r))),
            self.within.map(|within| ("within", TokenSet::Given(within.name()))),
        ];
        sets.into_iter().flatten().collect()
    }
}
