//! What a loss is made of on one batch: its summands, their gradients, and the bounds that bind.

use super::Session;
use super::nonfinite::NonFinite;
use super::summands::summands;
use super::written::{named, written};
use crate::exec::batch::Batch;
use crate::exec::error::{Error, Result};
use crate::exec::evaluate::Values;
use crate::exec::part::{Part, Reading};
use crate::exec::tally::Tally;
use crate::exec::value::Presets;
use crate::kernels::KernelOptions;
use crate::plan::{FirstPass, Plan};
use crate::program::{BinaryFn, NodeId, Op, Program};
use crate::tensor::{DType, Tensor};
use crate::types::{Kind, Shape};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What a loss is made of on one batch; see [`Session::diagnose`].
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Diagnosis {
    /// The loss.
    pub loss: f64,
    /// What adds up to it, in the order of the file.
    pub summands: Vec<Summand>,
    /// The bounds of clips and clamps that the loss reads, and how often they bind.
    pub bounds: Vec<Bound>,
    /// Why numbers are not finite; see [`Session::find_nonfinite`].
    pub nonfinite: Vec<NonFinite>,
}

/// A summand of a loss.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Summand {
    /// The formula as written, with what is around it as far as that holds no other summand.
    pub formula: String,
    /// The `let` that names it, or a part of it, if any.
    pub name: Option<String>,
    /// File, line and column; `None` for a deserialised program.
    pub place: Option<String>,
    /// What it adds to the loss, with its coefficient and sign.
    pub value: f64,
    /// The Euclidean norm of its gradient for each field that the batch brings and gradient flows to.
    pub gradients: BTreeMap<String, f64>,
}

/// A bound, and how often it binds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Bound {
    /// The formula as written.
    pub formula: String,
    /// File, line and column; `None` for a deserialised program.
    pub place: Option<String>,
    /// Which bound: `low` or `high`, or the extra of a term, such as `clipped`.
    pub bound: String,
    /// The share of valid tokens, or of sequences with one, at the bound.
    pub share: f64,
}

impl Session {
    /// Takes the loss of a batch apart: the value of each summand and the norm of its gradient for every field, the share
    /// of tokens at each bound, and the cause of numbers that are not finite.
    ///
    /// Computes a step for each summand, on one batch of one process. It changes no gradient of the caller's tensors, and
    /// with [`crate::Options::overwrite_logits`] leaves the logits as they are. Values are not validated.
    ///
    /// ```no_run
    /// # fn run(session: &aent::Session, batch: &aent::Batch) -> aent::Result<()> {
    /// for summand in session.diagnose(batch)?.summands {
    ///     println!("{} adds {}, gradients {:?}", summand.formula, summand.value, summand.gradients);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn diagnose(&self, batch: &Batch) -> Result<Diagnosis> {
        if self.vocabulary.is_some() {
            let words = "expected the logits of the whole vocabulary to take a loss apart, found a shard of them: it has a share \
                         of each gradient alone";
            return Err(Error::Step(words.to_owned()));
        }
        let program = self.program();
        let plan = &with_bounds(program, self.plan());
        let whole = self.run(plan, batch, &BTreeSet::new())?;
        let loss = whole.loss()?;
        let mut parts = Vec::new();
        for deep in [true, false] {
            let chains = summands(program, deep);
            let one = |of: &Vec<NodeId>| self.summand(plan, batch, of, &chains);
            parts = chains.iter().map(one).collect::<Result<Vec<_>>>()?;
            // Below a reduction that is not linear they do not add up.
            let sum: f64 = parts.iter().map(|part| part.value).sum();
            let scale: f64 = parts.iter().map(|part| part.value.abs()).sum::<f64>().max(loss.abs());
            if !loss.is_finite() || (sum - loss).abs() <= 1e-4 * scale {
                break;
            }
        }
        Ok(Diagnosis {
            loss,
            summands: parts,
            bounds: whole.bounds(program, plan)?,
            nonfinite: self.find_nonfinite(batch)?,
        })
    }

    /// One summand: the step with all the others zero.
    fn summand(&self, plan: &Plan, batch: &Batch, chain: &[NodeId], all: &[Vec<NodeId>]) -> Result<Summand> {
        let program = self.program();
        let others =
            all.iter().filter(|other| *other != chain).filter_map(|other| other.last()).copied().collect();
        let run = self.run(plan, batch, &others)?;
        if run.result.requires_grad() {
            run.result.backward()?;
        }
        let norm = |leaf: &Tensor| -> Result<f64> {
            let Some(gradient) = leaf.grad() else { return Ok(0.0) };
            Ok((&gradient * &gradient).sum_in(DType::F64).sqrt().f64_at(&[])?)
        };
        let gradients =
            run.leaves.iter().map(|(name, leaf)| Ok((name.clone(), norm(leaf)?))).collect::<Result<_>>()?;
        let (formula, place) = written(program, chain[0]);
        let name = chain.iter().find_map(|id| named(program, *id));
        Ok(Summand { formula, name, place, value: run.loss()?, gradients })
    }

    /// Computes the loss on leaves of its own, where the nodes `without` are zero.
    fn run(&self, plan: &Plan, batch: &Batch, without: &BTreeSet<NodeId>) -> Result<Run> {
        let (program, frozen) = (self.program(), self.frozen());
        let (batch, leaves) = leaves(program, batch);
        let _tracked = batch.with_grad();
        let part = frozen.together(FirstPass::Model, |reading| {
            let kernels = KernelOptions { overwrite_logits: false, validate: false, ..reading.kernels };
            Part::read(plan, &batch, Reading { kernels, validate: false, ..reading })
        })?;
        let zeros = without.iter().map(|id| {
            let size = part.size_of(program.node(*id).ty.shape);
            (id.index(), part.mask.tokens.zeros(&size, part.kind))
        });
        let presets: Presets = zeros.collect();
        let wanted = plan.mask(|of| of.of_loss);
        let values = frozen.evaluate_by(plan, &part, &Tally::of(&part), &presets, &wanted, true)?;
        let result = values.tensor(program.loss, part.like()).ok()?;
        Ok(Run { part, values, result, leaves })
    }
}

