//! Compares steps of the library with those of the second implementation, number by number.
//!
//! The second implementation runs each step several times, once as it is and otherwise with every operation rounded at random.
//! How far a result moves then says how well it is determined: it may differ by a small multiple of that and no more, and where
//! it moves by a large share of itself, or a comparison turns over, nothing can be said.

use crate::run::{leaves, packed, session};
use aent::testing::Case;
use aent::{Batch, Session};
use aent_oracle::{Batch as Plain, Error, Noise, Numbers, Program, Session as Judge, Step};
use std::collections::BTreeMap;
use std::rc::Rc;
use tch::Kind;

/// The relative error of an operation that is pretended: some two hundred and fifty units in the last place.
const NOISE: f64 = 5.7e-14;
/// How many seeds a step is rounded by, more of them where it seems to differ; a difference among the last is believed.
const SEEDS: [u64; 3] = [1, 4, 40];
/// How much more than the spread under noise a number may differ by.
const FACTOR: f64 = 20.0;
/// What a number may differ by anyway, relative to itself or to 0.1 if it is smaller: exact zeros come as some units in the last
/// place of what cancels.
const ROUNDING: f64 = 1e-12;
/// A number that moves by more than this share of itself is not determined.
const UNDETERMINED: f64 = 1e-3;

/// How a batch comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    Padded,
    Packed,
    /// With hidden states and an output layer in place of logits.
    Hidden,
    /// With a `log_prob` of its own.
    OwnLogProb,
}

/// Counts of a comparison.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Programs, steps and numbers that were compared.
    pub(crate) programs: u64,
    pub(crate) steps: u64,
    pub(crate) numbers: u64,
    /// Numbers among them that are infinite or NaN.
    pub(crate) infinite: u64,
    /// Numbers that rounding moves too far to be compared.
    pub(crate) undetermined: u64,
    /// Steps whose result the documents leave open.
    pub(crate) unspecified: u64,
    /// Programs that do not compile.
    pub(crate) refused: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: Self) {
        self.programs += other.programs;
        self.steps += other.steps;
        self.numbers += other.numbers;
        self.infinite += other.infinite;
        self.undetermined += other.undetermined;
        self.unspecified += other.unspecified;
        self.refused += other.refused;
    }
}

/// A program of the second implementation.
pub(crate) struct Judged {
    pub(crate) program: Rc<Program>,
    /// Whether its field `log_z` has a gradient.
    pub(crate) trains_log_z: bool,
}

/// Up to `count` steps of a program on batches in turn, packed or padded. A difference is believed where many seeds agree on it.
pub(crate) fn steps(
    judged: &Judged,
    compiled: &aent::Program,
    cases: &[Case],
    layout: Layout,
    count: usize,
) -> Result<Counts, String> {
    let feed = |case: &Case| fed(case, layout, judged.trains_log_z);
    let compared = |seeds| rounded(&judged.program, session(compiled.clone()), cases, feed, count, seeds);
    SEEDS[1..].iter().fold(compared(SEEDS[0]), |found, seeds| found.or_else(|_| compared(*seeds)))
}

