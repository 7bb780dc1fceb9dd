//! Controllers: what they begin with, and how they move.

use crate::args::Args;
use crate::run::{Env, Key, Run};
use crate::tree::{Arg, Definition};
use crate::value::Value;
use crate::{Result, wrong};
use std::f64::consts::PI;

/// What a controller has kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct State {
    /// The coefficient.
    pub(crate) value: f64,
    /// How many observations it has had.
    count: f64,
    /// A sum, an anchor or a position, and the error before.
    memory: [f64; 2],
}

impl<'a> Run<'a> {
    fn controller(&self, key: &Key) -> Result<(&'a str, &'a [Arg])> {
        match self.program.modules[key.0].definitions.get(&key.1) {
            Some(Definition::Controller { kind, args }) => Ok((kind, args)),
            _ => wrong(format!("no controller `{}`", key.1)),
        }
    }

    /// The arguments but the signal.
    fn settings(&mut self, key: &Key) -> Result<(&'a str, Args)> {
        let (kind, args) = self.controller(key)?;
        let env = Env::file(key.0);
        let mut found = Args::default();
        for arg in args.iter().filter(|arg| arg.name.as_deref() != Some("signal")) {
            let value = self.arguments(std::slice::from_ref(arg), &env)?;
            if let (Some(name), Some(value)) = (&arg.name, arg.name.as_ref().and_then(|name| value.get(name)))
            {
                found.push(Some(name.clone()), value.clone());
            }
        }
        Ok((kind, found))
    }

    /// The coefficient that holds in this step.
    pub(crate) fn coefficient(&mut self, key: &Key) -> Result<f64> {
        if !self.states.contains_key(key) {
            let (kind, args) = self.settings(key)?;
            let state = start(kind, &args)?;
            self.states.insert(key.clone(), state);
        }
        Ok(self.states[key].value)
    }

    /// What a controller observes; `None` if it takes no signal.
    pub(crate) fn signal(&mut self, key: &Key) -> Result<Option<f64>> {
        let (_, args) = self.controller(key)?;
        let Some(arg) = args.iter().find(|arg| arg.name.as_deref() == Some("signal")) else {
            return Ok(None);
        };
        let value: Value = self.eval(&arg.value, &Env::file(key.0))?;
        Ok(Some(value.as_number()?))
    }

    /// The state after an observation.
    pub(crate) fn observed(&mut self, key: &Key, signal: Option<f64>) -> Result<State> {
        self.coefficient(key)?;
        let (kind, args) = self.settings(key)?;
        let state = self.states[key].clone();
        if signal.is_some_and(|signal| !signal.is_finite()) {
            return Ok(state);
        }
        observe(kind, &args, state, signal.unwrap_or(0.0))
    }
}

fn start(kind: &str, args: &Args) -> Result<State> {
    let init = |default: f64| args.number_or("init", default);
    let value = match kind {
        "constant" => args.needed("value")?,
        "linear" | "cosine" => args.needed("from")?,
        "piecewise" => piecewise(args, 0.0)?,
        "band" | "adaptive_kl" | "dual_ascent" => init(0.001)?,
        "doubling" => init(1.0)?,
        "step" if args.truth("gate")? => 0.0,
        "anchored" | "average" | "pid" | "step" | "template::step" => init(0.0)?,
        _ => return wrong(format!("no controller `{kind}`")),
    };
    let memory = if kind == "step" { [init(0.0)?, 0.0] } else { [0.0; 2] };
    Ok(State { value, count: 0.0, memory })
}

fn clip(x: f64, (lo, hi): (f64, f64)) -> f64 {
    x.max(lo).min(hi)
}

fn observe(kind: &str, args: &Args, before: State, h: f64) -> Result<State> {
    let warmup = args.number_or("warmup", 0.0)?.round();
    let mut state = before;
    state.count += 1.0;
    // Schedules know how many observations there were; the others leave the first ones alone.
    let passed = state.count - warmup;
    match kind {
        "constant" => state.value = args.needed("value")?,
        "linear" | "cosine" => {
            let share = (passed / args.needed("steps")?.round()).clamp(0.0, 1.0);
            let first = if kind == "linear" { 1.0 - share } else { f64::midpoint(1.0, (PI * share).cos()) };
            state.value = first * args.needed("from")? + (1.0 - first) * args.needed("to")?;
        }
        "piecewise" => state.value = piecewise(args, state.count)?,
        _ if passed <= 0.0 => {}
        _ => move_by(kind, args, &mut state, passed, h)?,
    }
    Ok(state)
}

