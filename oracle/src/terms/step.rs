//! What looks across the step: choices, ranks, acceptance.

use super::{constants, flags};
use crate::args::Args;
use crate::run::Run;
use crate::tape::Var;
use crate::value::{Shape, Value};
use crate::{Error, Result, wrong};
use std::cmp::Ordering;
use std::collections::BTreeSet;

pub(super) fn accepted(run: &mut Run<'_>, args: &Args) -> Result<Value> {
    let old = run.reads_constant(args, "old_log_prob", Shape::Token)?;
    let rollout = run.reads_constant(args, "rollout_log_prob", Shape::Token)?;
    let Some((lo, hi)) = args.range("bounds")? else { return wrong("`accepted` needs `bounds`") };
    let guard = args.number_or("guard", 20.0)?;
    let (statistic, level) =
        (args.text("statistic", "ratio")?.to_owned(), args.text("level", "token")?.to_owned());
    let round = |run: &Run<'_>, x: f64| run.tape.noise.round(x);
    let mut of = vec![0.0; old.len()];
    for at in 0..of.len() {
        let log = (old[at] - rollout[at]).clamp(-guard, guard);
        of[at] = match statistic.as_str() {
            "k2" => round(run, log * log / 2.0),
            "k3" => round(run, log.exp() - 1.0 - log),
            _ => round(run, log),
        };
    }
    let mut found = vec![false; of.len()];
    for sequence in 0..run.batch.sequences {
        let tokens: Vec<usize> = run.tokens_of(sequence).collect();
        let sum = tokens.iter().fold(0.0, |sum, at| round(run, sum + of[*at]));
        let mean = round(run, sum / tokens.len() as f64);
        let top = tokens.iter().fold(f64::NEG_INFINITY, |top, at| top.max(of[*at]));
        for at in tokens {
            let value = match level.as_str() {
                "seq_sum" => sum,
                "seq_mean" => mean,
                "seq_max" => top,
                _ => of[at],
            };
            let value = if statistic == "ratio" { round(run, value.exp()) } else { value };
            found[at] = lo <= value && value <= hi;
        }
    }
    Ok(flags(found))
}

pub(super) fn clip_cov(run: &mut Run<'_>, args: &Args) -> Result<Value> {
    let log_prob = run.reads(args, "log_prob", Shape::Token)?;
    let advantages: Vec<Var> =
        run.reads(args, "advantages", Shape::Token)?.into_iter().map(Var::detached).collect();
    let (lo, hi) = args.range_or("bounds", (1.0, 5.0))?;
    let share = args.number_or("share", 2e-4)?;
    // Without a choice it is PPO's surrogate.
    let plain = super::policy::clip_ppo(run, args)?;
    let clipped = run.truths(&plain.extras["clipped"], Shape::Token)?;
    let valid: Vec<usize> = (0..log_prob.len()).filter(|at| run.batch.mask[*at]).collect();
    if valid.is_empty() {
        let (covariance, chosen) =
            (constants(Shape::Token, &vec![0.0; log_prob.len()]), vec![false; log_prob.len()]);
        return Ok(plain.with("covariance", covariance).with("chosen", flags(chosen)));
    }
    let tape = &mut run.tape;
    let mean_of = |of: &[Var], tape: &mut crate::tape::Tape| {
        let counted: Vec<Var> = valid.iter().map(|at| of[*at]).collect();
        tape.mean(&counted)
    };
    let (mean, log_mean) = (mean_of(&advantages, tape), mean_of(&log_prob, tape));
    let mut covariance = vec![Var::constant(0.0); log_prob.len()];
    for at in &valid {
        let (a, b) = (tape.sub(advantages[*at], mean), tape.sub(log_prob[*at], log_mean));
        covariance[*at] = tape.mul(a, b);
    }
    let may = |at: &&usize| lo < covariance[**at].value && covariance[**at].value < hi && !clipped[**at];
    let eligible: Vec<usize> = valid.iter().filter(may).copied().collect();
    let count = ((share * valid.len() as f64).floor() as usize).max(1).min(eligible.len());
    if count < eligible.len() {
        return Err(Error::Unspecified("which tokens `clip_cov` takes".to_owned()));
    }
    let mut chosen = vec![false; log_prob.len()];
    let mut loss = run.reals(&plain, Shape::Token)?;
    for at in eligible {
        chosen[at] = true;
        loss[at] = Var::constant(0.0);
    }
    let ratio = plain.extras["ratio"].clone();
    Ok(Value::real(Shape::Token, loss)
        .with("ratio", ratio)
        .with("clipped", flags(clipped))
        .with("covariance", Value::real(Shape::Token, covariance))
        .with("chosen", flags(chosen)))
}

