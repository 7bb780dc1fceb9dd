//! Runs one step, whole or in micro-batches, and measures its time.

use aent::program::Program;
use aent::tensor::{Device, Host, Tensor};
use aent::{Batch, Output, Result, Session, fields};
use std::collections::BTreeMap;
use std::time::Instant;

/// The fields of a step, and the number of parts to cut it into.
pub(super) struct Batches {
    fields: Batch,
    host: Option<&'static dyn Host>,
    device: Device,
    parts: Option<usize>,
}

/// The results of a step.
pub(super) struct Done {
    /// Loss, metrics, signals and named values of the whole step.
    pub(super) output: Output,
    /// The gradients of the trained fields in the batch, if requested.
    pub(super) gradients: BTreeMap<String, Tensor>,
    /// Its duration.
    pub(super) seconds: Seconds,
}

/// The durations of the two halves of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Seconds {
    /// From the batch to the loss.
    pub(super) forward: f64,
    /// From the loss to the gradients.
    pub(super) backward: f64,
}

impl Seconds {
    /// The median of each half.
    pub(super) fn median(of: &[Seconds]) -> Seconds {
        let median = |half: fn(&Seconds) -> f64| {
            let mut values: Vec<f64> = of.iter().map(half).collect();
            values.sort_by(f64::total_cmp);
            let middle = values.len() / 2;
            if values.len() % 2 == 1 {
                values[middle]
            } else {
                f64::midpoint(values[middle - 1], values[middle])
            }
        };
        Seconds { forward: median(|of| of.forward), backward: median(|of| of.backward) }
    }
}

impl Batches {
    pub(super) fn new(fields: Vec<(String, Tensor)>, parts: Option<usize>) -> Self {
        let first = fields.first().map(|(_, tensor)| tensor);
        let device = first.map_or(Device::Cpu, Tensor::device);
        let host = first.and_then(|tensor| tensor.host().ok());
        let fields = fields.into_iter().fold(Batch::new(), |batch, (name, tensor)| batch.with(name, tensor));
        Self { fields, host, device, parts }
    }

    /// The whole step.
    pub(super) fn whole(&self) -> &Batch {
        &self.fields
    }

    /// The parts of the step, with trained fields as separate leaves.
    fn leaves(&self, program: &Program) -> Result<Vec<Batch>> {
        let parts = match self.parts {
            Some(parts) => self.fields.split(parts)?,
            None => self.fields.split(1)?,
        };
        let mut leaves: Vec<Batch> = Vec::new();
        for part in &parts {
            let next = leaf(program, part, leaves.first());
            leaves.push(next);
        }
        Ok(leaves)
    }
}

/// A part with its own leaves, except that all parts share the first one's fields of the model.
fn leaf(program: &Program, part: &Batch, first: Option<&Batch>) -> Batch {
    let mut batch = Batch::new();
    for (name, tensor) in part.iter() {
        let shared = first.filter(|_| is_shared(name, tensor)).and_then(|first| first.get(name));
        let trained = program.trains(name) && tensor.dtype().is_float();
        let tensor = match shared {
            Some(shared) => shared.clone(),
            None if trained => tensor.leaf(),
            None => tensor.detach(),
        };
        batch = batch.with(name, tensor);
    }
    batch
}

/// Whether all parts of a step have the same tensor.
fn is_shared(name: &str, tensor: &Tensor) -> bool {
    fields::is_shared(name) || tensor.dim() == 0
}

/// Runs the step.
pub(super) fn run(session: &Session, batches: &Batches, needs_gradient: bool) -> Result<Done> {
    let leaves = batches.leaves(session.program())?;
    let mut clock = Clock { host: batches.host, device: batches.device, at: Instant::now() };
    let mut seconds = Seconds::default();
    let output = if batches.parts.is_none() {
        let output = session.forward(&leaves[0])?;
        seconds.forward = clock.lap();
        if needs_gradient {
            output.backward()?;
            seconds.backward = clock.lap();
        }
        output
    } else {
        let mut step = session.accumulate();
        for part in &leaves {
            step.measure(part)?;
        }
        for part in &leaves {
            let share = step.forward(part)?;
            seconds.forward += clock.lap();
            if needs_gradient {
                share.backward()?;
                seconds.backward += clock.lap();
            }
        }
        let output = step.finish()?;
        seconds.forward += clock.lap();
        output
    };
    let gradients = if needs_gradient { gradients(&leaves) } else { BTreeMap::new() };
    Ok(Done { output, gradients, seconds })
}

/// The gradients of the parts, concatenated along B; zero where the loss does not reach.
fn gradients(leaves: &[Batch]) -> BTreeMap<String, Tensor> {
    let mut result = BTreeMap::new();
    for (name, tensor) in leaves[0].iter() {
        let mut parts = Vec::new();
        let kept = if is_shared(name, tensor) { 1 } else { leaves.len() };
        let leaves = leaves.iter().take(kept).filter_map(|batch| batch.get(name));
        for leaf in leaves.filter(|of| of.requires_grad()) {
            parts.push(leaf.grad().unwrap_or_else(|| leaf.detach().zeros_like()));
        }
        match parts.len() {
            0 => {}
            1 => drop(result.insert(name.to_owned(), parts.remove(0))),
            _ => drop(result.insert(name.to_owned(), Tensor::cat(&parts, 0))),
        }
    }
    result
}

struct Clock {
    host: Option<&'static dyn Host>,
    device: Device,
    at: Instant,
}

impl Clock {
    /// The seconds since the last call, after waiting for the device.
    fn lap(&mut self) -> f64 {
        if let Some(host) = self.host {
            host.synchronize(self.device);
        }
        let now = Instant::now();
        let seconds = (now - self.at).as_secs_f64();
        self.at = now;
        seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_each_half_is_taken_by_itself() {
        let of = |forward, backward| Seconds { forward, backward };
        assert_eq!(Seconds::median(&[of(3.0, 1.0), of(1.0, 2.0), of(2.0, 9.0)]), of(2.0, 2.0));
        assert_eq!(Seconds::median(&[of(1.0, 2.0), of(3.0, 4.0)]), of(2.0, 3.0));
    }
}
