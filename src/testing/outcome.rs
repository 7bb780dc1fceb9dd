//! The results of a step as plain numbers.

use super::case::{Case, Leaves, numbers};
use super::on_ranks;
use crate::{Error, Output, Session};
use std::collections::BTreeMap;
use tch::{Device, Kind};

/// Loss, metrics, signals and gradients of one step.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The loss.
    pub loss: f64,
    /// The metrics and, as `signal NAME`, what the controllers observe.
    pub metrics: BTreeMap<String, f64>,
    /// The gradient of the logits, `[B, T, V]`; zeros where none arrived.
    pub logits_gradient: Vec<f64>,
    /// The gradient of the values, `[B, T]`; zeros where none arrived.
    pub values_gradient: Vec<f64>,
}

impl Outcome {
    /// One step on a whole batch on the CPU, with logits of the given kind.
    pub fn of(session: &Session, case: &Case, kind: Kind) -> Result<Self, Error> {
        Self::on(Device::Cpu, session, case, kind)
    }

    /// One step on a whole batch on a device, with logits of the given kind.
    pub fn on(device: Device, session: &Session, case: &Case, kind: Kind) -> Result<Self, Error> {
        let leaves = case.leaves(kind, device);
        let output = session.forward(&leaves.batch)?;
        output.backward()?;
        Ok(Self::gathered(
            output.loss().f64_at(&[])?,
            output.metrics()?,
            output.signals()?,
            &[leaves],
            case.width,
        ))
    }

    /// The loss alone.
    pub fn loss_of(session: &Session, case: &Case, kind: Kind) -> Result<f64, Error> {
        Ok(session.forward(&case.leaves(kind, Device::Cpu).batch)?.loss().f64_at(&[])?)
    }

    /// One step on a batch, split before the given sequences into trimmed parts. The parts give their shares in the
    /// reverse order of measuring.
    pub fn of_parts(session: &Session, case: &Case, cuts: &[usize], kind: Kind) -> Result<Self, Error> {
        let ends = cuts.iter().copied().chain([case.sequences]);
        let starts = std::iter::once(0).chain(cuts.iter().copied());
        let parts: Vec<Leaves> = starts
            .zip(ends)
            .map(|(start, end)| case.part(start..end).trimmed().leaves(kind, Device::Cpu))
            .collect();
        let mut step = session.accumulate();
        for part in &parts {
            step.measure(&part.batch)?;
        }
        for part in parts.iter().rev() {
            step.forward(&part.batch)?.backward()?;
        }
        let output = step.finish()?;
        Ok(Self::gathered(
            output.loss().f64_at(&[])?,
            output.metrics()?,
            output.signals()?,
            &parts,
            case.width,
        ))
    }

    /// One step over ranks as threads. Each element of `ranks` lists where the parts of a rank end. If every rank has one
    /// part, each reads it once; otherwise odd ranks give their shares in reverse order. Metrics or signals that differ
    /// from those of rank 0, by one bit, are an error.
    pub fn of_ranks(session: &Session, case: &Case, ranks: &[Vec<usize>], kind: Kind) -> Result<Self, Error> {
        let ends: Vec<usize> = ranks.concat();
        let starts: Vec<usize> = std::iter::once(0).chain(ends.iter().copied()).collect();
        let one_each = ranks.iter().all(|ends| ends.len() == 1);
        let done = on_ranks(ranks.len(), |group| {
            let first = ranks[..group.rank()].iter().map(Vec::len).sum::<usize>();
            let of = |at: usize| case.part(starts[at]..ends[at]).trimmed().leaves(kind, Device::Cpu);
            let parts: Vec<Leaves> = (first..first + ranks[group.rank()].len()).map(of).collect();
            if one_each {
                let (share, output) = session.forward_over(&parts[0].batch, group.clone())?;
                share.backward()?;
                return Ok((parts, output));
            }
            let mut step = session.accumulate().over(group.clone())?;
            for part in &parts {
                step.measure(&part.batch)?;
            }
            let mut order: Vec<&Leaves> = parts.iter().collect();
            if group.rank() % 2 == 1 {
                order.reverse();
            }
            for part in order {
                step.forward(&part.batch)?.backward()?;
            }
            Ok((parts, step.finish()?))
        });
        let (parts, outputs): (Vec<_>, Vec<_>) =
            done.into_iter().collect::<Result<Vec<_>, Error>>()?.into_iter().unzip();
        let bits = |output: &Output| -> Result<Vec<(String, u64)>, Error> {
            let numbers = output.metrics()?.into_iter().chain(output.signals()?);
            Ok(numbers.map(|(name, number)| (name, number.to_bits())).collect())
        };
        for (rank, output) in outputs.iter().enumerate() {
            if bits(output)? != bits(&outputs[0])? {
                let message = format!("expected {:?}, found {:?}", outputs[0].metrics()?, output.metrics()?);
                return Err(Error::Rank { rank, message });
            }
        }
        Ok(Self::gathered(
            outputs[0].loss().f64_at(&[])?,
            outputs[0].metrics()?,
            outputs[0].signals()?,
            &parts.into_iter().flatten().collect::<Vec<_>>(),
            case.width,
        ))
    }

