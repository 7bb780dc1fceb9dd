//! The logits as rows that were checked once: their shape, kind and device, and the actions of the valid ones.

use tch::{Kind, Tensor};

use super::KernelError;

/// The rows of a batch that count.
pub(super) struct Rows {
    /// `[B, T, V]` as they came.
    pub(super) logits: Tensor,
    /// `[M]` token ids in `0..V`, one for each valid row.
    pub(super) actions: Tensor,
    /// `[M]` positions of the valid rows; none where all are valid and nothing needs to be picked.
    pub(super) positions: Option<Tensor>,
    /// B and T.
    pub(super) shape: [i64; 2],
}

impl Rows {
    pub(super) fn checked(logits: &Tensor, actions: &Tensor, mask: &Tensor) -> Result<Self, KernelError> {
        let size = logits.size();
        let &[batch, time, vocabulary] = size.as_slice() else {
            return refuse("logits", "shape [B, T, V]", &format!("shape {size:?}"));
        };
        if vocabulary == 0 {
            return refuse("logits", "at least one token in the vocabulary", &format!("shape {size:?}"));
        }
        if !matches!(logits.kind(), Kind::Float | Kind::Double | Kind::BFloat16 | Kind::Half) {
            return refuse("logits", "kind f32, f64, bf16 or f16", &format!("{:?}", logits.kind()));
        }
        for (name, tensor, kind) in [("actions", actions, Kind::Int64), ("response_mask", mask, Kind::Bool)] {
            if tensor.size() != [batch, time] {
                let expected = format!("shape [{batch}, {time}] as the logits have");
                return refuse(name, &expected, &format!("shape {:?}", tensor.size()));
            }
            if tensor.kind() != kind {
                return refuse(name, &format!("kind {kind:?}"), &format!("{:?}", tensor.kind()));
            }
            if tensor.device() != logits.device() {
                let expected = format!("device {:?} as the logits have", logits.device());
                return refuse(name, &expected, &format!("{:?}", tensor.device()));
            }
        }
        let rows = Self::of_valid(logits, actions, mask, [batch, time])?;
        rows.check_actions(vocabulary)?;
        Ok(rows)
    }

    /// The logits of the valid rows in the kind that sums are kept in: `[M, V]`, f32 or wider.
    pub(super) fn valid_logits(&self) -> Result<Tensor, KernelError> {
        let [batch, time] = self.shape;
        let rows = self.logits.f_reshape([batch * time, self.logits.size()[2]])?;
        let valid = match &self.positions {
            Some(positions) => rows.f_index_select(0, positions)?,
            None => rows,
        };
        Ok(valid.f_to_kind(self.kind())?)
    }

    /// What statistics are computed and returned in.
    pub(super) fn kind(&self) -> Kind {
        if self.logits.kind() == Kind::Double { Kind::Double } else { Kind::Float }
    }

    /// Values of the valid rows, `[M]`, at their places in `[B, T]`, with zero elsewhere.
    pub(super) fn placed(&self, values: &Tensor) -> Result<Tensor, KernelError> {
        let all = match &self.positions {
            Some(positions) => {
                Tensor::f_zeros(self.shape[0] * self.shape[1], (self.kind(), values.device()))?
                    .f_index_copy(0, positions, values)?
            }
            None => values.shallow_clone(),
        };
        Ok(all.f_view(self.shape)?)
    }

    fn of_valid(
        logits: &Tensor,
        actions: &Tensor,
        mask: &Tensor,
        shape: [i64; 2],
    ) -> Result<Self, KernelError> {
        let count = shape[0] * shape[1];
        let logits = logits.shallow_clone();
        let actions = actions.f_reshape([count])?;
        let positions = mask.f_reshape([count])?.f_nonzero()?.f_squeeze_dim(1)?;
        if positions.size()[0] == count {
            return Ok(Self { logits, actions, positions: None, shape });
        }
        let actions = actions.f_index_select(0, &positions)?;
        Ok(Self { logits, actions, positions: Some(positions), shape })
    }

    fn check_actions(&self, vocabulary: i64) -> Result<(), KernelError> {
        if self.actions.numel() == 0 {
            return Ok(());
        }
        let (lowest, highest) = self.actions.f_aminmax(None::<i64>, false)?;
        for found in [lowest.f_int64_value(&[])?, highest.f_int64_value(&[])?] {
            if !(0..vocabulary).contains(&found) {
                let expected = format!("token ids from 0 to {} where the mask is true", vocabulary - 1);
                return refuse("actions", &expected, &found.to_string());
            }
        }
        Ok(())
    }
}

fn refuse<T>(name: &'static str, expected: &str, found: &str) -> Result<T, KernelError> {
    Err(KernelError::Tensor { name, expected: expected.to_owned(), found: found.to_owned() })
}
