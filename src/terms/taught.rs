//! What divergences share: the logits of the reference or of another policy, or a teacher's log-probabilities on tokens that
//! the batch lists.

use crate::plugin::prelude::*;

/// The arguments; of the first three either all are given, or none, or `of` alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) within: Option<TokenList>,
    pub(super) of: Option<Teacher>,
    pub(super) rest: Option<Rest>,
    pub(super) temperature: Option<f64>,
}

impl Asked {
    /// The signature for these arguments; `of_all` compares with the reference.
    pub(super) fn resolve(self, declared: Signature, of_all: Statistic, divergence: Divergence) -> Signature {
        let by = self.of.map(Teacher::by);
        let (Some(within), Some(TaughtBy::Listed(of)), Some(rest)) = (self.within, by, self.rest) else {
            let reference = match by {
                Some(TaughtBy::Logits(field)) => Some(field),
                Some(TaughtBy::Listed(_)) | None => None,
            };
            let row = Row::new(TokenSet::All, of_all).temperature(self.temperature);
            return declared.rows([row.reference(reference)]);
        };
        let taught = Statistic::Taught(Taught { divergence, of, rest });
        let interval = if rest == Rest::Ignore { Interval::ALL } else { declared.interval };
        let row = Row::new(TokenSet::Given(within.name()), taught).temperature(self.temperature);
        declared.rows([row]).interval(interval)
    }

    /// Refuses some of the three without the others; `name` is the term's.
    pub(super) fn check(self, name: &str) -> Result<(), ArgError> {
        if let Some(TaughtBy::Logits(field)) = self.of.map(Teacher::by) {
            let beside = [("within", self.within.is_some()), ("rest", self.rest.is_some())];
            let Some((beside, _)) = beside.iter().find(|(_, is)| *is) else { return Ok(()) };
            let message =
                format!("expected no `{beside}` beside `of = {field}`, which has the logits of all tokens");
            let help = "a teacher that is known on some tokens only is an `input` of type `candidates`";
            return Err(ArgError::new(beside, message).help(help));
        }
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
