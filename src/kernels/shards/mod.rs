//! Row statistics of a vocabulary in shards, which ranks hold: each reads its own, then they exchange sums of rows, and where
//! there are sets, counts that narrow down their edges. The backward pass talks to nobody.

mod edge;
mod exchange;
mod keys;
mod local;
mod merge;
mod own;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use self::edge::{Finder, Softmax};
use self::exchange::{Beginning, Stage};
use self::local::Local;
use self::merge::{Lines, Message};
use super::engine::{self, Found, Numbers, WrongId};
use super::head::Head;
use super::ids::Ids;
use super::inputs::{Inputs, Reading};
use super::node::{attached, parted, refuse_tangents};
use super::rows::{Rows, positions};
use super::source::Source;
use super::{KernelError, KernelOptions, Kernels};
use crate::passes::{Listed, Pass, Plan, facts, sums};
use crate::rows::RowStatistic;
use crate::tensor::{Device, Tensor};

pub use self::exchange::{Exchange, Shards};
pub(super) use self::own::Own;

/// Every statistic of the request, in the shape `[B, T]`, and after them the log-probabilities of listed tokens, `[B, T, K]`, of rows
/// whose logits are a shard of the vocabulary.
pub(super) fn row_statistics(
    rows: &Rows<'_>,
    request: &[RowStatistic],
    listed: &[Listed],
    options: &KernelOptions,
    shards: &Shards<'_>,
) -> Result<Vec<Tensor>, KernelError> {
    if options.kernels == Kernels::Reference {
        let expected =
            "`auto` where ranks hold shards of the vocabulary, whose statistics are differentiated once";
        return Err(KernelError::Request { what: "kernels", expected, found: "`reference`".to_owned() });
    }
    refuse_tangents(rows)?;
    let engine = engine::of(&Plan::new(request, listed, &rows.ids.lengths(), rows.vocabulary), rows)?;
    let mut reading = Reading::of(rows, engine, options);
    let near = rows.policy.tensors()[0];
    let _chosen = reading.no_autocast(near);
    let untracked = near.no_grad();
    let told = shards.begin(beginning(rows, request, listed, options)?)?;
    let width = |of: &Beginning| of.width;
    let vocabulary = told.iter().map(width).sum();
    rows.ids.host(vocabulary)?;
    let plan = Plan::new(request, listed, &rows.ids.lengths(), vocabulary);
    let offset = told[..shards.rank()].iter().map(width).sum();
    let (own, ids) = Own::of(&rows.ids, offset, rows.vocabulary)?;
    let inputs = Inputs {
        engine,
        policy: rows.policy,
        references: rows.references.clone(),
        ids,
        divisors: rows.divisors.clone(),
        shape: rows.shape,
        dtype: rows.logits,
    };
    if engine.wrong_id() == WrongId::Refused {
        inputs.ids.host(rows.vocabulary)?;
    }
    let places = positions(&rows.ids.flat()[1]).ok()?;
    if let (true, Reading::Picked { at_once } | Reading::Cut { at_once }) = (spans(&plan), &mut reading) {
        *at_once = local::at_once(rows.vocabulary).min(*at_once);
    }
    let local = Local::new(rows, &places, reading);
    let counted = places.to_i64s()?.into_iter().map(|place| place as usize).collect::<Vec<_>>();
    let together = Together { plan: &plan, counted: &counted, local: &local, shards };
    let read = read_alone(&inputs, &plan, reading)?;
    let mut lines = together.whole(&read, &own, (rows, &inputs.ids))?;
    let finder = Finder {
        shards,
        local: &local,
        widest: told.iter().map(width).max().unwrap_or(0),
        bytes: told.iter().map(|of| of.bytes).min().unwrap_or(0) as usize,
    };
    together.sets(&finder, &mut lines)?;
    let found = together.found(lines, reading, rows.count() as usize, near)?;
    let values = inputs.placed(&plan, &found, reading)?;
    drop(untracked);
    let values = attached(&inputs, &found, values, &plan, reading, options, Some(own))?;
    parted(&values, &plan, rows.shape)
}

