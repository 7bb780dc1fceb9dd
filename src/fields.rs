//! The batch fields that every spec can use, with verl's names.

use crate::interval::Interval;
use crate::rows::FieldName;
use crate::types::{Type, Unit};

/// A batch field of the language.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Its type in a formula.
    pub ty: Type,
    /// Whether gradient flows into it.
    pub gradient: bool,
    /// Whether a batch may bring one value per sequence in place of one per token.
    pub per_sequence: bool,
    /// The meaning of its values.
    pub unit: Unit,
    /// The range of its values.
    pub interval: Interval,
    /// One line for documentation.
    pub docs: &'static str,
}

/// The field that says where each sequence of a packed batch begins, `[B + 1]`.
pub const CU_SEQLENS: &str = "cu_seqlens";

/// The field that brings row statistics, `[B, T, R]`, instead of the logits that they are made from.
pub const ROWS: &str = "rows";

/// The field that says which tokens count.
pub const RESPONSE_MASK: &str = "response_mask";

const fn field(name: &'static str, ty: Type, unit: Unit, interval: Interval, docs: &'static str) -> Field {
    Field { name, ty, gradient: false, per_sequence: false, unit, interval, docs }
}

/// All of them, in the order of the documentation. Fields that only row statistics read are not here; see
/// [`is_of_vocabulary`].
pub const FIELDS: &[Field] = &[
    Field {
        gradient: true,
        ..field(
            "log_prob",
            Type::TOKEN,
            Unit::LogProb,
            Interval::NON_POSITIVE,
            "log-softmax of `logits / temperature` at `actions`, unless the batch brings it",
        )
    },
    field(
        "old_log_prob",
        Type::TOKEN,
        Unit::LogProb,
        Interval::NON_POSITIVE,
        "log-probability under the policy at the start of the update",
    ),
    field(
        "ref_log_prob",
        Type::TOKEN,
        Unit::LogProb,
        Interval::NON_POSITIVE,
        "log-probability under the frozen reference policy",
    ),
    field(
        "rollout_log_prob",
        Type::TOKEN,
        Unit::LogProb,
        Interval::NON_POSITIVE,
        "log-probability that the inference engine reported",
    ),
    Field {
        per_sequence: true,
        ..field(
            "advantages",
            Type::TOKEN,
            Unit::Reward,
            Interval::ALL,
            "one per token, or one per sequence broadcast over T",
        )
    },
    Field {
        gradient: true,
        ..field("values", Type::TOKEN, Unit::Reward, Interval::ALL, "the critic's values")
    },
    field(
        "old_values",
        Type::TOKEN,
        Unit::Reward,
        Interval::ALL,
        "the critic's values at the start of the update",
    ),
    field("returns", Type::TOKEN, Unit::Reward, Interval::ALL, "the critic's targets"),
    field("rewards", Type::SEQ, Unit::Reward, Interval::ALL, "one per sequence"),
    field("group", Type::SEQ.to_int(), Unit::Unknown, Interval::ALL, "int64: which prompt a sample answers"),
    field(
        RESPONSE_MASK,
        Type::TOKEN.to_bool(),
        Unit::Unknown,
        Interval::UNIT,
        "bool or 0/1: which tokens count",
    ),
];

/// The fields that bring the logits: directly, or as hidden states and the output layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogitFields {
    /// `[B, T, V]`.
    pub logits: &'static str,
    /// `[B, T, D]`, instead of the logits.
    pub hidden: &'static str,
    /// `[V, D]`.
    pub weight: &'static str,
    /// `[V]`, optional.
    pub bias: &'static str,
}

/// The logits of the policy.
pub const POLICY: LogitFields =
    LogitFields { logits: "logits", hidden: "hidden", weight: "lm_head", bias: "lm_head_bias" };

/// The logits of the frozen reference policy, for divergences from it over the whole vocabulary.
pub const REFERENCE: LogitFields = LogitFields {
    logits: "ref_logits",
    hidden: "ref_hidden",
    weight: "ref_lm_head",
    bias: "ref_lm_head_bias",
};