fn rounded(
    program: &Rc<Program>,
    mut session: Session,
    cases: &[Case],
    feed: impl Fn(&Case) -> Fed,
    count: usize,
    seeds: u64,
) -> Result<Counts, String> {
    let judge =
        Judge::new(Rc::clone(program)).map_err(|error| format!("the second implementation: {error}"))?;
    // Every judge goes on from what it observed itself.
    let mut judges = vec![judge; 1 + seeds as usize];
    let mut counts = Counts { programs: 1, ..Counts::default() };
    for step in 0..count {
        let case = &cases[step % cases.len()];
        let (found, plain) =
            observed(&mut session, case, feed(case)).map_err(|words| format!("step {step}: {words}"))?;
        let one = |(seed, judge): (usize, &mut Judge)| {
            let noise = if seed == 0 { Noise::NONE } else { Noise { seed: seed as u64, size: NOISE } };
            let step = judge.step(&plain, noise)?;
            judge.update(&step);
            Ok((numbers(&step, judge, &found), step.delicate, step.is_singular))
        };
        let (judged, delicate, is_singular): (Vec<_>, Vec<_>, Vec<_>) =
            match judges.iter_mut().enumerate().map(one).collect::<Result<Vec<_>, _>>() {
                Ok(judged) => judged.into_iter().collect(),
                Err(Error::Unspecified(_)) => {
                    counts.unspecified += 1;
                    return Ok(counts);
                }
                Err(Error::Wrong(words)) => return Err(format!("the second implementation: {words}")),
            };
        counts.steps += 1;
        if let Err(words) = agree(&found, &judged, is_singular.contains(&true), &mut counts) {
            if singular_by_rounding(&delicate) {
                counts.undetermined += 1;
                return Ok(counts);
            }
            return Err(format!("step {step}: {words}"));
        }
        // Without a controller the rest would repeat what was compared; the first batch has come again.
        if step == cases.len() && session.coefficients().is_empty() {
            break;
        }
    }
    Ok(counts)
}

/// Whether a number on which a singularity depends, such as one that is divided by, is no more than rounding.
fn singular_by_rounding(delicate: &[Vec<f64>]) -> bool {
    let moves = |at: usize| {
        let (exact, others) = (delicate[0][at], &delicate[1..]);
        others.iter().any(|of| of.get(at).is_some_and(|x| (x - exact).abs() > UNDETERMINED * exact.abs()))
    };
    (0..delicate[0].len()).any(moves)
}

/// One step of the library, and the batch that it read.
fn observed(session: &mut Session, case: &Case, (batch, leaves): Fed) -> Result<(Found, Plain), String> {
    let said = |error: aent::Error| error.to_string();
    let output = session.forward(&batch).map_err(said)?;
    output.backward().map_err(said)?;
    let loss = output.loss().f64_at(&[]).map_err(|error| error.to_string())?;
    let mut found = BTreeMap::from([
        ("loss".to_owned(), vec![loss]),
        ("assertions".to_owned(), vec![output.findings().map_err(said)?.len() as f64]),
    ]);
    for (name, leaf) in leaves {
        let gradient = leaf.grad();
        let slopes = if gradient.defined() { reals(&gradient) } else { vec![0.0; leaf.numel()] };
        found.insert(format!("gradient of {name}"), slopes);
    }
    let (totals, metrics) = (output.totals().map_err(said)?, output.metrics().map_err(said)?);
    let signals = output.signals().map_err(said)?;
    session.update(&output).map_err(said)?;
    let coefficients = session.coefficients();
    for (kind, of) in
        [("loss", totals), ("metric", metrics), ("signal", signals), ("coefficient", coefficients)]
    {
        found.extend(of.into_iter().map(|(name, value)| (format!("{kind} {name}"), vec![value])));
    }
    Ok((found, plain(case, &batch)))
}

