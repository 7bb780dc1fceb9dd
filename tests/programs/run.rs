//! Runs a program on a case with the fields that generated programs declare, and gathers every number.

use aent::testing::{Case, Leaves, distance};
use aent::{Accumulation, Batch, Options, Output, Session};
use std::collections::BTreeMap;
use tch::{Device, Kind, Tensor};

/// Every number of a step.
#[derive(Clone, Debug)]
pub(crate) struct Numbers {
    pub(crate) loss: f64,
    /// Metrics, and signals as `signal NAME`.
    pub(crate) reported: BTreeMap<String, f64>,
    pub(crate) logits_gradient: Vec<f64>,
    pub(crate) values_gradient: Vec<f64>,
}

impl Numbers {
    /// Whether the two agree bit for bit; one NaN is as good as another.
    pub(crate) fn same_bits(&self, other: &Self) -> bool {
        self.bits(|x| x) == other.bits(|x| x) && self.reported.keys().eq(other.reported.keys())
    }

    /// The same where 0 is as good as -0.
    pub(crate) fn same_numbers(&self, other: &Self) -> bool {
        self.bits(|x| x + 0.0) == other.bits(|x| x + 0.0) && self.reported.keys().eq(other.reported.keys())
    }

    fn bits(&self, of: fn(f64) -> f64) -> Vec<u64> {
        let gradients = self.logits_gradient.iter().chain(&self.values_gradient);
        let numbers = std::iter::once(&self.loss).chain(self.reported.values()).chain(gradients);
        numbers.map(|x| if x.is_nan() { f64::NAN.to_bits() } else { of(*x).to_bits() }).collect()
    }

    /// What differs by more than a tolerance, relative to the largest number of its kind.
    pub(crate) fn difference(&self, other: &Self, tolerance: f64) -> Option<String> {
        let reported = |of: &Self| of.reported.values().copied().collect::<Vec<_>>();
        let gaps = [
            ("loss", distance(&[self.loss], &[other.loss])),
            ("metrics and signals", distance(&reported(self), &reported(other))),
            ("gradient of the logits", distance(&self.logits_gradient, &other.logits_gradient)),
            ("gradient of the values", distance(&self.values_gradient, &other.values_gradient)),
        ];
        let worst = gaps.into_iter().find(|(_, gap)| *gap > tolerance)?;
        Some(format!("{} differs by {}\n{self:?}\n{other:?}", worst.0, worst.1))
    }
}

/// A session that also computes every `let`.
pub(crate) fn session(program: aent::Program) -> Session {
    Session::with(program, Options { lets: true, ..Options::default() })
}

/// The tensors of a case in f64, with the fields that programs and recipes declare made of its own.
pub(crate) fn leaves(case: &Case) -> Leaves {
    leaves_in(case, Kind::Double)
}

/// The same with logits in a kind, and the other numbers in f32 unless that is f64.
pub(crate) fn leaves_in(case: &Case, kind: Kind) -> Leaves {
    let mut leaves = case.leaves(kind, Device::Cpu);
    let wide = if kind == Kind::Double { Kind::Double } else { Kind::Float };
    let real = |numbers: &[f64]| Tensor::from_slice(numbers).to_kind(wide);
    let (b, t) = (case.sequences as i64, case.width as i64);
    let of = |name: &str, f: fn(f64) -> f64| {
        real(&case.token(name).iter().map(|x| f(*x)).collect::<Vec<f64>>()).view([b, t])
    };
    // Neither 0 nor 1 where masked out, as far as the case is poisoned.
    let flag = |x: f64| if x.is_finite() && x.abs() < 1e20 { f64::from(x > 0.0) } else { 7.0 };
    let score = || real(&case.rewards).cos();
    let chosen: Vec<bool> = case.rewards.iter().map(|x| *x > 0.1).collect();
    leaves.batch = std::mem::take(&mut leaves.batch)
        .with("weight", of("old_values", |x| x.sin() + 0.2))
        .with("flag", of("returns", flag))
        .with("greedy", score())
        .with("log_z", score())
        .with("correct", score())
        .with("well_formed", real(&case.rewards))
        .with("old_entropy", of("returns", f64::abs))
        .with("score", score())
        .with("chosen", Tensor::from_slice(&chosen))
        .with("mismatched", score())
        .with("tempered", Tensor::from_slice(&chosen))
        .with("truncated", Tensor::from_slice(&case.rewards.iter().map(|x| *x < -1.0).collect::<Vec<_>>()))
        .with("token_rewards", of("old_values", |x| 0.1 * x.cos()))
        .with("proxy_log_prob", of("rollout_log_prob", |x| x))
        .with("rollout", Tensor::from_slice(&case.group))
        .with("warmth", score() + 1.5)
        .with("warm_tokens", of("returns", |x| 1.5 + x.cos()))
        .with("scale", Tensor::from(0.6).to_kind(wide))
        .with("enabled", Tensor::from(true));
    leaves
}

/// One step on the whole case.
pub(crate) fn whole(session: &Session, case: &Case) -> Result<Numbers, aent::Error> {
    whole_in(session, case, Kind::Double)
}

/// The same with logits in a kind.
pub(crate) fn whole_in(session: &Session, case: &Case, kind: Kind) -> Result<Numbers, aent::Error> {
    let leaves = leaves_in(case, kind);
    let output = session.forward(&leaves.batch)?;
    output.backward()?;
    gather(&output, case, &[(0, &leaves)])
}

/// One step on parts, each with the row at which it begins.
pub(crate) fn parts(session: &Session, case: &Case, parts: &[(usize, Case)]) -> Result<Numbers, aent::Error> {
    let leaves: Vec<(usize, Leaves)> = parts.iter().map(|(start, part)| (*start, leaves(part))).collect();
    in_parts(session.accumulate(), case, &leaves, true, 1e-7)
}

