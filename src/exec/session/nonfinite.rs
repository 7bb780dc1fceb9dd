//! Explains a non-finite result: finds the first non-finite value whose operands are all finite.

use super::Session;
use super::written::{named, written};
use crate::exec::batch::Batch;
use crate::exec::error::{Error, Result};
use crate::exec::evaluate::Values;
use crate::exec::part::{Part, UncheckedIds, first_of, place};
use crate::exec::tally::Tally;
use crate::exec::value::Presets;
use crate::plan::FirstPass;
use crate::plugin::Reach;
use crate::program::{BinaryFn, NodeId, Op, Program, UnaryFn};
use crate::tensor::{DType, Tensor};
use crate::types::Kind;
use serde::Serialize;
use std::fmt;

/// A non-finite result of a step, and its cause.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct NonFinite {
    /// The result: `loss`, `metric NAME`, or `signal of NAME`.
    pub result: String,
    /// The value of the result: NaN or an infinity.
    pub value: f64,
    /// What happened, such as `division of 0 by 0`.
    pub cause: String,
    /// The formula in which it happened, as written.
    pub formula: String,
    /// The `let` or `metric` that names this formula, if any.
    pub name: Option<String>,
    /// File, line and column; `None` for a deserialised program.
    pub place: Option<String>,
    /// The first valid position where it happened: `[b, t]`, `[b]`, or empty for a scalar.
    pub at: Vec<i64>,
}

impl fmt::Display for NonFinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is {}: {}", self.result, number(self.value), self.cause)?;
        if !self.at.is_empty() {
            write!(f, " at {}", place(&self.at))?;
        }
        write!(f, " in `{}`", self.formula)?;
        if let Some(name) = &self.name {
            write!(f, ", `{name}`")?;
        }
        if let Some(place) = &self.place {
            write!(f, ", {place}")?;
        }
        Ok(())
    }
}

impl Session {
    /// Explains why the loss, a metric or a signal of a step on this batch is not finite: one finding per such result,
    /// the loss first. Empty if all results are finite.
    ///
    /// Recomputes the step without gradient, on one batch of one process. With [`crate::Options::overwrite_logits`], call
    /// it before the backward pass.
    ///
    /// ```no_run
    /// # fn run(session: &aent::Session, batch: &aent::Batch) -> aent::Result<()> {
    /// for found in session.find_nonfinite(batch)? {
    ///     eprintln!("{found}"); // `loss` is NaN: division of 0 by 0 at [3] in `a / group_std(rewards)`, spec.aent:2:9
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn find_nonfinite(&self, batch: &Batch) -> Result<Vec<NonFinite>> {
        let _untracked = batch.no_grad();
        let frozen = self.frozen();
        let part = frozen.read(batch, FirstPass::Model)?;
        part.unchecked.iter().try_for_each(UncheckedIds::check)?;
        let tally = Tally::of(&part);
        let values =
            frozen.evaluate(&part, &tally, &Presets::new(), &frozen.plan().mask(|of| of.needed), false)?;
        let search = Search { program: self.program(), part: &part, values: &values };
        let program = self.program();
        let metrics = program.metrics.iter().map(|(name, id)| (format!("metric {name}"), *id));
        let signals = program.controllers.iter();
        let signals = signals.filter_map(|of| Some((format!("signal of {}", of.name), of.signal?)));
        let results = std::iter::once(("loss".to_owned(), program.loss)).chain(metrics).chain(signals);
        let found = results.map(|(result, id)| search.explain(result, id));
        found.filter_map(Result::transpose).collect()
    }
}

struct Search<'a> {
    program: &'a Program,
    part: &'a Part,
    values: &'a Values,
}

