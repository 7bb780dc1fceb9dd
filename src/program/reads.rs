//! What a program reads from a batch and from its step.

use super::{Op, Program};
use crate::fields::{self, LogitFields, POLICY, ROWS};
use crate::rows::references;
use crate::types::{FieldSort, InputType};
use std::collections::BTreeSet;

/// What a program reads from a batch and from its step.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reads {
    /// The fields that a batch must have. `hidden` and `lm_head` may replace `logits`.
    pub fields: BTreeSet<String>,
    /// The fields that bring the logits of the policy and of each reference, in either form; `rows` stands in for all of them.
    pub logits: Vec<LogitFields>,
    /// The fields with token ids that are listed for each token, and with values beside them; `rows` stands in for them, too.
    pub candidates: BTreeSet<String>,
    /// Whether it reads the log-probability of the actions.
    pub log_prob: bool,
    /// Whether it reads statistics of the rows of logits besides `log_prob`.
    pub rows: bool,
    /// Whether it reads the padded length of the step.
    pub width: bool,
}

impl Reads {
    /// Whether a batch may have `log_prob` in place of `logits` and `actions`: the program reads nothing else of a row.
    pub fn takes_log_prob(&self) -> bool {
        self.log_prob && !self.rows
    }
}

impl Program {
    /// Whether gradient can flow to a batch field: to one that brings the policy's logits, to one of the language that
    /// carries it, or to one that the file declares with `grad`.
    pub fn trains(&self, field: &str) -> bool {
        let declared = self.inputs.iter().any(|input| input.name == field && input.gradient);
        declared
            || field == ROWS
            || POLICY.names().contains(&field)
            || fields::find(field).is_some_and(|known| known.gradient)
    }

    /// What it reads from a batch and from its step.
    pub fn reads(&self) -> Reads {
        let any = |what: &dyn Fn(&Op) -> bool| self.nodes.iter().any(|node| what(&node.op));
        let log_prob = any(&|op| matches!(op, Op::LogProb(_)));
        let rows = any(&|op| matches!(op, Op::Row(_)));
        let logit_of_action = any(&|op| matches!(op, Op::Row(row) if row.statistic.needs_action()));
        let width = any(&|op| match op {
            Op::Term { object, .. } => self.terms[*object].signature.width,
            Op::Reduce { object, .. } => self.reductions[*object].signature.width,
            _ => false,
        });
        let mut fields: BTreeSet<String> =
            self.fields().chain(["response_mask"]).map(str::to_owned).collect();
        let mut logits = Vec::new();
        if rows || log_prob {
            fields.insert(POLICY.logits.to_owned());
            let read = self.nodes.iter().filter_map(|node| match node.op {
                Op::Row(row) => Some(row),
                _ => None,
            });
            let references = references(&read.collect::<Vec<_>>()).into_iter().map(LogitFields::of_reference);
            logits = [POLICY].into_iter().chain(references).collect();
        }
        if log_prob || logit_of_action {
            fields.insert("actions".to_owned());
        }
        let listed = self.inputs.iter().filter(|input| {
            matches!(input.ty, InputType::Field(FieldSort::CandidateIds | FieldSort::Candidates))
        });
        let candidates =
            listed.map(|input| input.name.clone()).filter(|name| fields.contains(name)).collect();
        Reads { fields, logits, candidates, log_prob, rows, width }
    }
}

#[cfg(test)]
mod tests {
    use super::Reads;

    fn reads(text: &str) -> Reads {
        crate::compile(text).unwrap().reads()
    }

    #[test]
    fn fields_are_those_that_a_batch_must_bring() {
        let found = reads("loss = token_mean(clip_ppo()) - 0.1 * token_mean(reverse_kl())");
        let expected = ["actions", "advantages", "logits", "old_log_prob", "ref_logits", "response_mask"];
        assert_eq!(found.fields.iter().map(String::as_str).collect::<Vec<_>>(), expected);
        assert!(found.log_prob && found.rows && !found.takes_log_prob());
        assert!(reads("loss = token_mean(clip_ppo())").takes_log_prob());
        let listed = reads("input kept: candidates id\nloss = -token_mean(log_prob(within = kept))");
        let expected = ["actions", "kept", "logits", "response_mask"];
        assert_eq!(listed.fields.iter().map(String::as_str).collect::<Vec<_>>(), expected);
        assert!(!listed.takes_log_prob());
        assert_eq!(listed.candidates.iter().collect::<Vec<_>>(), ["kept"]);
        let hot = reads("loss = -token_mean(log_prob(temperature = 2) + log_prob)");
        assert!(hot.fields.contains("actions") && hot.log_prob && !hot.takes_log_prob());
        let entropy = reads("loss = -token_mean(entropy())");
        assert!(!entropy.fields.contains("actions") && !entropy.takes_log_prob());
    }

    #[test]
    fn rows_stand_in_for_the_logits_of_policy_and_references() {
        let stems = |text: &str| reads(text).logits.iter().map(|of| of.hidden).collect::<Vec<_>>();
        assert!(stems("input x: token grad\nloss = token_mean(x)").is_empty());
        assert_eq!(stems("loss = token_mean(clip_ppo())"), ["hidden"]);
        let several = "input math: logits\nloss = token_mean(forward_kl(of = math) + reverse_kl())";
        assert_eq!(stems(several), ["hidden", "math_hidden", "ref_hidden"]);
    }

    #[test]
    fn the_width_is_read_where_no_length_is_given() {
        assert!(reads("loss = -seq_mean_token_sum_norm(log_prob)").width);
        assert!(!reads("loss = -seq_mean_token_sum_norm(log_prob, length = 8)").width);
        assert!(!reads("loss = -token_mean(log_prob)").width);
    }
}