/// How a controller that observes a signal moves, after its warm-up.
fn move_by(kind: &str, args: &Args, state: &mut State, passed: f64, h: f64) -> Result<()> {
    let v = state.value;
    match kind {
        "band" => {
            let Some((lo, hi)) = args.range("target")? else { return wrong("no target") };
            let pull = args.number_or("reg", 0.0)? * (v - args.number_or("init", 0.001)?);
            let outside = (h - lo).min(0.0) + (h - hi).max(0.0);
            let bounds = args.range_or("bounds", (1e-5, 0.01))?;
            state.value = clip(v - args.number_or("step", 0.001)? * (outside + pull), bounds);
        }
        "adaptive_kl" => {
            let limit = args.number_or("limit", 0.2)?;
            let error = clip(h / args.needed("target")? - 1.0, (-limit, limit));
            let horizon = args.number_or("horizon", 10000.0)?;
            let factor = 1.0 + error * args.needed("samples")? / horizon;
            state.value = clip(v * factor, args.range_or("bounds", (1e-6, 100.0))?);
        }
        "dual_ascent" => {
            let error = match args.number("at_least")? {
                Some(least) => least - h,
                None => h - args.needed("at_most")?,
            };
            let (lo, hi) = args.range_or("bounds", (1e-6, 10.0))?;
            let log = v.ln() + args.number_or("step", 0.01)? * error;
            state.value = clip(log, (lo.ln(), hi.ln())).exp();
        }
        "doubling" => {
            let (tolerance, factor) = (args.number_or("tolerance", 1.5)?, args.number_or("factor", 2.0)?);
            let bounds = args.range_or("bounds", (1e-6, 1000.0))?;
            let (d, up) = match args.number("at_most")? {
                Some(most) => (most, factor),
                None => (args.needed("at_least")?, 1.0 / factor),
            };
            if h > tolerance * d {
                state.value = clip(v * up, bounds);
            } else if h < d / tolerance {
                state.value = clip(v / up, bounds);
            }
        }
        "pid" => {
            let bounds = args.range_or("bounds", (0.0, 1.0))?;
            let (p, i, d) = (args.number_or("p", 0.0)?, args.number_or("i", 0.0)?, args.number_or("d", 0.0)?);
            let limit = args.number("limit")?.unwrap_or((bounds.1 - bounds.0) / i.abs());
            let error = args.needed("target")? - h;
            let change = if passed > 1.0 { error - state.memory[1] } else { 0.0 };
            let sum = clip(state.memory[0] + error, (-limit, limit));
            state.memory = [sum, error];
            let answer = p * error + if i == 0.0 { 0.0 } else { i * sum } + d * change;
            state.value = clip(args.number_or("init", 0.0)? + answer, bounds);
        }
        "anchored" => {
            let anchor = args.number_or("anchor", 1.0)?.round();
            if passed <= anchor {
                state.memory[0] += h;
            }
            if passed > anchor {
                let first = state.memory[0] / anchor;
                let missing = args.needed("share")? * first - h;
                let bounds = args.range_or("bounds", (0.0, 1.0))?;
                state.value = clip(v + args.number_or("step", 0.001)? * missing, bounds);
            }
        }
        "average" => {
            if args.number("until")?.is_none_or(|until| passed <= until) {
                let moved = match args.number("decay")? {
                    _ if passed <= 1.0 => h,
                    Some(decay) => v + (1.0 - decay) * (h - v),
                    None => v + (h - v) / passed,
                };
                let bounds = args.range_or("bounds", (f64::NEG_INFINITY, f64::INFINITY))?;
                state.value = clip(moved, bounds);
            }
        }
        "step" | "template::step" => {
            let step = args.number_or("step", 0.005)?;
            let above = h > args.needed("target")?;
            let before = if kind == "step" { state.memory[0] } else { v };
            let bounds = args.range_or("bounds", (0.0, 1.0))?;
            let moved = clip(if above { before - step } else { before + step }, bounds);
            state.memory[0] = moved;
            state.value = if above && args.truth("gate")? { 0.0 } else { moved };
        }
        _ => return wrong(format!("no controller `{kind}`")),
    }
    Ok(())
}

/// The value of given points after a number of observations.
fn piecewise(args: &Args, count: f64) -> Result<f64> {
    let text = args.text("points", "")?;
    let read = |of: &str| of.trim().parse::<f64>().or_else(|_| wrong(format!("the number {of}")));
    let point = |of: &str| match of.split_once(':') {
        Some((n, v)) => Ok((read(n)?, read(v)?)),
        None => wrong(format!("the point {of}")),
    };
    let points = text.split(',').map(point).collect::<Result<Vec<(f64, f64)>>>()?;
    let Some(behind) = points.iter().position(|(n, _)| *n > count) else {
        return Ok(points.last().map_or(0.0, |(_, v)| *v));
    };
    if behind == 0 {
        return Ok(points[0].1);
    }
    let ((n0, v0), (n1, v1)) = (points[behind - 1], points[behind]);
    let lines = args.text("between", "lines")? == "lines";
    Ok(if lines { v0 + (v1 - v0) * (count - n0) / (n1 - n0) } else { v0 })
}
