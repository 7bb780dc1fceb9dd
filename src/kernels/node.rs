//! Row statistics as one node of the host's autograd graph.
//! It keeps nothing of vocabulary size except given logits, which are read in place; others are computed and freed a few
//! rows at a time.

use std::error::Error;
use std::sync::Arc;

use super::engine::{self, Engine, Found, Numbers, WrongId};
use super::gradients::Gradients;
use super::head::Head;
use super::ids::{HostIds, Ids, Lists};
use super::inputs::{Inputs, Reading};
use super::look::Look;
use super::rows::Rows;
use super::shards::Own;
use super::source::{Source, refuse};
use super::{KernelError, KernelOptions, algebra};
use crate::passes::{Listed, Plan, Planned};
use crate::rows::{RowStatistic, Statistic};
use crate::tensor::{Backward, DType, Differentiated, Tensor};

/// Every statistic of the request, in the shape `[B, T]`, and after them the log-probabilities of listed tokens, `[B, T, K]`.
/// With lists all of them are f64.
pub(super) fn row_statistics(
    rows: &Rows<'_>,
    request: &[RowStatistic],
    listed: &[Listed],
    options: &KernelOptions,
) -> Result<Vec<Tensor>, KernelError> {
    let plan = Plan::new(request, listed, &rows.ids.lengths(), rows.vocabulary);
    row_statistics_by(engine::of(&plan, rows)?, rows, &plan, options)
}

/// The same by an engine.
pub(super) fn row_statistics_by(
    engine: &'static dyn Engine,
    rows: &Rows<'_>,
    plan: &Plan,
    options: &KernelOptions,
) -> Result<Vec<Tensor>, KernelError> {
    refuse_tangents(rows)?;
    let inputs = Inputs {
        engine,
        policy: rows.policy,
        references: rows.references.clone(),
        ids: rows.ids.clone(),
        divisors: rows.divisors.clone(),
        shape: rows.shape,
        dtype: rows.logits,
    };
    let reading = Reading::of(rows, engine, options);
    let _chosen = reading.no_autocast(inputs.near());
    let (found, values) = {
        let _untracked = inputs.near().no_grad();
        let wrong_id = engine.wrong_id();
        if wrong_id == WrongId::Refused {
            inputs.ids.host(rows.vocabulary)?;
        } else if wrong_id == WrongId::Breaks || options.validate {
            rows.ids.check(rows.vocabulary)?;
        }
        let found = inputs.read(plan, reading)?;
        let values = inputs.placed(plan, &found, reading)?;
        (found, values)
    };
    let values = attached(&inputs, &found, values, plan, reading, options, None)?;
    parted(&values, plan, rows.shape)
}

/// Refuses forward-mode differentiation.
pub(super) fn refuse_tangents(rows: &Rows<'_>) -> Result<(), KernelError> {
    if rows.policy.tensors().into_iter().any(Tensor::has_tangent) {
        let found = "one with a tangent, which only the reference kernels carry on";
        return refuse("logits", "a tensor outside of forward-mode differentiation", found);
    }
    Ok(())
}

/// Each statistic from the values of all.
pub(super) fn parted(
    values: &Tensor,
    plan: &Plan,
    [batch, time]: [i64; 2],
) -> Result<Vec<Tensor>, KernelError> {
    if values.dim() == 2 && plan.statistics[0].statistic != Statistic::Size {
        return Ok(vec![values.clone()]);
    }
    let mut next = 0;
    let of = |planned: &Planned| {
        let index = next;
        next += planned.values() as i64;
        if let Some(tokens) = planned.tokens {
            let tokens = tokens as i64;
            let values = values.narrow(0, index, tokens).reshape(&[tokens, batch * time]);
            return Ok(values.transpose().reshape(&[batch, time, tokens]).ok()?);
        }
        let value = if values.dim() == 2 { values.clone() } else { values.select(0, index) };
        // The size of a set has no gradient.
        Ok(if planned.statistic == Statistic::Size { value.detach() } else { value }.ok()?)
    };
    plan.statistics.iter().map(of).collect()
}

