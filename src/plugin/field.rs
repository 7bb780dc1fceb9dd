//! Batch fields as constant arguments: what a term reads of them is a row statistic.

use super::parameter::{Argument, ParameterType};
use crate::rows::{FieldName, Rest};
use crate::types::FieldSort;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A batch field that a call names. Saved as in its declaration: `kept: candidates id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldArg {
    /// The field.
    pub name: FieldName,
    /// As which the file declares it.
    pub sort: FieldSort,
}

/// The argument `within`: a batch field with a list of token ids for each row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenList(FieldArg);

/// The argument `of` of a divergence: the field with what the policy is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Teacher(FieldArg);

/// What a [`Teacher`] is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaughtBy {
    /// A log-probability for each listed token.
    Listed(FieldName),
    /// Its logits.
    Logits(FieldName),
}

impl TokenList {
    /// The field.
    pub fn name(self) -> FieldName {
        self.0.name
    }
}

impl Teacher {
    /// The field, by its sort.
    pub fn by(self) -> TaughtBy {
        match self.0.sort {
            FieldSort::Logits => TaughtBy::Logits(self.0.name),
            FieldSort::Candidates | FieldSort::CandidateIds => TaughtBy::Listed(self.0.name),
        }
    }
}

impl Argument for TokenList {
    const TYPE: ParameterType = ParameterType::Field(&[FieldSort::CandidateIds]);
}

impl Argument for Teacher {
    const TYPE: ParameterType = ParameterType::Field(&[FieldSort::Candidates, FieldSort::Logits]);
}

impl Argument for Rest {
    const TYPE: ParameterType = ParameterType::Choice(&["bucket", "renormalise", "ignore"]);
}

impl FieldArg {
    /// The field that a saved argument names.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (name, sort) = text.split_once(": ")?;
        let sort = FieldSort::ALL.into_iter().find(|of| of.as_str() == sort)?;
        Some(Self { name: FieldName::new(name), sort })
    }
}

impl fmt::Display for FieldArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.sort)
    }
}

impl Serialize for FieldArg {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FieldArg {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom(format!("expected a batch field, found {text:?}")))
    }
}
