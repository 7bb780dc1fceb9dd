//! The four ways to say which of a row's tokens count.

use crate::plugin::{ArgError, prelude::TokenSet};

/// The arguments of which exactly one is given.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) drop: Option<f64>,
    pub(super) top_k: Option<i64>,
    pub(super) top_p: Option<f64>,
    pub(super) min_p: Option<f64>,
}

impl Asked {
    /// The set that is asked for, all tokens without any argument.
    pub(super) fn set(self) -> TokenSet {
        self.given().first().map_or(TokenSet::All, |(_, set)| *set)
    }

    /// Refuses none, several, and one out of its range; `help` is for the first two.
    pub(super) fn check(self, help: &str) -> Result<(), ArgError> {
        let given = self.given();
        let &[(name, set)] = given.as_slice() else {
            let message = if let [(first, _), (second, _), ..] = given.as_slice() {
                format!(
                    "expected one of `drop`, `top_k`, `top_p` and `min_p`, found `{first}` and `{second}`"
                )
            } else {
                "expected one of `drop`, `top_k`, `top_p` and `min_p`, found none".to_owned()
            };
            let blamed = given.get(1).map_or("", |(name, _)| name);
            return Err(ArgError::new(blamed, message).help(help));
        };
        match set {
            TokenSet::Drop(p) if !(0.0..1.0).contains(&p) => Err(ArgError::new(
                name,
                format!("expected `drop` of at least 0 and below 1, found {p}"),
            )
            .help(
                "`drop` is the part of the vocabulary that is left out; `drop = 30%` keeps the likeliest 70%",
            )),
            TokenSet::TopK(k) if k < 1 => {
                Err(ArgError::new(name, format!("expected a `top_k` of at least 1, found {k}"))
                    .help("`top_k` is the number of tokens that are kept"))
            }
            TokenSet::TopP(q) if !(q > 0.0 && q <= 1.0) => {
                Err(ArgError::new(name, format!("expected `top_p` above 0 and at most 1, found {q}"))
                    .help("`top_p` is the probability mass that is kept; `top_p = 95%`"))
            }
            TokenSet::MinP(r) if !(r > 0.0 && r <= 1.0) => {
                Err(ArgError::new(name, format!("expected `min_p` above 0 and at most 1, found {r}"))
                    .help("`min_p` is measured against the likeliest token; `min_p = 5%`"))
            }
            _ => Ok(()),
        }
    }

    fn given(self) -> Vec<(&'static str, TokenSet)> {
        let sets = [
            self.drop.map(|p| ("drop", TokenSet::Drop(p))),
            self.top_k.map(|k| ("top_k", TokenSet::TopK(k))),
            self.top_p.map(|q| ("top_p", TokenSet::TopP(q))),
            self.min_p.map(|r| ("min_p", TokenSet::MinP(r))),
        ];
        sets.into_iter().flatten().collect()
    }
}