/// The same values as a result of the policy's tensors, if any of them requires a gradient. With `own` the logits are a shard.
pub(super) fn attached(
    inputs: &Inputs<'_>,
    found: &Found,
    values: Tensor,
    plan: &Plan,
    reading: Reading,
    options: &KernelOptions,
    own: Option<Own>,
) -> Result<Tensor, KernelError> {
    let policy = inputs.policy.tensors();
    if !policy.iter().any(|tensor| tensor.requires_grad()) {
        return Ok(values);
    }
    let ids = inputs.ids.known().filter(|_| matches!(reading, Reading::InPlace)).cloned();
    let references = inputs.references.iter().flat_map(Source::tensors);
    // Numbers on the host need not be saved as tensors: nothing can change them meanwhile.
    let mut saved: Vec<&Tensor> = references.collect();
    if ids.is_none() {
        saved.extend(inputs.ids.tensors());
        saved.extend(inputs.ids.lists().map(|lists| &lists.ids));
    }
    let found = match (&found.sums, &found.facts) {
        (Numbers::Host(sums), Numbers::Host(facts)) => Some([sums.clone(), facts.clone()]),
        (sums, facts) => {
            saved.extend([sums, facts].into_iter().filter_map(Numbers::on_device));
            None
        }
    };
    let node = Node {
        engine: inputs.engine,
        plan: plan.clone(),
        reading,
        shape: inputs.shape,
        dtype: inputs.dtype,
        overwrites: options.overwrite_logits,
        looks: policy.iter().chain(&saved).map(|tensor| Look::of(tensor)).collect(),
        compares: inputs.references.iter().map(|of| of.tensors().len()).collect(),
        heads: std::iter::once(&inputs.policy).chain(&inputs.references).map(Source::head).collect(),
        lists: inputs.ids.lists().map(|lists| lists.fields.clone()),
        ids,
        found,
        own,
    };
    let tensors = Differentiated { inputs: &policy, saved: &saved };
    Ok(values.attach(tensors, Box::new(node)).ok()?)
}