const LOGITS: [LogitFields; 2] = [POLICY, REFERENCE];

/// What a batch may say, beside its tensors, of how logits are made of `hidden` states.
pub const HEAD_OPTIONS: [&str; 3] = ["logit_softcap", "logit_scale", "head_dtype"];

/// The same of `ref_hidden` states.
const REFERENCE_OPTIONS: [&str; 3] = ["ref_logit_softcap", "ref_logit_scale", "ref_head_dtype"];

/// The field with hidden states that a name says something of, and the option: of `ref_logit_scale` they are `ref_hidden` and
/// `logit_scale`.
pub fn head_option(name: &str) -> Option<(String, &'static str)> {
    let (stem, option) =
        HEAD_OPTIONS.iter().find_map(|option| Some((name.strip_suffix(option)?, *option)))?;
    (stem.is_empty() || stem.ends_with('_')).then(|| (format!("{stem}{}", POLICY.hidden), option))
}

impl LogitFields {
    /// Those of a reference: the fields that belong to a declared `logits` field, or [`REFERENCE`]. Of `input math: logits` they
    /// are `math`, or `math_hidden` with `math_lm_head` and `math_lm_head_bias`; of `math_logits` as well.
    pub fn of_reference(declared: Option<FieldName>) -> Self {
        let Some(logits) = declared.map(FieldName::as_str) else { return REFERENCE };
        let stem = logits.strip_suffix("_logits").unwrap_or(logits);
        let field = |suffix: &str| FieldName::new(&format!("{stem}_{suffix}")).as_str();
        Self { logits, hidden: field("hidden"), weight: field("lm_head"), bias: field("lm_head_bias") }
    }

    /// The name of one of [`HEAD_OPTIONS`] for these hidden states.
    pub fn option(&self, option: &str) -> String {
        let stem = self.hidden.strip_suffix(POLICY.hidden).unwrap_or_default();
        format!("{stem}{option}")
    }

    /// All four names.
    pub fn names(&self) -> [&'static str; 4] {
        [self.logits, self.hidden, self.weight, self.bias]
    }
}

/// Every name that a batch may bring without an `input` line in the file.
pub fn names() -> impl Iterator<Item = &'static str> {
    let logits = LOGITS.iter().flat_map(LogitFields::names);
    let options = HEAD_OPTIONS.into_iter().chain(REFERENCE_OPTIONS);
    FIELDS.iter().map(|field| field.name).chain(["actions", CU_SEQLENS, ROWS]).chain(logits).chain(options)
}

/// Whether a field belongs to a model rather than to the batch, so that it is not split into micro-batches: the output layer of
/// the policy, of the reference, and of what a file declares as `logits`.
pub fn is_shared(name: &str) -> bool {
    [POLICY.weight, POLICY.bias]
        .iter()
        .any(|of| name.strip_suffix(of).is_some_and(|stem| stem.is_empty() || stem.ends_with('_')))
}

/// Whether only row statistics read the field, so that a formula cannot name it.
pub fn is_of_vocabulary(name: &str) -> bool {
    find(name).is_none() && names().any(|known| known == name)
}

/// The field with that name.
pub fn find(name: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.name == name)
}

#[cfg(test)]
mod tests {
    use super::{HEAD_OPTIONS, LogitFields, POLICY, REFERENCE, head_option, names};

    #[test]
    fn options_of_heads_belong_to_their_hidden_states() {
        for fields in [POLICY, REFERENCE] {
            for option in HEAD_OPTIONS {
                let name = LogitFields::option(&fields, option);
                assert!(names().any(|known| known == name), "{name}");
                assert_eq!(head_option(&name), Some((fields.hidden.to_owned(), option)));
            }
        }
        assert_eq!(head_option("mylogit_scale"), None);
        assert_eq!(head_option("logits"), None);
    }
}