pub(super) fn group_count(run: &mut Run<'_>, args: &Args) -> Result<Value> {
    let groups = run.groups(args)?;
    let valid = (0..groups.len()).filter(|at| run.batch.is_valid(*at)).map(|at| groups[at]);
    Ok(constants(Shape::Scalar, &[valid.collect::<BTreeSet<i64>>().len() as f64]))
}

pub(super) fn group_rank(run: &mut Run<'_>, args: &Args) -> Result<Value> {
    let x = run.reals(args.at("x", 0)?, Shape::Seq)?;
    let groups = run.groups(args)?;
    let mut found = vec![0.0; x.len()];
    for at in (0..x.len()).filter(|at| run.batch.is_valid(*at)) {
        let others: Vec<usize> = run.group_of(&groups, at).filter(|other| *other != at).collect();
        let beaten = |other: &usize| {
            let (other, own) = (x[*other].value, x[at].value);
            match other.partial_cmp(&own) {
                Some(Ordering::Less) => 1.0,
                Some(Ordering::Equal) => 0.5,
                _ => 0.0,
            }
        };
        let wins: f64 = others.iter().map(beaten).sum();
        found[at] = if x[at].value.is_nan() {
            f64::NAN
        } else if others.is_empty() {
            0.5
        } else {
            run.tape.noise.round(wins / others.len() as f64)
        };
    }
    Ok(constants(Shape::Seq, &found))
}

pub(super) fn m2po_kept(run: &mut Run<'_>, args: &Args) -> Result<Value> {
    let old = run.reads_constant(args, "old_log_prob", Shape::Token)?;
    let rollout = run.reads_constant(args, "rollout_log_prob", Shape::Token)?;
    let threshold = args.number_or("threshold", 0.04)?;
    let round = |x: f64| run.tape.noise.round(x);
    let mut kept: Vec<(usize, f64)> = (0..old.len())
        .filter(|at| run.batch.mask[*at])
        .map(|at| (at, round((old[at] - rollout[at]) * (old[at] - rollout[at]))))
        .collect();
    // The freshest first; of equal ones the earlier.
    kept.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
    let mean = |kept: &[(usize, f64)]| {
        round(kept.iter().fold(0.0, |sum, (_, s)| round(sum + s)) / kept.len() as f64)
    };
    while kept.len() > 1 && mean(&kept) >= threshold {
        kept.pop();
    }
    let mut found = vec![false; old.len()];
    for (at, _) in kept {
        found[at] = true;
    }
    Ok(flags(found))
}

pub(super) fn pass_at_k(run: &mut Run<'_>, args: &Args) -> Result<Value> {
    let right = run.reals(args.at("right", 0)?, Shape::Seq)?;
    let samples = run.reals(args.at("samples", 1)?, Shape::Seq)?;
    let k = args.needed("k")?.round();
    let chance = |right: f64, samples: f64| {
        let drawn = k.min(samples);
        let mut missed = 1.0;
        let mut j = 0.0;
        while j < drawn {
            missed *= (samples - right - j).max(0.0) / (samples - j);
            j += 1.0;
        }
        run.tape.noise.round(1.0 - missed)
    };
    let found: Vec<f64> = right.iter().zip(&samples).map(|(c, n)| chance(c.value, n.value)).collect();
    Ok(constants(Shape::Seq, &found))
}