/// What the forward pass keeps for the backward pass besides tensors.
struct Node {
    engine: &'static dyn Engine,
    plan: Plan,
    reading: Reading,
    shape: [i64; 2],
    dtype: DType,
    overwrites: bool,
    /// Those of the inputs, then of the other saved tensors.
    looks: Vec<Look>,
    /// How many tensors each reference has.
    compares: Vec<usize>,
    /// The head of the policy, and those of the references.
    heads: Vec<Head>,
    /// The fields of the lists of ids.
    lists: Option<Arc<[(&'static str, usize)]>>,
    /// The ids, unless they are among the saved tensors.
    ids: Option<Arc<HostIds>>,
    /// The sums and facts, unless they are among the saved tensors.
    found: Option<[Arc<Vec<f64>>; 2]>,
    /// What of the rows lies in this shard, if the logits are one.
    own: Option<Own>,
}

impl Backward for Node {
    fn backward(
        &self,
        tensors: &[Tensor],
        saved: &[Tensor],
        cotangents: &Tensor,
        wanted: &[bool],
    ) -> Result<Vec<Option<Tensor>>, Box<dyn Error + Send + Sync>> {
        // Autocast may have changed since the forward pass.
        let _chosen = self.reading.no_autocast(cotangents);
        let _untracked = cotangents.no_grad();
        for (tensor, before) in tensors.iter().chain(saved).zip(&self.looks) {
            before.check(tensor)?;
        }
        let (mut compared, saved) = saved.split_at(self.compares.iter().sum());
        let references = self.compares.iter().zip(&self.heads[1..]).map(|(count, head)| {
            let (of, rest) = compared.split_at(*count);
            compared = rest;
            Source::again(of, *head)
        });
        let (ids, saved) = if let Some(known) = &self.ids {
            (Ids::of_host(known.clone()), saved)
        } else {
            let [actions, mask, rest @ ..] = saved else { unreachable!("`attached` saved them") };
            let ids = Ids::new(actions.clone(), mask.clone());
            let (listed, rest) = rest.split_at(usize::from(self.lists.is_some()));
            let made =
                |(fields, ids): (&Arc<[_]>, &Tensor)| Lists { fields: fields.clone(), ids: ids.clone() };
            (ids.with_lists(self.lists.as_ref().zip(listed.first()).map(made)), rest)
        };
        let found = match (&self.found, saved) {
            (Some([sums, facts]), _) => {
                Found { sums: Numbers::Host(sums.clone()), facts: Numbers::Host(facts.clone()) }
            }
            (None, [sums, facts]) => {
                Found { sums: Numbers::Device(sums.clone()), facts: Numbers::Device(facts.clone()) }
            }
            _ => unreachable!("`attached` saved them"),
        };
        let inputs = Inputs {
            engine: self.engine,
            policy: Source::again(tensors, self.heads[0]),
            references: references.collect(),
            ids,
            divisors: None,
            shape: self.shape,
            dtype: self.dtype,
        };
        Ok(self.gradients(&inputs, &found, cotangents, wanted)?.finish(&inputs.policy)?)
    }

    fn overwrites(&self) -> bool {
        self.overwrites
    }
}

impl Node {
    fn gradients(
        &self,
        inputs: &Inputs<'_>,
        found: &Found,
        cotangents: &Tensor,
        wanted: &[bool],
    ) -> Result<Gradients, KernelError> {
        let (engine, near) = (self.engine, inputs.near());
        let gradients = |skipped| Gradients::of(&inputs.policy, self.overwrites, wanted, skipped, self.dtype);
        match self.reading {
            Reading::InPlace => {
                let cotangents = self.pull_back(found, cotangents, near, None)?;
                let (gradients, whole) = (gradients(None)?, inputs.whole()?);
                engine.write_gradient(&self.plan, &whole, found, &cotangents, gradients.in_place())?;
                Ok(gradients)
            }
            Reading::Picked { at_once } | Reading::Cut { at_once } => {
                let places = inputs.places(self.reading);
                let of_rows = cotangents.reshape(&[self.plan.values() as i64, -1]);
                let picked = of_rows.index_select(1, &places);
                let cotangents = self.pull_back(found, &picked, near, Some(&places))?;
                let mut gradients = gradients(inputs.skipped(self.reading).as_ref())?;
                inputs.each_part(self.reading, at_once, true, |part, made| {
                    let (sums, facts) = (self.plan.sums(), self.plan.facts());
                    let found = Found {
                        sums: found.sums.lines(sums, &part.range),
                        facts: found.facts.lines(facts, &part.range),
                    };
                    let cotangents = cotangents.lines(sums, &part.range);
                    // The logits were computed for this part, and nothing reads them again.
                    let gradient = part.chunk.logits.clone();
                    engine.write_gradient(&self.plan, &part.chunk, &found, &cotangents, &gradient)?;
                    gradients.add(made, &part.at, gradient.squeeze(0), part.product.as_ref())
                })?;
                Ok(gradients)
            }
        }
    }

    /// The cotangents of the sums of these logits, of all rows or of those at `places`.
    fn pull_back(
        &self,
        found: &Found,
        cotangents: &Tensor,
        near: &Tensor,
        places: Option<&Tensor>,
    ) -> Result<Numbers, KernelError> {
        let cotangents = algebra::pull_back(&self.plan, found, cotangents, near)?;
        match &self.own {
            Some(own) => own.cotangents(&self.plan, &cotangents, near, places),
            None => Ok(cotangents),
        }
    }
}
