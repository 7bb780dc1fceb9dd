//! The additions to the report's curves of the main case: the sweep, the closed form, and the verdicts.

use super::closed_form;
use super::curves::Curves;
use super::facts::{Fact, judge, signed, take_off};
use super::published::{self, PUBLISHED};
use super::settings::Settings;
use super::{CLAMPED, FULL, NONE};
use crate::report::Interval;
use crate::report::run::{Bars, Chart, Group, Line, Lines, Table};
use crate::tasks::Conclusion;

/// The number of points of a curve.
const POINTS: usize = 250;

/// The charts, findings and notes of finished runs.
pub(super) fn conclude(curves: &Curves, settings: &Settings) -> Conclusion {
    let facts = judge(curves, settings.contexts);
    let mut charts: Vec<Chart> =
        curves.optimal.iter().skip(1).map(|n| Chart::Lines(rewards(curves, *n))).collect();
    charts.extend(gains(curves).map(Chart::Bars));
    charts.push(Chart::Table(finals(curves)));
    charts.push(Chart::Table(take_offs(curves)));
    charts.extend(gains_on_the_way(curves).map(Chart::Table));
    charts.push(Chart::Table(verdicts(&facts)));
    charts.push(Chart::Lines(closed_form_lines(settings)));
    Conclusion { charts, findings: findings(curves, &facts), notes: notes() }
}

fn rewards(curves: &Curves, n: i64) -> Lines {
    let stride = curves.steps().div_ceil(POINTS).max(1);
    let lines = curves.specs.iter().map(|spec| {
        let points = (0..curves.steps())
            .step_by(stride)
            .filter_map(|step| Some((step as f64, curves.at(n, spec, step)?)))
            .collect::<Vec<_>>();
        let edge = |sign: f64| {
            let edges = points.iter().map(|(_, reward)| Some(reward.mean + sign * reward.half?));
            edges.collect::<Option<Vec<f64>>>()
        };
        Line {
            name: spec.clone(),
            x: points.iter().map(|(step, _)| *step).collect(),
            y: points.iter().map(|(_, reward)| reward.mean).collect(),
            low: edge(-1.0),
            high: edge(1.0),
            dashed: false,
        }
    });
    Lines {
        title: format!("Reward with {n} optimal action{}", if n == 1 { "" } else { "s" }),
        x_label: "step".to_string(),
        y_label: "mean success probability".to_string(),
        lines: lines.collect(),
        caption: "Mean over seeds with its 95% interval.".to_string(),
        ..Lines::default()
    }
}

/// The bar chart of the paper's figure; `None` without a spec to compare with.
fn gains(curves: &Curves) -> Option<Bars> {
    let last = curves.steps().checked_sub(1)?;
    if !curves.specs.iter().any(|spec| spec == NONE) {
        return None;
    }
    let groups = curves.specs.iter().filter(|spec| *spec != NONE).map(|spec| {
        let gains: Vec<Option<Interval>> =
            curves.optimal.iter().map(|n| curves.gain(*n, spec, NONE, last)).collect();
        let published: Vec<f64> =
            curves.optimal.iter().map(|n| published::gain(spec, *n).unwrap_or(f64::NAN)).collect();
        Group {
            name: spec.clone(),
            values: gains.iter().map(|gain| gain.as_ref().map_or(f64::NAN, |gain| gain.mean)).collect(),
            errors: gains.iter().map(|gain| gain.as_ref().and_then(|gain| gain.half)).collect(),
            reference: published.iter().any(|gain| gain.is_finite()).then_some(published),
        }
    });
    Some(Bars {
        title: "Gain over no entropy term at the last step".to_string(),
        x: curves.optimal.iter().map(i64::to_string).collect(),
        x_label: "optimal actions".to_string(),
        y_label: "gain in mean success probability".to_string(),
        groups: groups.collect(),
        caption: "Whiskers: 95% interval over seeds of the paired difference. Marks: the paper's figure, whose settings \
                  are mostly unknown; this is a reconstruction, not a reproduction."
            .to_string(),
    })
}

fn finals(curves: &Curves) -> Table {
    let last = curves.steps().saturating_sub(1);
    let cell = |n: i64, spec: &str| {
        let ours = curves.at(n, spec, last).map_or("–".to_string(), |reward| decimals(&reward));
        match published::reward(spec, n) {
            Some(published) => format!("{ours} (published {published:.2})"),
            None => ours,
        }
    };
    by_optimal(curves, "Reward at the last step", cell)
}

