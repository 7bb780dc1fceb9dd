//! Rows of logits to check and to measure with: ordinary, tied, flat, banned, far from zero, and useless ones.

use tch::{Device, Kind, Tensor};

/// Logits with everything that belongs to them, on one device.
pub(crate) struct Batch {
    /// `[B, T, V]`.
    pub(crate) logits: Tensor,
    /// The same shape.
    pub(crate) reference: Tensor,
    /// `[B, T]`.
    pub(crate) actions: Tensor,
    /// `[B, T]`.
    pub(crate) mask: Tensor,
}

impl Batch {
    /// Rows of many sorts, on the processor. Rows lie apart, and do not begin where vectors do.
    pub(crate) fn of_all_sorts(kind: Kind, vocabulary: i64) -> Self {
        let options = (Kind::Double, Device::Cpu);
        let apart = vocabulary + 3;
        let normal = |spread: f64| Tensor::randn([apart], options) * spread;
        let ordinary = normal(3.0);
        let banned = ordinary.masked_fill(&ordinary.lt(1.0), f64::NEG_INFINITY);
        let with_nan = normal(1.0);
        let _ = with_nan.get(vocabulary / 2).fill_(f64::NAN);
        let rows = [
            ordinary,
            (normal(2.0) * 2.0).round() / 2.0,
            normal(0.01),
            banned,
            normal(2.0) + 1e4,
            normal(2.0) - 1e4,
            normal(20.0),
            with_nan,
            Tensor::full([apart], f64::NEG_INFINITY, options),
            normal(1.0).round(),
            // Masked: what it holds must not matter.
            Tensor::full([apart], f64::NAN, options),
            normal(1.0),
        ];
        let rows: Vec<Tensor> = rows.iter().map(|row| row.to_kind(kind)).collect();
        let near: Vec<Tensor> =
            rows.iter().map(|row| (row.to_kind(Kind::Double) + normal(0.3)).to_kind(kind)).collect();
        let stacked = |rows: &[Tensor]| Tensor::stack(rows, 0).view([3, 4, apart]).narrow(2, 1, vocabulary);
        let mask = Tensor::ones([12], (Kind::Bool, Device::Cpu));
        let _ = mask.get(10).fill_(0i64);
        let logits = stacked(&rows);
        // The likeliest token but for one row in two: a banned one has no log-probability to check.
        let actions = logits.nan_to_num(0.0, 0.0, -1e9).argmax(-1, false);
        Self { logits, reference: stacked(&near), actions, mask: mask.view([3, 4]) }
    }

    /// Rows as a model has them.
    pub(crate) fn of_a_model(kind: Kind, rows: i64, vocabulary: i64, device: Device) -> Self {
        let logits = || (Tensor::randn([1, rows, vocabulary], (Kind::Float, device)) * 3.0).to_kind(kind);
        Self {
            logits: logits(),
            reference: logits(),
            actions: Tensor::randint(vocabulary, [1, rows], (Kind::Int64, device)),
            mask: Tensor::ones([1, rows], (Kind::Bool, device)),
        }
    }

    /// The same numbers elsewhere, or in another kind; how rows lie stays.
    pub(crate) fn to(&self, device: Device, kind: Kind) -> Self {
        let moved = |tensor: &Tensor| {
            let whole = tensor.to_device(device).to_kind(kind);
            let apart =
                Tensor::zeros([tensor.size()[0], tensor.size()[1], tensor.size()[2] + 3], (kind, device));
            let mut rows = apart.narrow(2, 1, tensor.size()[2]);
            rows.copy_(&whole);
            rows
        };
        Self {
            logits: moved(&self.logits),
            reference: moved(&self.reference),
            actions: self.actions.to_device(device),
            mask: self.mask.to_device(device),
        }
    }
}
