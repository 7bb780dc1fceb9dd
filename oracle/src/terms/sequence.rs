//! What goes along the valid tokens of each sequence.

use super::{constants, flags};
use crate::args::Args;
use crate::run::Run;
use crate::tape::Var;
use crate::value::{Shape, Value};
use crate::{Result, wrong};

pub(super) fn length(run: &Run<'_>) -> Value {
    let lengths: Vec<f64> =
        (0..run.batch.sequences).map(|sequence| run.tokens_of(sequence).count() as f64).collect();
    constants(Shape::Seq, &lengths)
}

pub(super) fn position(run: &Run<'_>) -> Value {
    let mut found = vec![0.0; run.batch.mask.len()];
    for sequence in 0..run.batch.sequences {
        for (place, at) in run.tokens_of(sequence).enumerate() {
            found[at] = place as f64;
        }
    }
    constants(Shape::Token, &found)
}

/// Sums along the valid tokens, in their order or from behind.
fn summed(run: &mut Run<'_>, args: &Args, discount: f64, backward: bool) -> Result<Value> {
    let x = run.reals(args.at("x", 0)?, Shape::Token)?;
    let mut found = vec![Var::constant(0.0); x.len()];
    for sequence in 0..run.batch.sequences {
        let mut tokens: Vec<usize> = run.tokens_of(sequence).collect();
        if backward {
            tokens.reverse();
        }
        let mut sum: Option<Var> = None;
        for at in tokens {
            let so_far = match sum {
                None => x[at],
                Some(sum) => {
                    let discounted = run.tape.scale(sum, discount);
                    run.tape.add(x[at], discounted)
                }
            };
            found[at] = so_far;
            sum = Some(so_far);
        }
    }
    Ok(Value::real(Shape::Token, found))
}

pub(super) fn cumsum(run: &mut Run<'_>, args: &Args) -> Result<Value> {
    summed(run, args, 1.0, false)
}

pub(super) fn reverse_cumsum(run: &mut Run<'_>, args: &Args) -> Result<Value> {
    summed(run, args, args.number_or("discount", 1.0)?, true)
}

/// What `gae` says of one sequence: rewards, values and `lam` of its steps, in their order.
fn estimate(run: &Run<'_>, steps: &[(f64, f64, f64)], gamma: f64) -> Vec<f64> {
    let round = |x| run.tape.noise.round(x);
    let mut found = vec![0.0; steps.len()];
    let (mut next_value, mut next) = (0.0, 0.0);
    for (at, (reward, value, lam)) in steps.iter().enumerate().rev() {
        let surprise = round(reward + gamma * next_value - value);
        next = round(surprise + gamma * lam.clamp(0.0, 1.0) * next);
        found[at] = next;
        next_value = *value;
    }
    found
}

fn with_returns(run: &Run<'_>, advantages: &[f64], values: &[f64]) -> Value {
    let returns: Vec<f64> = advantages.iter().zip(values).map(|(a, v)| run.tape.noise.round(a + v)).collect();
    constants(Shape::Token, advantages).with("returns", constants(Shape::Token, &returns))
}

pub(super) fn gae(run: &mut Run<'_>, args: &Args) -> Result<Value> {
    let rewards = run.reads_constant(args, "rewards", Shape::Seq)?;
    let values = run.reads_constant(args, "old_values", Shape::Token)?;
    let paid = run.reads_or(args, "token_rewards", Shape::Token, 0.0)?;
    let lam = run.reads_or(args, "lam", Shape::Token, 1.0)?;
    let gamma = args.number_or("gamma", 1.0)?;
    let mut found = vec![0.0; values.len()];
    for (sequence, outcome) in rewards.iter().enumerate() {
        let tokens: Vec<usize> = run.tokens_of(sequence).collect();
        let reward = |at: usize| if Some(&at) == tokens.last() { paid[at] + outcome } else { paid[at] };
        let steps: Vec<_> = tokens.iter().map(|at| (reward(*at), values[*at], lam[*at])).collect();
        for (at, advantage) in tokens.iter().zip(estimate(run, &steps, gamma)) {
            found[*at] = advantage;
        }
    }
    Ok(with_returns(run, &found, &values))
}

