//! Checks by rules, not by eye, whether the curves show the shapes of the paper's figure.

use super::curves::Curves;
use super::{CLAMPED, FULL, NONE};
use crate::report::Interval;

/// A context's share of the reward in the figure, which averages 25 contexts; a curve takes off when it reaches this.
const CONTEXT: f64 = 0.04;
/// The step after which the figure's curves are flat.
const SETTLED: usize = 1000;

/// One of the figure's shapes, and whether the curves show it.
pub(super) struct Fact {
    /// The shape, as a sentence without a full stop.
    pub(super) claim: &'static str,
    /// For each number of optimal actions that can be judged, whether the shape appears.
    pub(super) appears: Vec<(i64, bool)>,
    /// The figures behind the verdict.
    pub(super) evidence: String,
}

impl Fact {
    /// `appears`, `does not appear`, or for which numbers it appears.
    pub(super) fn verdict(&self) -> String {
        let yes: Vec<String> =
            self.appears.iter().filter(|(_, yes)| *yes).map(|(n, _)| n.to_string()).collect();
        match yes.len() {
            _ if self.appears.is_empty() => "not judged".to_string(),
            0 => "does not appear".to_string(),
            all if all == self.appears.len() => "appears".to_string(),
            _ => format!("appears only with {} optimal actions", yes.join(", ")),
        }
    }
}

/// The five shapes, in the documentation's order.
pub(super) fn judge(curves: &Curves, contexts: i64) -> Vec<Fact> {
    vec![
        steps_of_one_context(curves, contexts),
        delay(
            curves,
            FULL,
            "the full entropy bonus takes off later than no term, by 100 to 150 steps in the figure",
            |delay| delay > 0.0,
        ),
        delay(curves, CLAMPED, "the clamped entropy bonus takes off earlier than no term", |delay| {
            delay < 0.0
        }),
        flat_end(curves),
        vanishing_gain(curves),
    ]
}

/// The first step at which a curve reaches the height of one context in 25.
pub(super) fn take_off(rewards: &[f64]) -> Option<usize> {
    rewards.iter().position(|reward| *reward >= CONTEXT)
}

fn steps_of_one_context(curves: &Curves, contexts: i64) -> Fact {
    let mut evidence = Vec::new();
    let mut appears = Vec::new();
    for &n in &curves.optimal {
        let runs: Vec<&Vec<f64>> = known(curves).into_iter().flat_map(|spec| curves.seeds(n, spec)).collect();
        let last: Vec<f64> = runs.iter().filter_map(|run| run.last().copied()).collect();
        if last.is_empty() {
            continue;
        }
        let whole = |reward: &f64| {
            let contexts = reward * contexts as f64;
            (contexts - contexts.round()).abs() <= 0.25
        };
        let share = last.iter().filter(|reward| whole(reward)).count() as f64 / last.len() as f64;
        let starts: Vec<usize> = runs.iter().filter_map(|run| take_off(run)).collect();
        let first = starts.iter().min().copied();
        let flat = first.is_none_or(|first| first >= 100);
        appears.push((n, flat && share >= 0.8 && first.is_some()));
        let first = first.map_or("never".to_string(), |first| format!("at step {first}"));
        evidence.push(format!(
            "n = {n}: the first curve takes off {first}; {:.0}% of the runs end within a quarter of a whole number of \
             contexts",
            100.0 * share
        ));
    }
    Fact {
        claim: "a long flat start, then take-offs in steps of one context",
        appears,
        evidence: evidence.join("; "),
    }
}

fn delay(curves: &Curves, spec: &str, claim: &'static str, holds: impl Fn(f64) -> bool) -> Fact {
    let mut evidence = Vec::new();
    let mut appears = Vec::new();
    for &n in &curves.optimal {
        let (spec, none) = (curves.seeds(n, spec), curves.seeds(n, NONE));
        if spec.is_empty() || none.is_empty() {
            continue;
        }
        let pairs = spec.iter().zip(none).map(|(spec, none)| (take_off(spec), take_off(none)));
        let never = pairs.clone().filter(|(spec, none)| spec.is_none() && none.is_some()).count();
        let delays: Vec<f64> = pairs.filter_map(|(spec, none)| Some(spec? as f64 - none? as f64)).collect();
        let delay = Interval::over(&delays);
        // A curve that never takes off counts as later than any other.
        let sure = delay.as_ref().is_none_or(|delay| surely(delay, &holds));
        appears.push((n, sure && if never > 0 { holds(f64::INFINITY) } else { delay.is_some() }));
        let mut said = match delay {
            Some(delay) => format!("n = {n}: {} steps", signed(&delay, 0)),
            None => format!("n = {n}: no pair of curves took off"),
        };
        if never > 0 {
            said = format!("{said} where both took off, and {never} of {} seeds never did", spec.len());
        }
        evidence.push(said);
    }
    Fact { claim, appears, evidence: evidence.join("; ") }
}