/// What this rank says of itself.
fn beginning(
    rows: &Rows<'_>,
    request: &[RowStatistic],
    listed: &[Listed],
    options: &KernelOptions,
) -> Result<Beginning, KernelError> {
    let hashed = |hash: &dyn Fn(&mut DefaultHasher)| {
        let mut hasher = DefaultHasher::new();
        hash(&mut hasher);
        hasher.finish() as i64
    };
    let heads: Vec<Head> = std::iter::once(&rows.policy).chain(&rows.references).map(Source::head).collect();
    let statistics = format!("{:?} {heads:?} {request:?} {listed:?} {:?}", rows.logits, rows.ids.lengths());
    let [actions, mask] = rows.ids.flat();
    let counted = mask.where_cond(actions, &actions.zeros_like()).to_i64s()?;
    let mask = mask.to_u8s()?;
    let lists = rows.ids.flat_lists().map_or(Ok(Vec::new()), Tensor::to_i64s)?;
    Ok(Beginning {
        width: rows.vocabulary,
        statistics: hashed(&|hasher| statistics.hash(hasher)),
        rows: hashed(&|hasher| (rows.shape, &counted, &mask, &lists).hash(hasher)),
        bytes: i64::try_from(options.chunk_bytes).unwrap_or(i64::MAX),
    })
}

/// Whether there is a set or a mixture, for which ranks read their logits again.
fn spans(plan: &Plan) -> bool {
    plan.passes.iter().any(|pass| pass.set.is_some() || pass.beta.is_some())
}

/// What an engine finds in the shard alone: no sets, which span the shards, and no mixtures, which need the sums of all.
fn read_alone(inputs: &Inputs<'_>, plan: &Plan, reading: Reading) -> Result<Found, KernelError> {
    let alone = |pass: &Pass| Pass { set: None, beta: None, ..pass.clone() };
    let passes = plan.passes.iter().map(alone).collect();
    inputs.read(&Plan { passes, ..plan.clone() }, reading)
}

/// What the ranks find together.
struct Together<'t> {
    plan: &'t Plan,
    /// The places of the rows that count.
    counted: &'t [usize],
    local: &'t Local<'t>,
    shards: &'t Shards<'t>,
}