/// The plan with every extra that says where a bound binds.
fn with_bounds(program: &Program, plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    for (node, plan) in program.nodes.iter().zip(&mut plan.nodes) {
        plan.extras.extend(binding_extras(program, &node.op));
    }
    plan
}

/// One computation of the loss.
struct Run {
    part: Part,
    values: Values,
    result: Tensor,
    leaves: Vec<(String, Tensor)>,
}

impl Run {
    fn loss(&self) -> Result<f64> {
        Ok(self.result.f64_at(&[])?)
    }

    fn bounds(&self, program: &Program, plan: &Plan) -> Result<Vec<Bound>> {
        let mut bounds = Vec::new();
        for (index, node) in program.nodes.iter().enumerate().filter(|(index, _)| plan.nodes[*index].of_loss)
        {
            let id = NodeId(index as u32);
            let mut add = |bound: &str, at: &Tensor, shape: Shape| -> Result<()> {
                let (formula, place) = written(program, id);
                let share = self.share(at, shape)?;
                bounds.push(Bound { formula, place, bound: bound.to_owned(), share });
                Ok(())
            };
            let value = |id: NodeId| self.values.tensor(id, self.part.like()).detach();
            match &node.op {
                _ if node.ty.shape == Shape::Scalar => {}
                Op::Clamp(x, low, high) => {
                    add("low", &value(*x).le(&value(*low)), node.ty.shape)?;
                    add("high", &value(*x).ge(&value(*high)), node.ty.shape)?;
                }
                Op::Binary(function @ (BinaryFn::Min | BinaryFn::Max), a, b) => {
                    let is_bound = |id: NodeId| program.node(id).ty.shape == Shape::Scalar;
                    let (x, bound) = if is_bound(*b) { (*a, *b) } else { (*b, *a) };
                    if is_bound(bound) && *function == BinaryFn::Min {
                        add("high", &value(x).ge(&value(bound)), node.ty.shape)?;
                    } else if is_bound(bound) {
                        add("low", &value(x).le(&value(bound)), node.ty.shape)?;
                    }
                }
                op @ Op::Term { .. } => {
                    for name in binding_extras(program, op) {
                        if let Some(at) = self.values.extra(index, &name) {
                            add(&name, at, node.ty.shape)?;
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(bounds)
    }

    /// The share of what counts where a truth value holds.
    fn share(&self, holds: &Tensor, shape: Shape) -> Result<f64> {
        let Some(counted) = self.part.counted(shape) else { return Ok(f64::NAN) };
        let holds = holds.expand(&self.part.size_of(shape)).logical_and(counted);
        let [holds, all] = [&holds, counted].map(|of| of.sum_in(DType::F64));
        Ok((holds / all.clamp_min(1.0)).f64_at(&[])?)
    }
}

/// The extras of a term that say where a bound binds: truth values of the shape of its result.
fn binding_extras(program: &Program, op: &Op) -> Vec<String> {
    let Op::Term { object, .. } = op else { return Vec::new() };
    let signature = &program.terms[*object].signature;
    let binds = signature.extras.iter().filter(|extra| extra.ty.kind == Kind::Bool);
    let binds = binds.filter(|extra| extra.ty.shape == signature.result.shape);
    binds.map(|extra| extra.name.to_owned()).collect()
}

/// The same batch with leaves of its own in the fields that gradient flows to.
fn leaves(program: &Program, batch: &Batch) -> (Batch, Vec<(String, Tensor)>) {
    let (mut copy, mut leaves) = (batch.emptied(), Vec::new());
    for (name, tensor) in batch.iter() {
        let tensor = if program.trains(name) && tensor.dtype().is_float() {
            let leaf = tensor.detach().leaf();
            leaves.push((name.to_owned(), leaf.clone()));
            leaf
        } else {
            tensor.detach()
        };
        copy = copy.with(name, tensor);
    }
    (copy, leaves)
}
