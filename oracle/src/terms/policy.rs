//! Surrogates of policies, divergences from the sampled token, and the critic's loss.

use super::flags;
use crate::args::Args;
use crate::run::Run;
use crate::tape::{Tape, Var, sign};
use crate::value::{Shape, Value};
use crate::{Result, wrong};

/// What every surrogate reads.
struct Policies {
    log_prob: Vec<Var>,
    old: Vec<Var>,
    advantages: Vec<Var>,
    guard: f64,
}

impl Policies {
    fn read(run: &mut Run<'_>, args: &Args, guard: f64) -> Result<Self> {
        let constants = |run: &mut Run<'_>, name: &str| -> Result<Vec<Var>> {
            Ok(run.reads(args, name, Shape::Token)?.into_iter().map(Var::detached).collect())
        };
        Ok(Self {
            log_prob: run.reads(args, "log_prob", Shape::Token)?,
            old: constants(run, "old_log_prob")?,
            advantages: constants(run, "advantages")?,
            guard: args.number_or("guard", guard)?,
        })
    }

    /// The log-ratio of a token, within the guard.
    fn log_ratio(&self, tape: &mut Tape, at: usize) -> Var {
        let gap = tape.sub(self.log_prob[at], self.old[at]);
        tape.clamp_to(gap, -self.guard, self.guard)
    }

    fn ratio(&self, tape: &mut Tape, at: usize) -> Var {
        let log = self.log_ratio(tape, at);
        tape.exp(log)
    }
}

/// `x` times the advantage, negated.
fn lost(tape: &mut Tape, advantage: Var, x: Var) -> Var {
    let product = tape.mul(advantage, x);
    tape.neg(product)
}

/// The loss under the cap of dual clipping, which only negative advantages have.
fn of_dual(tape: &mut Tape, dual: Option<f64>, advantage: Var, loss: Var, capped: &mut bool) -> Var {
    let Some(dual) = dual.filter(|_| advantage.value < 0.0) else { return loss };
    let cap = tape.scale(advantage, -dual);
    *capped = loss.value > cap.value;
    tape.min(loss, cap)
}

pub(super) fn clip_ppo(run: &mut Run<'_>, args: &Args) -> Result<Value> {
    let of = Policies::read(run, args, 20.0)?;
    let (low, high) = (args.number_or("low", 0.2)?, args.number_or("high", 0.2)?);
    let (dual, delta) = (args.number("dual")?, args.number("delta")?);
    let count = of.log_prob.len();
    let (mut ratios, mut clipped, mut capped) =
        (vec![Var::constant(0.0); count], vec![false; count], vec![false; count]);
    let loss = run.tokens(|run, at| {
        let tape = &mut run.tape;
        let (advantage, ratio) = (of.advantages[at], of.ratio(tape, at));
        let bounded = delta.map_or(ratio, |delta| tape.min(ratio, Var::constant(delta)));
        let a = lost(tape, advantage, bounded);
        let inside = tape.clamp_to(ratio, 1.0 - low, 1.0 + high);
        let b = lost(tape, advantage, inside);
        let loss = tape.max(a, b);
        ratios[at] = ratio;
        clipped[at] = b.value > a.value;
        Ok(of_dual(tape, dual, advantage, loss, &mut capped[at]))
    })?;
    Ok(Value::real(Shape::Token, loss)
        .with("ratio", Value::real(Shape::Token, ratios))
        .with("clipped", flags(clipped))
        .with("capped", flags(capped)))
}

pub(super) fn cispo(run: &mut Run<'_>, args: &Args) -> Result<Value> {
    let of = Policies::read(run, args, 20.0)?;
    let Some((lo, hi)) = args.range("bounds")? else { return wrong("`cispo` needs `bounds`") };
    let count = of.log_prob.len();
    let (mut ratios, mut clipped) = (vec![Var::constant(0.0); count], vec![false; count]);
    let loss = run.tokens(|run, at| {
        let tape = &mut run.tape;
        let ratio = of.ratio(tape, at);
        ratios[at] = ratio;
        clipped[at] = ratio.value < lo || ratio.value > hi;
        let weight = tape.clamp_to(ratio.detached(), lo, hi);
        let weighted = tape.mul(weight, of.advantages[at]);
        Ok(lost(tape, weighted, of.log_prob[at]))
    })?;
    Ok(Value::real(Shape::Token, loss)
        .with("ratio", Value::real(Shape::Token, ratios))
        .with("clipped", flags(clipped)))
}