/// A batch, and the tensors that gradient flows to.
type Fed = (Batch, Vec<(&'static str, tch::Tensor)>);

/// The batch of a case in a layout; `trained` says whether `log_z` has a gradient.
fn fed(case: &Case, layout: Layout, trained: bool) -> Fed {
    let made = leaves(case);
    let (mut batch, mut leaves) = (made.batch, vec![("values", made.values)]);
    let leaf = |tensor: tch::Tensor| tensor.detach().set_requires_grad(true);
    if trained {
        let log_z: Vec<f64> = case.rewards.iter().map(|x| x.cos()).collect();
        let log_z = leaf(tch::Tensor::from_slice(&log_z));
        batch = batch.with("log_z", log_z.shallow_clone());
        leaves.push(("log_z", log_z));
    }
    if layout == Layout::OwnLogProb {
        let [b, t] = [case.sequences as i64, case.width as i64];
        let own: Vec<f64> = case.token("old_log_prob").iter().map(|x| 0.9 * x).collect();
        let own = leaf(tch::Tensor::from_slice(&own).view([b, t]));
        batch = batch.with("log_prob", own.shallow_clone());
        leaves.push(("log_prob", own));
    }
    if layout == Layout::Hidden {
        let v = case.vocabulary as i64;
        let head = (tch::Tensor::arange(v * v, (Kind::Double, tch::Device::Cpu)) * 1.7).sin().view([v, v]);
        let layer = [
            ("hidden", leaf(made.logits)),
            ("lm_head", leaf(head)),
            ("lm_head_bias", leaf(tch::Tensor::arange(v, (Kind::Double, tch::Device::Cpu)).cos())),
        ];
        let rest = batch.iter().filter(|(name, _)| *name != "logits");
        batch = rest.fold(Batch::new(), |batch, (name, tensor)| batch.with(name, tensor.clone()));
        for (name, tensor) in layer {
            batch = batch.with(name, tensor.shallow_clone());
            leaves.push((name, tensor));
        }
    } else {
        leaves.push(("logits", made.logits));
    }
    if layout == Layout::Packed {
        batch = packed(case, &batch);
    }
    (batch, leaves)
}

type Found = BTreeMap<String, Vec<f64>>;

/// The numbers of a step by the names that the library's have.
fn numbers(step: &Step, judge: &Judge, found: &Found) -> Found {
    let broken = step.asserts.iter().filter(|holds| !**holds).count() as f64;
    let mut numbers =
        Found::from([("loss".to_owned(), vec![step.loss]), ("assertions".to_owned(), vec![broken])]);
    // What is not read has no gradient.
    for (name, slopes) in found {
        if let Some(field) = name.strip_prefix("gradient of ") {
            let none = || vec![0.0; slopes.len()];
            numbers.insert(name.clone(), step.gradients.get(field).cloned().unwrap_or_else(none));
        }
    }
    let named = [("loss", &step.losses), ("metric", &step.metrics), ("signal", &step.signals)];
    for (kind, of) in named {
        numbers.extend(of.iter().map(|(name, value)| (format!("{kind} {name}"), vec![*value])));
    }
    // A loss without a name is the loss.
    numbers.remove("loss ");
    let coefficients = judge.coefficients().into_iter();
    numbers.extend(coefficients.map(|(name, value)| (format!("coefficient {name}"), vec![value])));
    numbers
}

/// Compares what was found with what the second implementation says, first without noise. `is_singular` says whether slopes may be
/// NaN in one of them alone.
fn agree(found: &Found, judged: &[Found], is_singular: bool, counts: &mut Counts) -> Result<(), String> {
    let names = |of: &Found| of.iter().map(|(name, x)| (name.clone(), x.len())).collect::<Vec<_>>();
    if names(found) != names(&judged[0]) {
        return Err(format!("expected {:?}, found {:?}", names(&judged[0]), names(found)));
    }
    let finite_loss = judged.iter().all(|of| of["loss"][0].is_finite());
    for (name, values) in found {
        // What is not finite has no slope that anybody could use.
        if !finite_loss && name.starts_with("gradient") {
            continue;
        }
        // Where a slope is infinite or NaN, so is what it is multiplied with on its way, and 0 times it is not the same everywhere.
        let finite = |of: &[f64]| of.iter().all(|x| x.is_finite());
        if values.len() > 1 && judged.iter().any(|of| !finite(&of[name])) {
            counts.numbers += values.len() as u64;
            if judged.iter().any(|of| finite(&of[name])) || is_singular && finite(values) {
                counts.undetermined += values.len() as u64;
            } else if finite(values) {
                return Err(format!("{name} is finite, expected {:?}", judged[0][name]));
            } else {
                counts.infinite += values.len() as u64;
            }
            continue;
        }
        if values.len() > 1 && is_singular && !finite(values) {
            counts.numbers += values.len() as u64;
            counts.undetermined += values.len() as u64;
            continue;
        }
        // What cancels in a gradient leaves some units in the last place of its greatest slope.
        let greatest = judged[0][name].iter().fold(0.0_f64, |greatest, x| greatest.max(x.abs()));
        let left = if values.len() > 1 { 16.0 * f64::EPSILON * greatest } else { 0.0 };
        for (at, value) in values.iter().enumerate() {
            let expected: Vec<f64> = judged.iter().map(|of| of[name][at]).collect();
            counts.numbers += 1;
            match verdict(*value, &expected, left) {
                Verdict::Same => counts.infinite += u64::from(!value.is_finite()),
                Verdict::Undetermined => counts.undetermined += 1,
                Verdict::Different => {
                    return Err(format!(
                        "{name} at {at}: expected {expected:?}, found {value:?} among {values:?}"
                    ));
                }
            }
        }
    }
    Ok(())
}

enum Verdict {
    Same,
    Undetermined,
    Different,
}

/// `left` is what may differ beside what is relative to the number itself.
fn verdict(found: f64, expected: &[f64], left: f64) -> Verdict {
    let exact = expected[0];
    let class = |x: f64| (x.is_nan(), if x.is_infinite() { x.signum() as i8 } else { 0 });
    if expected.iter().any(|x| class(*x) != class(exact)) {
        return Verdict::Undetermined;
    }
    if !exact.is_finite() {
        return if class(found) == class(exact) { Verdict::Same } else { Verdict::Different };
    }
    let spread = expected.iter().map(|x| (x - exact).abs()).fold(0.0, f64::max);
    let gap = (found - exact).abs();
    if gap <= FACTOR * spread + ROUNDING * exact.abs().max(0.1) + left {
        return Verdict::Same;
    }
    if spread > UNDETERMINED * exact.abs().max(1e-3) { Verdict::Undetermined } else { Verdict::Different }
}

fn reals(tensor: &tch::Tensor) -> Vec<f64> {
    let flat = tensor.detach().to_kind(Kind::Double).flatten(0, -1).contiguous();
    Vec::try_from(flat).expect("a flat tensor of f64 is a vector")
}

/// The same batch for the second implementation.
fn plain(case: &Case, batch: &Batch) -> Plain {
    let mut fields = BTreeMap::new();
    for (name, tensor) in batch.iter() {
        let tensor = tensor.tch().expect("a case has tensors of tch");
        let flat = tensor.flatten(0, -1);
        let numbers = match tensor.kind() {
            Kind::Int64 => Numbers::Ids(Vec::try_from(flat).expect("a flat tensor of int64 is a vector")),
            Kind::Bool => Numbers::Truths(Vec::try_from(flat).expect("a flat tensor of bool is a vector")),
            _ => Numbers::Reals(reals(&tensor)),
        };
        fields.insert(name.to_owned(), numbers);
    }
    let Some(Numbers::Truths(mask)) = fields.remove("response_mask") else { panic!("no mask") };
    let Some(Numbers::Ids(ends)) = fields.remove("cu_seqlens") else {
        let plain = Plain::new(case.sequences, mask);
        return fields.into_iter().fold(plain, |plain, (name, numbers)| plain.with(&name, numbers));
    };
    let of_tokens: Vec<String> = batch
        .iter()
        .filter(|(_, tensor)| {
            tensor.tch().is_ok_and(|x| x.dim() > 0 && x.size()[0] == *ends.last().expect("an end"))
        })
        .map(|(name, _)| name.to_owned())
        .filter(|name| !OF_SEQUENCES.contains(&name.as_str()))
        .collect();
    let of_tokens: Vec<&str> = of_tokens.iter().map(String::as_str).collect();
    let ends: Vec<usize> = ends.iter().map(|end| *end as usize).collect();
    Plain::unpacked(&ends, &mask, fields, &of_tokens)
}

/// The fields of sequences, which may be as long as the tokens by chance.
const OF_SEQUENCES: [&str; 14] = [
    "rewards",
    "group",
    "score",
    "chosen",
    "greedy",
    "log_z",
    "correct",
    "well_formed",
    "mismatched",
    "tempered",
    "rollout",
    "warmth",
    "truncated",
    "cu_seqlens",
];