/// The segments of a sequence, each with its tokens, in the order of their first tokens.
fn segments(run: &Run<'_>, ids: &[i64], sequence: usize) -> Vec<Vec<usize>> {
    let mut found: Vec<Vec<usize>> = Vec::new();
    for at in run.tokens_of(sequence) {
        match found.iter_mut().find(|segment| ids[segment[0]] == ids[at]) {
            Some(segment) => segment.push(at),
            None => found.push(vec![at]),
        }
    }
    found
}

pub(super) fn segment_count(run: &mut Run<'_>, args: &Args) -> Result<Value> {
    let ids = run.ids(args.at("by", 0)?, Shape::Token)?;
    let counts: Vec<f64> =
        (0..run.batch.sequences).map(|sequence| segments(run, &ids, sequence).len() as f64).collect();
    Ok(constants(Shape::Seq, &counts))
}

pub(super) fn segment_gae(run: &mut Run<'_>, args: &Args) -> Result<Value> {
    let ids = run.ids(args.at("by", 0)?, Shape::Token)?;
    let rewards = run.reads_constant(args, "rewards", Shape::Seq)?;
    let values = run.reads_constant(args, "old_values", Shape::Token)?;
    let paid = run.reads_or(args, "token_rewards", Shape::Token, 0.0)?;
    let lam = run.reads_or(args, "lam", Shape::Seq, 1.0)?;
    let gamma = args.number_or("gamma", 1.0)?;
    let (mut found, mut baseline) = (vec![0.0; values.len()], vec![0.0; values.len()]);
    for (sequence, outcome) in rewards.iter().enumerate() {
        let segments = segments(run, &ids, sequence);
        let last = segments.len().wrapping_sub(1);
        let step = |(place, tokens): (usize, &Vec<usize>)| {
            let sum = tokens.iter().fold(0.0, |sum, at| run.tape.noise.round(sum + paid[*at]));
            let reward = if place == last { sum + outcome } else { sum };
            (reward, values[tokens[0]], lam[sequence])
        };
        let steps: Vec<_> = segments.iter().enumerate().map(step).collect();
        for (tokens, advantage) in segments.iter().zip(estimate(run, &steps, gamma)) {
            for at in tokens {
                found[*at] = advantage;
                baseline[*at] = values[tokens[0]];
            }
        }
    }
    Ok(with_returns(run, &found, &baseline))
}

pub(super) fn vtrace(run: &mut Run<'_>, args: &Args) -> Result<Value> {
    let log_prob = run.reads_constant(args, "log_prob", Shape::Token)?;
    let old = run.reads_constant(args, "old_log_prob", Shape::Token)?;
    let rewards = run.reads_constant(args, "rewards", Shape::Seq)?;
    let values = run.reads_constant(args, "values", Shape::Token)?;
    let paid = run.reads_or(args, "token_rewards", Shape::Token, 0.0)?;
    let lam = run.reads_or(args, "lam", Shape::Token, 1.0)?;
    let gamma = args.number_or("gamma", 1.0)?;
    let (rho_bar, c_bar) = (args.number_or("rho_bar", 1.0)?, args.number_or("c_bar", 1.0)?);
    if c_bar > rho_bar {
        return wrong("`c_bar` is above `rho_bar`");
    }
    let round = |run: &Run<'_>, x: f64| run.tape.noise.round(x);
    let count = values.len();
    let (mut found, mut returns, mut clipped) = (vec![0.0; count], vec![0.0; count], vec![false; count]);
    for (sequence, outcome) in rewards.iter().enumerate() {
        let (mut next_value, mut next_target, mut is_last) = (0.0, 0.0, true);
        let tokens: Vec<usize> = run.tokens_of(sequence).collect();
        for at in tokens.into_iter().rev() {
            let reward = if is_last { paid[at] + outcome } else { paid[at] };
            let ratio = round(run, (log_prob[at] - old[at]).exp());
            let (rho, c) = (ratio.min(rho_bar), ratio.min(c_bar) * lam[at].clamp(0.0, 1.0));
            let surprise = rho * (reward + gamma * next_value - values[at]);
            found[at] = round(run, rho * (reward + gamma * next_target - values[at]));
            let target = values[at] + surprise + gamma * c * (next_target - next_value);
            returns[at] = round(run, target);
            clipped[at] = ratio > rho_bar;
            (next_value, next_target, is_last) = (values[at], returns[at], false);
        }
    }
    Ok(constants(Shape::Token, &found)
        .with("returns", constants(Shape::Token, &returns))
        .with("clipped", flags(clipped)))
}