pub(super) fn dppo(run: &mut Run<'_>, args: &Args) -> Result<Value> {
    let of = Policies::read(run, args, 20.0)?;
    let (low, high) = (args.number_or("low", 0.2)?, args.number_or("high", 0.2)?);
    let cap = args.number_or("cap", 3.0)?;
    let total_variation = args.text("divergence", "tv")? == "tv";
    let count = of.log_prob.len();
    let (mut ratios, mut kept) = (vec![Var::constant(0.0); count], vec![false; count]);
    let loss = run.tokens(|run, at| {
        let tape = &mut run.tape;
        let ratio = of.ratio(tape, at);
        ratios[at] = ratio;
        let (log_prob, old) = (of.log_prob[at].detached(), of.old[at]);
        let (p, q) = (tape.exp(log_prob).value, tape.exp(old).value);
        let up = of.advantages[at].value > 0.0;
        kept[at] = if total_variation {
            let moved = tape.noise.round(p - q);
            if up { moved <= high } else { moved >= -low }
        } else {
            let rest = ((1.0 - q + 1e-8) / (1.0 - p + 1e-8)).ln();
            let moved = q * (old.value - log_prob.value) + (1.0 - q) * rest;
            let moved = tape.noise.round(moved);
            if up { moved <= high || p <= q } else { moved <= low || p >= q }
        };
        if !kept[at] {
            return Ok(Var::constant(0.0));
        }
        let weight = tape.min(ratio.detached(), Var::constant(cap));
        let weighted = tape.mul(weight, of.advantages[at]);
        Ok(lost(tape, weighted, of.log_prob[at]))
    })?;
    Ok(Value::real(Shape::Token, loss)
        .with("ratio", Value::real(Shape::Token, ratios))
        .with("kept", flags(kept)))
}

pub(super) fn gppo(run: &mut Run<'_>, args: &Args) -> Result<Value> {
    let of = Policies::read(run, args, 20.0)?;
    let (low, high) = (args.number_or("low", 0.2)?, args.number_or("high", 0.2)?);
    let (beta_low, beta_high) = (args.number_or("beta_low", 1.0)?, args.number_or("beta_high", 1.0)?);
    let dual = args.number("dual")?;
    let count = of.log_prob.len();
    let (mut ratios, mut clipped, mut capped) =
        (vec![Var::constant(0.0); count], vec![false; count], vec![false; count]);
    let loss = run.tokens(|run, at| {
        let tape = &mut run.tape;
        let (advantage, ratio) = (of.advantages[at], of.ratio(tape, at));
        ratios[at] = ratio;
        let below = advantage.value < 0.0 && ratio.value < 1.0 - low;
        let above = advantage.value > 0.0 && ratio.value > 1.0 + high;
        clipped[at] = below || above;
        let bounded = if below || above {
            let one = tape.div(ratio, ratio.detached());
            tape.scale(one, if below { beta_low * (1.0 - low) } else { beta_high * (1.0 + high) })
        } else {
            ratio
        };
        let loss = lost(tape, advantage, bounded);
        Ok(of_dual(tape, dual, advantage, loss, &mut capped[at]))
    })?;
    Ok(Value::real(Shape::Token, loss)
        .with("ratio", Value::real(Shape::Token, ratios))
        .with("clipped", flags(clipped))
        .with("capped", flags(capped)))
}

pub(super) fn gspo(run: &mut Run<'_>, args: &Args) -> Result<Value> {
    let of = Policies::read(run, args, 10.0)?;
    let (low, high) = (args.number_or("low", 3e-4)?, args.number_or("high", 4e-4)?);
    let whole = args.text("level", "sequence")? == "sequence";
    let mut of_sequence = Vec::new();
    for sequence in 0..run.batch.sequences {
        let tokens: Vec<usize> = run.tokens_of(sequence).collect();
        let gaps: Vec<Var> = tokens.iter().map(|at| run.tape.sub(of.log_prob[*at], of.old[*at])).collect();
        of_sequence.push(if gaps.is_empty() { Var::constant(0.0) } else { run.tape.mean(&gaps) });
    }
    let count = of.log_prob.len();
    let (mut ratios, mut clipped) = (vec![Var::constant(0.0); count], vec![false; count]);
    let loss = run.tokens(|run, at| {
        let mean = of_sequence[at / run.batch.width];
        let tape = &mut run.tape;
        let log = if whole {
            mean
        } else {
            let own = tape.sub(of.log_prob[at], of.log_prob[at].detached());
            tape.add(mean.detached(), own)
        };
        let bounded = tape.min(log, Var::constant(of.guard));
        let ratio = tape.exp(bounded);
        ratios[at] = ratio;
        let a = lost(tape, of.advantages[at], ratio);
        let inside = tape.clamp_to(ratio, 1.0 - low, 1.0 + high);
        let b = lost(tape, of.advantages[at], inside);
        clipped[at] = b.value > a.value;
        Ok(tape.max(a, b))
    })?;
    Ok(Value::real(Shape::Token, loss)
        .with("ratio", Value::real(Shape::Token, ratios))
        .with("clipped", flags(clipped)))
}