/// A step on the leaves of parts, which are measured first or not. Their shares are the loss within the tolerance.
pub(crate) fn in_parts(
    mut step: Accumulation,
    case: &Case,
    leaves: &[(usize, Leaves)],
    measured: bool,
    tolerance: f64,
) -> Result<Numbers, aent::Error> {
    for (_, part) in leaves.iter().filter(|_| measured) {
        step.measure(&part.batch)?;
    }
    let mut sum = 0.0;
    for (_, part) in leaves {
        let share = step.forward(&part.batch)?;
        sum += share.loss().f64_at(&[])?;
        share.backward()?;
    }
    let output = step.finish()?;
    let loss = output.loss().f64_at(&[])?;
    let apart = distance(&[sum], &[loss]);
    assert!(apart <= tolerance || loss.is_nan(), "the shares add up to {sum}, the loss is {loss}");
    gather(&output, case, &leaves.iter().map(|(start, part)| (*start, part)).collect::<Vec<_>>())
}

/// The sequences of a range without the columns beyond `width`.
pub(crate) fn cut(case: &Case, sequences: std::ops::Range<usize>, width: usize) -> Case {
    let part = case.part(sequences);
    let v = part.vocabulary;
    let columns = |values: &[f64]| narrow(values, part.width, width, 1);
    Case {
        width,
        logits: narrow(&part.logits, part.width, width, v),
        ref_logits: narrow(&part.ref_logits, part.width, width, v),
        actions: narrow(&part.actions, part.width, width, 1),
        mask: narrow(&part.mask, part.width, width, 1),
        tokens: part.tokens.iter().map(|(name, values)| (*name, columns(values))).collect(),
        turn: narrow(&part.turn, part.width, width, 1),
        ..part.clone()
    }
}

fn narrow<T: Copy>(values: &[T], from: usize, to: usize, each: usize) -> Vec<T> {
    values.chunks(from * each).flat_map(|row| row[..to * each].iter().copied()).collect()
}

/// The numbers of a step whose gradients lie in the leaves of parts, each with the row at which it begins.
pub(crate) fn gather(
    output: &Output,
    case: &Case,
    parts: &[(usize, &Leaves)],
) -> Result<Numbers, aent::Error> {
    let signals = output.signals()?.into_iter().map(|(name, value)| (format!("signal {name}"), value));
    let placed = |leaf: &dyn Fn(&Leaves) -> Tensor, whole: &[i64]| {
        let all = Tensor::zeros(whole, (Kind::Double, Device::Cpu));
        for (start, part) in parts {
            let gradient = leaf(part).grad();
            if gradient.defined() {
                let (b, t) = (gradient.size()[0], gradient.size()[1]);
                all.narrow(0, *start as i64, b).narrow(1, 0, t).copy_(&gradient);
            }
        }
        Vec::<f64>::try_from(all.flatten(0, -1)).expect("a flat tensor of f64 is a vector")
    };
    let (b, t, v) = (case.sequences as i64, case.width as i64, case.vocabulary as i64);
    Ok(Numbers {
        loss: output.loss().f64_at(&[])?,
        reported: output.metrics()?.into_iter().chain(signals).collect(),
        logits_gradient: placed(&|part| part.logits.shallow_clone(), &[b, t, v]),
        values_gradient: placed(&|part| part.values.shallow_clone(), &[b, t]),
    })
}

/// The batch of a case without its padding: each sequence up to its last token that counts.
pub(crate) fn packed(case: &Case, batch: &Batch) -> Batch {
    let (b, t) = (case.sequences as i64, case.width as i64);
    let lengths = case.mask.chunks(case.width).map(|row| row.iter().rposition(|m| *m).map_or(0, |at| at + 1));
    let (mut index, mut ends) = (Vec::new(), vec![0_i64]);
    for (row, length) in lengths.enumerate() {
        index.extend((0..length).map(|at| (row * case.width + at) as i64));
        ends.push(index.len() as i64);
    }
    let index = Tensor::from_slice(&index);
    let mut packed = Batch::new().with("cu_seqlens", Tensor::from_slice(&ends));
    for (name, tensor) in batch.iter() {
        let tensor = tensor.tch().expect("a case has tensors of tch");
        let size = tensor.size();
        let tensor = if size.starts_with(&[b, t]) {
            tensor.reshape([&[b * t], &size[2..]].concat()).index_select(0, &index)
        } else {
            tensor
        };
        packed = packed.with(name, tensor);
    }
    packed
}

/// One step on the whole case without its padding.
pub(crate) fn unpadded(session: &Session, case: &Case, kind: Kind) -> Result<Numbers, aent::Error> {
    let leaves = leaves_in(case, kind);
    let output = session.forward(&packed(case, &leaves.batch))?;
    output.backward()?;
    gather(&output, case, &[(0, &leaves)])
}

/// One step on the whole case whose row statistics are made before it, packed or padded.
pub(crate) fn in_two_calls(
    session: &Session,
    case: &Case,
    kind: Kind,
    pack: bool,
) -> Result<Numbers, aent::Error> {
    let leaves = leaves_in(case, kind);
    let packed = packed(case, &leaves.batch);
    let batch = if pack { &packed } else { &leaves.batch };
    let rows = session.rows(batch)?;
    let rest = batch.iter().filter(|(name, _)| !["logits", "ref_logits", "math"].contains(name));
    let rest = rest.fold(Batch::new(), |batch, (name, tensor)| batch.with(name, tensor.clone()));
    let output = session.forward(&rest.with("rows", rows))?;
    output.backward()?;
    gather(&output, case, &[(0, &leaves)])
}