impl Together<'_> {
    /// The lines of rows that count, as one process would find them but for sets and mixtures.
    fn whole(&self, read: &Found, own: &Own, (rows, ids): (&Rows<'_>, &Ids)) -> Result<Lines, KernelError> {
        let (plan, count) = (self.plan, self.counted.len());
        let (sums, known) = (read.sums.host()?, read.facts.host()?);
        // In place, an engine has a line for every row.
        let all = known.len() / plan.facts() > count;
        let of_counted = |lines: &[f64], width: usize| -> Vec<f64> {
            let line = |place: usize| lines[place * width..][..width].to_vec();
            if all { self.counted.iter().flat_map(|place| line(*place)).collect() } else { lines.to_vec() }
        };
        let mut lines =
            Lines { sums: of_counted(&sums, plan.sums()), facts: of_counted(&known, plan.facts()) };
        let divisors = match &rows.divisors {
            Some(divisors) => {
                let all = divisors.to_f64s()?;
                self.counted.iter().map(|place| all[*place]).collect()
            }
            None => vec![1.0; count],
        };
        let spared: Vec<usize> =
            (0..count).filter(|row| lines.facts[row * plan.facts() + facts::HIGHEST].is_nan()).collect();
        for row in &spared {
            lines.sums[row * plan.sums()..][..plan.sums()].fill(0.0);
            lines.facts[row * plan.facts()..][..plan.facts()].fill(0.0);
            lines.facts[row * plan.facts() + facts::DIVISOR] = divisors[*row];
        }
        self.local.read_spared(plan, &spared, &mut lines)?;
        own.place(plan, self.counted, &spared, (self.local, ids), &mut lines.sums)?;
        let message = Message::of(plan);
        let told = self.shards.exchange(Stage::Whole, &message.write(&lines))?;
        Ok(message.merge(&told, &divisors))
    }

    /// Adds the sums over sets and the divergences from mixtures, and the facts behind their gradients.
    fn sets(&self, finder: &Finder<'_>, lines: &mut Lines) -> Result<(), KernelError> {
        let plan = self.plan;
        if !spans(plan) {
            return Ok(());
        }
        let fact = |row: usize, at: usize| lines.facts[row * plan.facts() + at];
        let rows: Vec<usize> =
            (0..self.counted.len()).filter(|row| !fact(*row, facts::HIGHEST).is_nan()).collect();
        let edges = plan.passes.iter().map(|pass| {
            pass.set.map(|_| {
                let temperature = rows.iter().map(|row| pass.at(fact(*row, facts::DIVISOR)));
                let softmax = Softmax {
                    rows: rows.clone(),
                    highest: rows.iter().map(|row| fact(*row, facts::HIGHEST)).collect(),
                    temperature: temperature.collect(),
                };
                finder.edges(pass, &softmax)
            })
        });
        let edges = edges.map(Option::transpose).collect::<Result<Vec<_>, _>>()?;
        let own = self.local.read_sets(plan, &rows, &edges, lines)?;
        let told = self.shards.exchange(Stage::Sets, &own)?;
        let mut next = 0;
        for row in rows {
            let mut sum = || {
                next += 1;
                told.iter().map(|of| of[next - 1]).sum::<f64>()
            };
            for (index, pass) in plan.passes.iter().enumerate() {
                let sums = &mut lines.sums[row * plan.sums() + sums::of(index)..][..sums::PER_PASS];
                let known = &mut lines.facts[row * plan.facts() + facts::of(index)..][..facts::PER_PASS];
                if pass.set.is_some() {
                    let orders = if plan.second { 3 } else { 2 };
                    sums[sums::INSIDE..][..orders].fill_with(&mut sum);
                    known[facts::SIZE] = sum();
                }
                if let (Some(beta), Some(_)) = (pass.beta, pass.compares) {
                    let [to_mixture, from_reference] = [sum(), sum()];
                    sums[sums::JENSEN_SHANNON] = beta * from_reference + (1.0 - beta) * to_mixture;
                    known[facts::TO_MIXTURE] = to_mixture;
                }
            }
        }
        Ok(())
    }

    /// The lines as engines have them: in place, with those of rows that do not count, and on the device.
    fn found(&self, lines: Lines, reading: Reading, all: usize, near: &Tensor) -> Result<Found, KernelError> {
        let plan = self.plan;
        let Lines { mut sums, mut facts } = lines;
        if !matches!(reading, Reading::Picked { .. }) {
            let [mut all_sums, mut all_facts] =
                [plan.sums(), plan.facts()].map(|width| vec![0.0; width * all]);
            let of = |width: usize, at: usize| at * width..(at + 1) * width;
            for place in 0..all {
                plan.skip(&mut all_sums[of(plan.sums(), place)], &mut all_facts[of(plan.facts(), place)]);
            }
            for (row, place) in self.counted.iter().enumerate() {
                all_sums[of(plan.sums(), *place)].copy_from_slice(&sums[of(plan.sums(), row)]);
                all_facts[of(plan.facts(), *place)].copy_from_slice(&facts[of(plan.facts(), row)]);
            }
            (sums, facts) = (all_sums, all_facts);
        }
        let found = [(sums, plan.sums()), (facts, plan.facts())].map(|(numbers, width)| {
            let numbers = Numbers::Host(Arc::new(numbers));
            if near.device() == Device::Cpu {
                Ok(numbers)
            } else {
                numbers.tensor(width, near).map(Numbers::Device)
            }
        });
        let [sums, facts] = found;
        Ok(Found { sums: sums?, facts: facts? })
    }
}