pub(super) fn gmpo(run: &mut Run<'_>, args: &Args) -> Result<Value> {
    let of = Policies::read(run, args, 20.0)?;
    let (low, high) = (args.number_or("low", 0.4)?, args.number_or("high", 0.4)?);
    let mut clipped = vec![false; of.log_prob.len()];
    let (mut losses, mut ratios) = (Vec::new(), Vec::new());
    for sequence in 0..run.batch.sequences {
        let tokens: Vec<usize> = run.tokens_of(sequence).collect();
        if tokens.is_empty() {
            losses.push(Var::constant(0.0));
            ratios.push(Var::constant(0.0));
            continue;
        }
        let tape = &mut run.tape;
        let mut bounded = Vec::new();
        for at in &tokens {
            let gap = of.log_ratio(tape, *at);
            let way = sign(of.advantages[*at].value);
            let inside = tape.clamp_to(gap, -low, high);
            let (a, b) = (tape.scale(gap, way), tape.scale(inside, way));
            clipped[*at] = way > 0.0 && gap.value > high || way < 0.0 && gap.value < -low;
            let least = tape.min(a, b);
            bounded.push(tape.scale(least, way));
        }
        let mean = tape.mean(&bounded);
        let ratio = tape.exp(mean);
        let advantages: Vec<Var> = tokens.iter().map(|at| of.advantages[*at]).collect();
        let advantage = tape.mean(&advantages);
        losses.push(lost(tape, advantage, ratio));
        ratios.push(ratio);
    }
    Ok(Value::real(Shape::Seq, losses)
        .with("ratio", Value::real(Shape::Seq, ratios))
        .with("clipped", flags(clipped)))
}

pub(super) fn kl(run: &mut Run<'_>, args: &Args) -> Result<Value> {
    let log_prob = run.reads(args, "log_prob", Shape::Token)?;
    let reference = run.reads_constant(args, "ref_log_prob", Shape::Token)?;
    let estimator = args.text("estimator", "k3")?.to_owned();
    let base = estimator.trim_end_matches('+');
    let (around, beyond) = if base == "k3" { (20.0, 10.0) } else { (f64::INFINITY, f64::INFINITY) };
    let input_clamp = args.number_or("input_clamp", around)?;
    let output_clamp = args.number_or("output_clamp", beyond)?;
    let loss = run.tokens(|run, at| {
        let tape = &mut run.tape;
        let gap = tape.sub(Var::constant(reference[at]), log_prob[at]);
        let e = tape.clamp_to(gap, -input_clamp, input_clamp);
        let value = match base {
            "k1" => tape.neg(e),
            "k2" => {
                let square = tape.square(e);
                tape.scale(square, 0.5)
            }
            "k3" => {
                let exp = tape.exp(e);
                let less = tape.sub(exp, e);
                tape.sub(less, Var::constant(1.0))
            }
            _ => tape.abs(e),
        };
        let value = tape.clamp_to(value, -output_clamp, output_clamp);
        if base == estimator {
            return Ok(value);
        }
        // The value of the base with the gradient of `k2`, which no clamp binds.
        Ok(tape.exact(value.value, log_prob[at], -gap.value))
    })?;
    Ok(Value::real(Shape::Token, loss))
}

pub(super) fn clip_value(run: &mut Run<'_>, args: &Args) -> Result<Value> {
    let values = run.reads(args, "values", Shape::Token)?;
    let old = run.reads_constant(args, "old_values", Shape::Token)?;
    let returns = run.reads_constant(args, "returns", Shape::Token)?;
    let clip = args.number_or("clip", 0.5)?;
    let mut clipped = vec![false; values.len()];
    let loss = run.tokens(|run, at| {
        let tape = &mut run.tape;
        let inside = tape.clamp_to(values[at], old[at] - clip, old[at] + clip);
        let squared = |tape: &mut Tape, x: Var| {
            let gap = tape.sub(x, Var::constant(returns[at]));
            tape.square(gap)
        };
        let (a, b) = (squared(tape, values[at]), squared(tape, inside));
        clipped[at] = b.value > a.value;
        let worse = tape.max(a, b);
        Ok(tape.scale(worse, 0.5))
    })?;
    Ok(Value::real(Shape::Token, loss).with("clipped", flags(clipped)))
}
