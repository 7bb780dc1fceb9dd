//! Matches a part with its measured counterpart, so that parts may come in any order.

use super::error::{Error, Result};
use super::part::Part;
use crate::tensor::{DType, Tensor};
use std::collections::BTreeMap;

/// Tolerance between two runs of the model on the same part: in bf16 a logit of 32 moves by 0.125 from one run of a
/// kernel to the next. Other parts differ by more.
const ABSOLUTE: f64 = 0.25;
const RELATIVE: f64 = 0.05;

/// The index of the measured part that matches this one, among those that have not given their share.
pub(super) fn recognise(
    part: &Part,
    measured: &[Part],
    given: &BTreeMap<usize, Part>,
    exactly: bool,
) -> Result<usize> {
    let compare = |of: &Part| if exactly { part.differs(of) } else { Ok(part.differs_in_size(of)) };
    let mut reason = None;
    for (index, of) in measured.iter().enumerate().filter(|(index, _)| !given.contains_key(index)) {
        match compare(of)? {
            None => return Ok(index),
            // If the parts come in order, the first candidate was expected.
            Some(difference) => reason = reason.or(Some((index, difference))),
        }
    }
    for index in given.keys() {
        if exactly && compare(&measured[*index])?.is_none() {
            let (number, index) = (given.len() + 1, index + 1);
            return Err(Error::Step(format!(
                "part {number}: this is measured part {index}, which gave its share before: expected each part once"
            )));
        }
    }
    let (index, difference) =
        reason.ok_or_else(|| Error::Step("every measured part has given its share".to_owned()))?;
    Err(Error::Step(format!(
        "part {}: expected a part that was measured, found another: compared with measured part {}, {difference}",
        given.len() + 1,
        index + 1
    )))
}

impl Part {
    fn differs_in_size(&self, measured: &Part) -> Option<String> {
        let (found, expected) = (self.size(), measured.size());
        (found != expected).then(|| {
            format!("`response_mask` is of size {found:?}, and was of {expected:?} when it was measured")
        })
    }

    /// How this part differs from the measured one, if it does.
    fn differs(&self, measured: &Part) -> Result<Option<String>> {
        if let Some(difference) = self.differs_in_size(measured) {
            return Ok(Some(difference));
        }
        if !same(&self.mask.tokens, &measured.mask.tokens)? {
            return Ok(Some("`response_mask` has other values".to_owned()));
        }
        if let (Some(found), Some(expected)) = (&self.actions, &measured.actions)
            && !same(&self.mask.zero_tokens(found), &self.mask.zero_tokens(expected))?
        {
            return Ok(Some("`actions` has other values".to_owned()));
        }
        let trains = |name: &str| crate::fields::find(name).is_some_and(|field| field.gradient);
        for (name, expected) in measured.fields.iter().filter(|(name, _)| !trains(name)) {
            let Some(found) = self.fields.get(name) else { continue };
            if found.dtype() != expected.dtype() {
                let (found, expected) = (found.dtype(), expected.dtype());
                return Ok(Some(format!("`{name}` is {found}, and was {expected} when it was measured")));
            }
            if !same(found, expected)? {
                return Ok(Some(format!("`{name}` has other values")));
            }
        }
        self.model_differs(measured)
    }

    /// Compares the model's outputs, which differ by rounding between two runs.
    fn model_differs(&self, measured: &Part) -> Result<Option<String>> {
        let log_prob = self.log_prob.iter().zip(&measured.log_prob).map(|pair| ("log_prob", pair));
        let rows = self.rows.iter().zip(&measured.rows).map(|pair| ("a row statistic", pair));
        let values = self.fields.get("values").into_iter().zip(measured.fields.get("values"));
        for (name, (found, expected)) in log_prob.chain(rows).chain(values.map(|pair| ("values", pair))) {
            if !near(found, expected)? {
                return Ok(Some(format!(
                    "the model gives another `{name}` than when the part was measured; it has to run with the same \
                     weights and the same random numbers both times (dropout off, or its state restored)"
                )));
            }
        }
        Ok(None)
    }
}

fn same(found: &Tensor, expected: &Tensor) -> Result<bool> {
    Ok(found.detach().equal(expected)?)
}

fn near(found: &Tensor, expected: &Tensor) -> Result<bool> {
    let (found, expected) = (found.detach().to_dtype(DType::F64), expected.to_dtype(DType::F64));
    let apart = (&found - &expected).abs();
    let close = apart.le(&(expected.abs() * RELATIVE + ABSOLUTE)).logical_or(&found.eq(&expected));
    let both_nan = found.ne(&found).logical_and(&expected.ne(&expected));
    Ok(close.logical_or(&both_nan).all().i64_at(&[])? == 1)
}
