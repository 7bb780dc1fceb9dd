//! Where a batch has its logits: as they are, or as hidden states and the output layer.

use super::Part;
use super::wrong::{field_error, missing};
use crate::exec::batch::Batch;
use crate::exec::error::Result;
use crate::fields::LogitFields;
use crate::kernels::{Hidden, Source};

impl Part {
    /// The logits that these fields stand for, and V; `needs` says in words what for.
    pub(super) fn source<'a>(
        &self,
        batch: &'a Batch,
        names: &LogitFields,
        needs: impl Fn() -> String,
    ) -> Result<(Source<'a>, i64)> {
        let (name, tensor, width, source) = match (batch.get(names.logits), batch.get(names.hidden)) {
            (Some(logits), None) => {
                refuse_head(batch, names, names.logits)?;
                (names.logits, logits, "V", Source::Logits(logits))
            }
            (None, Some(hidden)) => {
                let weight = batch.get(names.weight).ok_or_else(|| {
                    let expected =
                        format!("the output layer `[V, D]` that makes logits of `{}`", names.hidden);
                    missing(names.weight, expected)
                })?;
                let (bias, head) = (batch.get(names.bias), batch.head(names.hidden));
                if let Some((option, expected, found)) = head.wrong() {
                    return Err(field_error(&names.option(option), expected, &found));
                }
                (names.hidden, hidden, "D", Source::Hidden(Hidden { hidden, weight, bias, head }))
            }
            (Some(_), Some(_)) => {
                let expected = format!("either `{}` or `{}`", names.logits, names.hidden);
                return Err(field_error(names.hidden, expected, "both"));
            }
            (None, None) => return Err(missing(names.logits, needs())),
        };
        if let Some(why) = tensor.unusable() {
            return Err(field_error(name, why.expected, &why.found));
        }
        let (sequences, length) = self.size();
        let size = tensor.size();
        let fits = matches!(*size.as_slice(), [b, t, last] if (b, t) == (sequences, length) && last > 0);
        if !fits {
            let expected =
                format!("[{sequences}, {length}, {width}], as `response_mask` is [{sequences}, {length}]");
            return Err(field_error(name, expected, &format!("{size:?}")));
        }
        self.check_device(name, tensor)?;
        let [_, _, vocabulary] = source.shape(names)?;
        Ok((source, vocabulary))
    }
}

/// Refuses what a batch says of a head that it does not use: the field `found` has what the head would make.
pub(super) fn refuse_head(batch: &Batch, names: &LogitFields, found: &str) -> Result<()> {
    let (hidden, weight) = (names.hidden, names.weight);
    batch.head(hidden).given().next().map_or(Ok(()), |option| {
        let expected = format!("`{hidden}` with `{weight}`, of which it says how logits are made");
        Err(field_error(&names.option(option), expected, &format!("`{found}`")))
    })
}