fn take_offs(curves: &Curves) -> Table {
    let cell = |n: i64, spec: &str| {
        let seeds = curves.seeds(n, spec);
        let steps: Vec<f64> =
            seeds.iter().filter_map(|seed| take_off(seed)).map(|step| step as f64).collect();
        let mean = Interval::over(&steps).map(|step| signed(&step, 0).trim_start_matches('+').to_string());
        match (mean, seeds.len() - steps.len()) {
            (None, _) => "never".to_string(),
            (Some(mean), 0) => mean,
            (Some(mean), never) => format!("{mean}, and never on {never} of {} seeds", seeds.len()),
        }
    };
    by_optimal(curves, "Step at which the reward first reaches one context in 25", cell)
}

/// The gains after a quarter, a half and all of the steps, since gains of rising curves depend on when one stops.
fn gains_on_the_way(curves: &Curves) -> Option<Table> {
    let specs: Vec<&String> = curves.specs.iter().filter(|spec| *spec != NONE).collect();
    if specs.len() == curves.specs.len() || curves.steps() < 4 {
        return None;
    }
    let stops = [1, 2, 4].map(|part| curves.steps() * part / 4);
    let row = |n: i64, steps: usize| {
        let gain = |spec: &String| curves.gain(n, spec, NONE, steps - 1);
        let cells = specs.iter().map(|spec| gain(spec).map_or("–".to_string(), |gain| signed(&gain, 2)));
        [n.to_string(), steps.to_string()].into_iter().chain(cells).collect()
    };
    let head = ["optimal actions", "after steps"].into_iter().chain(specs.iter().map(|spec| spec.as_str()));
    Some(Table {
        title: "Gain over no entropy term on the way".to_string(),
        head: head.map(str::to_string).collect(),
        rows: curves.optimal.iter().flat_map(|n| stops.map(|steps| row(*n, steps))).collect(),
        caption: "Mean over seeds of the paired difference with its 95% interval.".to_string(),
    })
}

/// A table with a row for each number of optimal actions and a column for each spec.
fn by_optimal(curves: &Curves, title: &str, cell: impl Fn(i64, &str) -> String) -> Table {
    let row = |n: i64| {
        let cells = curves.specs.iter().map(|spec| cell(n, spec));
        [n.to_string()].into_iter().chain(cells).collect()
    };
    Table {
        title: title.to_string(),
        head: ["optimal actions".to_string()].into_iter().chain(curves.specs.iter().cloned()).collect(),
        rows: curves.optimal.iter().map(|n| row(*n)).collect(),
        caption: "Mean over seeds with its 95% interval.".to_string(),
    }
}

fn verdicts(facts: &[Fact]) -> Table {
    let rows = facts.iter().enumerate().map(|(index, fact)| {
        vec![format!("{}. {}", index + 1, fact.claim), fact.verdict(), fact.evidence.clone()]
    });
    Table {
        title: "Shapes of the paper's figure".to_string(),
        head: ["shape", "here", "evidence"].map(str::to_string).to_vec(),
        rows: rows.collect(),
        caption: "A curve takes off where it first reaches 0.04, one context in 25. Differences are paired by seed and count \
                  only if their 95% interval excludes zero; a curve is flat if it rises by at most one and a half contexts."
            .to_string(),
    }
}

fn closed_form_lines(settings: &Settings) -> Lines {
    let lambdas: Vec<f64> = (0..=60).map(|index| 0.05 + 0.15 * f64::from(index) / 60.0).collect();
    let sets = [("all actions", 1, false), ("a hundredth of them kept", 100, true)];
    let lines = sets.into_iter().flat_map(|(set, divisor, dashed)| {
        let (m, lambdas) = ((settings.actions / divisor) as f64, lambdas.clone());
        settings.optimal.iter().map(move |&n| Line {
            name: format!("n = {n}, {set}"),
            x: lambdas.clone(),
            y: lambdas.iter().map(|lambda| closed_form::value(*lambda, n as f64, m)).collect(),
            dashed,
            ..Line::default()
        })
    });
    Lines {
        title: "What a bonus costs at the optimum, in closed form".to_string(),
        x_label: "coefficient λ".to_string(),
        y_label: "reward of the best policy".to_string(),
        lines: lines.collect(),
        caption: "n e^(1/λ) / (n e^(1/λ) + m − n) for n optimal actions among the m over which the entropy is taken."
            .to_string(),
        ..Lines::default()
    }
}

