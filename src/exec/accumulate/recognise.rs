//! Matches a part with its measured counterpart, so that parts may come in any order.

use crate::exec::error::{Error, Result};
use crate::exec::part::Part;
use crate::plan::Plan;
use crate::tensor::{DType, Tensor};
use std::collections::BTreeMap;

/// Tolerance between two runs of the model on the same part: in bf16 a logit of 32 moves by 0.125 from one run of a
/// kernel to the next. Other parts differ by more.
const ABSOLUTE: f64 = 0.25;
const RELATIVE: f64 = 0.05;

/// The index of the measured part that matches this one, among those that have not given their share.
pub(super) fn recognise(
    plan: &Plan,
    part: &Part,
    measured: &[Part],
    given: &BTreeMap<usize, Part>,
    exactly: bool,
) -> Result<usize> {
    let compare = |of: &Part| if exactly { differs(plan, part, of) } else { Ok(differs_in_size(part, of)) };
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

fn differs_in_size(part: &Part, measured: &Part) -> Option<String> {
    let (found, expected) = (part.size(), measured.size());
    (found != expected).then(|| {
        format!("`response_mask` is of size {found:?}, and was of {expected:?} when it was measured")
    })
}

/// How a part differs from a measured one, if it does.
fn differs(plan: &Plan, part: &Part, measured: &Part) -> Result<Option<String>> {
    if let Some(difference) = differs_in_size(part, measured) {
        return Ok(Some(difference));
    }
    if !same(&part.mask.tokens, &measured.mask.tokens)? {
        return Ok(Some("`response_mask` has other values".to_owned()));
    }
    if let (Some(found), Some(expected)) = (&part.actions, &measured.actions)
        && !same(&part.mask.zero_tokens(found), &part.mask.zero_tokens(expected))?
    {
        return Ok(Some("`actions` has other values".to_owned()));
    }
    for (field, (found, expected)) in plan.fields.iter().zip(part.fields.iter().zip(&measured.fields)) {
        let (Some(found), Some(expected), false) = (found, expected, field.gradient) else { continue };
        let name = &field.name;
        if found.dtype() != expected.dtype() {
            let (found, expected) = (found.dtype(), expected.dtype());
            return Ok(Some(format!("`{name}` is {found}, and was {expected} when it was measured")));
        }
        if !same(found, expected)? {
            return Ok(Some(format!("`{name}` has other values")));
        }
    }
    model_differs(plan, part, measured)
}

/// Compares the model's outputs, which differ by rounding between two runs.
fn model_differs(plan: &Plan, part: &Part, measured: &Part) -> Result<Option<String>> {
    let log_prob = part.log_prob.iter().zip(&measured.log_prob).map(|pair| ("log_prob", pair));
    let rows = part.rows.iter().zip(&measured.rows).map(|pair| ("a row statistic", pair));
    let fields = plan.fields.iter().zip(part.fields.iter().zip(&measured.fields));
    let trained = fields.filter(|(field, _)| field.gradient).filter_map(|(field, (found, expected))| {
        Some((field.name.as_str(), (found.as_ref()?, expected.as_ref()?)))
    });
    for (name, (found, expected)) in log_prob.chain(rows).chain(trained) {
        if !near(found, expected)? {
            return Ok(Some(format!(
                "the model gives another `{name}` than when the part was measured; it has to run with the same \
                 weights and the same random numbers both times (dropout off, or its state restored)"
            )));
        }
    }
    Ok(None)
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