/// Where to search an operand for the cause of a value.
#[derive(Clone, Copy)]
enum Within<'a> {
    /// At the value's own position.
    Position(&'a [i64]),
    /// In the sequence of that position.
    Sequence(&'a [i64]),
    /// Anywhere.
    Batch,
}

impl Search<'_> {
    fn explain(&self, result: String, id: NodeId) -> Result<Option<NonFinite>> {
        let Some(mut at) = self.first(id, Within::Batch)? else { return Ok(None) };
        let value = self.value(id, &at)?;
        let mut id = id;
        // Operands come before their users, so this terminates.
        while let Some((operand, place)) = self.culprit(id, &at)? {
            (id, at) = (operand, place);
        }
        let (formula, place) = written(self.program, id);
        Ok(Some(NonFinite {
            result,
            value,
            cause: self.cause(id, &at)?,
            formula,
            name: named(self.program, id),
            place,
            at,
        }))
    }

    /// The operand with a non-finite value, and its position.
    fn culprit(&self, id: NodeId, at: &[i64]) -> Result<Option<(NodeId, Vec<i64>)>> {
        let op = &self.program.node(id).op;
        let (operands, within) = match op {
            Op::Where(condition, a, b) => {
                let condition = self.value(*condition, at)? != 0.0;
                (vec![if condition { *a } else { *b }], Within::Position(at))
            }
            Op::Term { object, .. } => (op.operands(), self.within(*object, at)),
            // An extra has the operands of its term.
            Op::Extra { term, .. } => match &self.program.node(*term).op {
                Op::Term { object, .. } => (self.program.node(*term).op.operands(), self.within(*object, at)),
                _ => (Vec::new(), Within::Batch),
            },
            Op::Reduce { object, .. } => {
                let reach = self.program.reductions[*object].signature.reach;
                (op.operands(), if reach >= Reach::Group { Within::Batch } else { Within::Sequence(at) })
            }
            Op::Quantile(..) | Op::TopFraction(..) => (op.operands(), Within::Batch),
            _ => (op.operands(), Within::Position(at)),
        };
        for operand in operands {
            if let Some(place) = self.first(operand, within)? {
                return Ok(Some((operand, place)));
            }
        }
        Ok(None)
    }

    fn within<'a>(&self, object: usize, at: &'a [i64]) -> Within<'a> {
        match self.program.terms[object].signature.reach {
            Reach::Token => Within::Position(at),
            Reach::Sequence => Within::Sequence(at),
            Reach::Group | Reach::Batch => Within::Batch,
        }
    }

    /// The first valid position with a non-finite value.
    fn first(&self, id: NodeId, within: Within<'_>) -> Result<Option<Vec<i64>>> {
        let node = self.program.node(id);
        if node.ty.kind != Kind::Real {
            return Ok(None);
        }
        let mut wrong = self.full(id).isfinite().logical_not();
        if let Some(counted) = self.part.counted(node.ty.shape) {
            wrong = wrong.logical_and(counted);
        }
        let (near, rows) = match within {
            Within::Position(at) => (at, at.len()),
            Within::Sequence(at) => (at, at.len().min(1)),
            Within::Batch => (&[][..], 0),
        };
        let mut start = Vec::new();
        for (dim, index) in near.iter().take(rows.min(wrong.dim())).enumerate() {
            wrong = wrong.narrow(dim as i64, *index, 1);
            start.push(*index);
        }
        Ok(first_of(&wrong)?.map(|mut found| {
            for (index, start) in found.iter_mut().zip(start) {
                *index += start;
            }
            found
        }))
    }

    /// A value in the shape of its type.
    fn full(&self, id: NodeId) -> Tensor {
        let node = self.program.node(id);
        let tensor = self.values.tensor(id, self.part.like());
        tensor.detach().to_dtype(DType::F64).expand(&self.part.size_of(node.ty.shape))
    }

    /// An operand's value at a position of its user.
    fn value(&self, id: NodeId, at: &[i64]) -> Result<f64> {
        let tensor = self.full(id);
        let at = &at[..at.len().min(tensor.dim())];
        Ok(if at.len() < tensor.dim() { f64::NAN } else { tensor.f64_at(at)? })
    }

    fn cause(&self, id: NodeId, at: &[i64]) -> Result<String> {
        let program = self.program;
        let of = |id: NodeId| Ok::<_, Error>(number(self.value(id, at)?));
        let kind = if self.part.kind == DType::F64 { "f64" } else { "f32" };
        Ok(match &program.node(id).op {
            Op::Unary(UnaryFn::Log, x) => format!("logarithm of {}", of(*x)?),
            Op::Unary(UnaryFn::Sqrt, x) => format!("square root of {}", of(*x)?),
            Op::Unary(function, x) => {
                format!("`{}` of {}, too large for {kind},", function.as_str(), of(*x)?)
            }
            Op::Binary(BinaryFn::Div, a, b) => {
                let large = if self.value(*b, at)? == 0.0 {
                    String::new()
                } else {
                    format!(", too large for {kind},")
                };
                format!("division of {} by {}{large}", of(*a)?, of(*b)?)
            }
            Op::Binary(BinaryFn::Pow, a, b) => format!("{} to the power of {}", of(*a)?, of(*b)?),
            Op::Binary(function, a, b) => {
                format!("{} {} {}, too large for {kind},", of(*a)?, function.as_str(), of(*b)?)
            }
            Op::Field(_) | Op::LogProb(_) | Op::Row(_) => {
                format!("the batch gives {}", number(self.value(id, at)?))
            }
            Op::Controller(_) => format!("the coefficient is {}", number(self.value(id, at)?)),
            Op::Term { object, .. } => format!("`{}` gives {}", program.terms[*object].name(), of(id)?),
            Op::Reduce { object, .. } => {
                format!("`{}` gives {}", program.reductions[*object].name(), of(id)?)
            }
            _ => format!("the value is {}", of(id)?),
        })
    }
}

/// Formats with the precision of `f32`, without the extra digits of a converted `f32`.
fn number(value: f64) -> String {
    let short = value as f32;
    if short.is_finite() { short.to_string() } else { value.to_string() }
}
