//! What divergences share: the reference's logits, or a teacher's log-probabilities on tokens that the batch lists.

use crate::plugin::prelude::*;

/// The arguments; of the first three, either all or none is given.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) within: Option<TokenList>,
    pub(super) of: Option<ListedValues>,
    pub(super) rest: Option<Rest>,
    pub(super) temperature: Option<f64>,
}

impl Asked {
    /// The signature for these arguments; `of_all` compares with the reference.
    pub(super) fn resolve(self, declared: Signature, of_all: Statistic, divergence: Divergence) -> Signature {
        let (Some(within), Some(of), Some(rest)) = (self.within, self.of, self.rest) else {
            return declared.rows([Row::new(TokenSet::All, of_all).temperature(self.temperature)]);
        };
        let taught = Statistic::Taught(Taught { divergence, of: of.name(), rest });
        let interval = if rest == Rest::Ignore { Interval::ALL } else { declared.interval };
        let row = Row::new(TokenSet::Given(within.name()), taught).temperature(self.temperature);
        declared.rows([row]).interval(interval)
    }

    /// Refuses some of the three without the others; `name` is the term's.
    pub(super) fn check(self, name: &str) -> Result<(), ArgError> {
        let given =
            [("within", self.within.is_some()), ("of", self.of.is_some()), ("rest", self.rest.is_some())];
        let first = given.iter().find(|(_, is)| *is);
        let missing = given.iter().find(|(_, is)| !*is);
        let (Some((first, _)), Some((missing, _))) = (first, missing) else { return Ok(()) };
        let message = format!("expected `{missing}` beside `{first}`, found none");
        let help = if *missing == "rest" {
            "`rest` says what becomes of the other tokens: `rest = \"bucket\"`, `\"renormalise\"` or `\"ignore\"`"
                .to_owned()
        } else {
            format!("write `{name}(within = teacher_ids, of = teacher_log_prob, rest = \"bucket\")`")
        };
        Err(ArgError::new(first, message).help(help))
    }
}