    /// The largest difference of any number from that of another outcome, relative to the larger of 1 and the
    /// largest number of its kind; infinite where one has a number and the other has none.
    pub fn distance(&self, other: &Outcome) -> f64 {
        let metrics = |of: &Outcome| of.metrics.values().copied().collect::<Vec<_>>();
        let gaps = [
            distance(&[self.loss], &[other.loss]),
            distance(&metrics(self), &metrics(other)),
            distance(&self.logits_gradient, &other.logits_gradient),
            distance(&self.values_gradient, &other.values_gradient),
        ];
        gaps.into_iter().fold(0.0, f64::max)
    }

    /// Every number of the outcome.
    pub fn numbers(&self) -> impl Iterator<Item = f64> {
        let gradients = self.logits_gradient.iter().chain(&self.values_gradient);
        std::iter::once(&self.loss).chain(self.metrics.values()).chain(gradients).copied()
    }

    fn gathered(
        loss: f64,
        metrics: BTreeMap<String, f64>,
        signals: BTreeMap<String, f64>,
        parts: &[Leaves],
        width: usize,
    ) -> Self {
        let signals = signals.into_iter().map(|(name, value)| (format!("signal {name}"), value));
        let gradient = |leaf: &tch::Tensor| {
            let gradient = leaf.grad();
            let found = if gradient.defined() { numbers(&gradient) } else { vec![0.0; leaf.numel()] };
            let per_token = leaf.size().get(2).map_or(1, |vocabulary| *vocabulary as usize);
            let row = leaf.size()[1] as usize * per_token;
            let padded = |row: &[f64]| [row, &vec![0.0; width * per_token - row.len()]].concat();
            found.chunks(row).flat_map(padded).collect::<Vec<f64>>()
        };
        Self {
            loss,
            metrics: metrics.into_iter().chain(signals).collect(),
            logits_gradient: parts.iter().flat_map(|part| gradient(&part.logits)).collect(),
            values_gradient: parts.iter().flat_map(|part| gradient(&part.values)).collect(),
        }
    }
}

/// The largest difference between two rows of numbers, relative to the larger of 1 and the largest number of
/// the second; infinite where the rows differ in length or only one of them has NaN.
pub fn distance(a: &[f64], b: &[f64]) -> f64 {
    if a.len() != b.len() {
        return f64::INFINITY;
    }
    let scale = b.iter().filter(|x| x.is_finite()).fold(1.0, |scale: f64, x| scale.max(x.abs()));
    #[expect(clippy::float_cmp, reason = "equal infinities have no difference")]
    let gap = |(a, b): (&f64, &f64)| {
        let same = a == b || (a.is_nan() && b.is_nan());
        let gap = if same { 0.0 } else { (a - b).abs() };
        if gap.is_nan() { f64::INFINITY } else { gap }
    };
    a.iter().zip(b).map(gap).fold(0.0, f64::max) / scale
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn nan_is_far_from_every_number() {
        assert!(distance(&[f64::NAN], &[1.0]) == f64::INFINITY);
        assert!(distance(&[1.0], &[f64::NAN]) == f64::INFINITY);
        assert!(distance(&[1.0, 2.0], &[1.0]) == f64::INFINITY);
        assert!((distance(&[1.0, 2.5], &[1.0, 2.0]) - 0.25).abs() < 1e-15);
    }
}