fn findings(curves: &Curves, facts: &[Fact]) -> Vec<String> {
    let last = curves.steps().saturating_sub(1);
    let mut findings = vec![
        "Reconstruction, not reproduction: the paper's figure is known, most of its settings are not."
            .to_string(),
    ];
    for spec in curves.specs.iter().filter(|spec| *spec != NONE) {
        let each = curves.optimal.iter().filter_map(|&n| {
            let gain = curves.gain(n, spec, NONE, last)?;
            let published =
                published::gain(spec, n).map_or(String::new(), |gain| format!(", published {gain:+.2}"));
            Some(format!("{} at n = {n}{published}", signed(&gain, 2)))
        });
        let each: Vec<String> = each.collect();
        if !each.is_empty() {
            findings.push(format!("Gain of `{spec}` over `{NONE}` at the last step: {}.", each.join("; ")));
        }
    }
    findings.extend(facts.iter().enumerate().map(|(index, fact)| {
        let evidence = if fact.evidence.is_empty() { String::new() } else { format!(" ({})", fact.evidence) };
        format!("Shape {}, {}: {}{evidence}.", index + 1, fact.claim, fact.verdict())
    }));
    findings
}

fn notes() -> Vec<String> {
    let known = PUBLISHED.map(|row| row.n.to_string()).join(", ");
    vec![
        format!(
            "Known of the paper's problem: 100,000 actions, {known} optimal ones, 4,000 steps, rewards in multiples of \
             1/25, and the curves. Everything else in the settings is our reconstruction."
        ),
        format!(
            "Each context is one step with reward 1 for an optimal action and 0 otherwise; the advantage is the reward \
             less the mean over the context's samples, and the optimizer is Adam (0.9, 0.999) on the logits \
             themselves. `{FULL}` and `{CLAMPED}` have the coefficient that their files say."
        ),
    ]
}

/// `0.80 ± 0.03`.
fn decimals(interval: &Interval) -> String {
    signed(interval, 2).trim_start_matches('+').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_when_curves_take_off_and_that_some_never_do() {
        let jump = |step: usize| (0..300).map(|at| if at < step { 0.0 } else { 0.24 }).collect();
        let curves = Curves::of(
            15,
            &[(NONE, vec![jump(100), jump(300)]), (FULL, vec![jump(300); 2]), (CLAMPED, vec![jump(80); 2])],
        );
        let table = take_offs(&curves);
        assert_eq!(table.head, ["optimal actions", NONE, FULL, CLAMPED]);
        assert_eq!(table.rows, [["15", "100, and never on 1 of 2 seeds", "never", "80 ± 0"]]);
    }

    #[test]
    fn final_rewards_stand_beside_the_published_ones() {
        let curves =
            Curves::of(15, &[(NONE, vec![vec![0.1, 0.25]]), (super::super::AENT, vec![vec![0.1, 0.5]])]);
        assert_eq!(finals(&curves).rows, [["15", "0.25 (published 0.24)", "0.50"]]);
        let bars = gains(&curves).unwrap();
        assert_eq!(bars.groups.len(), 1);
        assert!((bars.groups[0].values[0] - 0.25).abs() < 1e-12 && bars.groups[0].reference.is_none());
    }

    #[test]
    fn gains_are_given_on_the_way_too() {
        let curves =
            Curves::of(1, &[(NONE, vec![vec![0.1, 0.2, 0.2, 0.2]]), (FULL, vec![vec![0.0, 0.1, 0.2, 0.5]])]);
        let table = gains_on_the_way(&curves).unwrap();
        assert_eq!(table.head, ["optimal actions", "after steps", FULL]);
        assert_eq!(table.rows, [["1", "1", "-0.10"], ["1", "2", "-0.10"], ["1", "4", "+0.30"]]);
    }

    #[test]
    fn without_a_spec_that_has_no_term_there_are_no_gains() {
        assert!(gains(&Curves::of(15, &[(FULL, vec![vec![0.1]])])).is_none());
    }
}