fn flat_end(curves: &Curves) -> Fact {
    let mut evidence = Vec::new();
    let mut appears = Vec::new();
    let last = curves.steps().saturating_sub(1);
    for &n in &curves.optimal {
        // With fewer steps after it, there is nothing to judge.
        if last < 2 * SETTLED {
            continue;
        }
        let rise = |spec: &&str| {
            let rises = curves.seeds(n, spec).iter().map(|run| run[last] - run[SETTLED]);
            Interval::over(&rises.collect::<Vec<_>>()).map(|rise| (spec.to_string(), rise))
        };
        let rises: Vec<(String, Interval)> =
            known(curves).iter().filter(|spec| **spec != super::AENT).filter_map(rise).collect();
        // A single late jump, as in the figure, is one context.
        appears.push((n, rises.iter().all(|(_, rise)| rise.mean <= 1.5 * CONTEXT)));
        let each = rises.iter().map(|(spec, rise)| format!("`{spec}` {}", signed(rise, 2)));
        evidence.push(format!("n = {n}: {}", each.collect::<Vec<_>>().join(", ")));
    }
    let evidence = if evidence.is_empty() {
        format!("needs at least {} steps", 2 * SETTLED)
    } else {
        format!("rise after step {SETTLED}: {}", evidence.join("; "))
    };
    Fact { claim: "every curve is flat after about step 1000 but for single late jumps", appears, evidence }
}

fn vanishing_gain(curves: &Curves) -> Fact {
    let last = curves.steps().saturating_sub(1);
    let mut evidence = Vec::new();
    let mut met = Vec::new();
    for &n in &curves.optimal {
        let Some(gain) = curves.gain(n, FULL, NONE, last) else { continue };
        evidence.push(format!("n = {n}: {}", signed(&gain, 2)));
        met.push(if n >= 10 { gain.mean >= CONTEXT } else { gain.mean.abs() < CONTEXT });
    }
    let judged = curves.optimal.iter().any(|n| *n >= 10) && curves.optimal.iter().any(|n| *n < 10);
    // This is one statement about all numbers of optimal actions.
    let appears = if judged && !met.is_empty() { vec![(0, met.iter().all(|met| *met))] } else { Vec::new() };
    Fact {
        claim: "the full bonus gains with 10 or more optimal actions, and nothing with 5 or fewer",
        appears,
        evidence: evidence.join("; "),
    }
}

fn known(curves: &Curves) -> Vec<&str> {
    curves.specs.iter().map(String::as_str).filter(|spec| super::ROLES.contains(spec)).collect()
}

/// Whether a statement holds for the mean and, with several seeds, for both ends of its interval.
fn surely(interval: &Interval, holds: impl Fn(f64) -> bool) -> bool {
    let half = interval.half.unwrap_or(0.0);
    [interval.mean - half, interval.mean, interval.mean + half].into_iter().all(holds)
}

/// `+0.12 ± 0.03`.
pub(super) fn signed(interval: &Interval, decimals: usize) -> String {
    match interval.half {
        Some(half) => format!("{:+.decimals$} ± {half:.decimals$}", interval.mean),
        None => format!("{:+.decimals$}", interval.mean),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A curve that jumps to `height` at `step`.
    fn jump(step: usize, height: f64) -> Vec<f64> {
        (0..2500).map(|at| if at < step { 0.003 } else { height }).collect()
    }

    fn jumps(steps: [usize; 3], height: f64) -> Vec<Vec<f64>> {
        steps.into_iter().map(|step| jump(step, height)).collect()
    }

    fn figure() -> Curves {
        Curves::of(
            15,
            &[
                (NONE, jumps([500, 510, 490], 0.24)),
                (FULL, jumps([620, 630, 600], 0.36)),
                (CLAMPED, jumps([400, 410, 395], 0.80)),
            ],
        )
    }

    #[test]
    fn the_shapes_of_the_figure_are_recognised() {
        let verdicts: Vec<String> = judge(&figure(), 25).iter().map(Fact::verdict).collect();
        assert_eq!(verdicts, ["appears", "appears", "appears", "appears", "not judged"]);
    }

    #[test]
    fn shapes_that_are_not_there_are_denied() {
        let mut late = jump(500, 0.24);
        late[2000..].fill(0.5);
        let curves = Curves::of(
            1,
            &[(NONE, vec![late]), (FULL, vec![jump(30, 0.26)]), (CLAMPED, vec![jump(3000, 0.8)])],
        );
        let facts = judge(&curves, 25);
        let verdicts: Vec<String> = facts.iter().map(Fact::verdict).collect();
        assert_eq!(verdicts[..4], ["does not appear"; 4]);
        assert!(facts[2].evidence.contains("1 of 1 seeds never did"), "{}", facts[2].evidence);
        assert!(facts[3].evidence.contains("`no_entropy` +0.26"), "{}", facts[3].evidence);
    }

    #[test]
    fn an_uncertain_delay_does_not_count() {
        let curves =
            Curves::of(15, &[(NONE, jumps([500, 510, 490], 0.24)), (FULL, jumps([400, 900, 480], 0.36))]);
        assert_eq!(judge(&curves, 25)[1].verdict(), "does not appear");
    }
}
