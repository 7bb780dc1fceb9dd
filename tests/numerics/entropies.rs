//! Entropies besides Shannon's, and what is made of entropies.

use crate::judge::{LIBRARY, Sheet, judge, judge_where, mean};
use crate::reference::{self, Set, per_token, row};
use crate::{assert_near, named, numbers, session, step, values};
use aent::Batch;
use aent::testing::{Case, Extent, gradient_matches_differences, rough, sample, smooth};
use tch::{Device, Kind, Tensor};

/// The probabilities of a row that are not 0.
fn probabilities(z: &[f64]) -> Vec<f64> {
    let top = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = z.iter().map(|z| (z - top).exp()).sum();
    z.iter().map(|z| (z - top).exp() / sum).filter(|p| *p > 0.0).collect()
}

fn powers(z: &[f64], power: f64) -> f64 {
    probabilities(z).into_iter().map(|p| p.powf(power)).sum()
}

fn varentropy(z: &[f64]) -> f64 {
    let p = probabilities(z);
    let entropy: f64 = p.iter().map(|p| -p * p.ln()).sum();
    p.iter().map(|p| p * (p.ln() + entropy).powi(2)).sum()
}

/// The entropy of whether a token is among the `k` likeliest.
fn mass_entropy(z: &[f64], k: usize) -> f64 {
    let mut p = probabilities(z);
    p.sort_by(|a, b| b.total_cmp(a));
    let inside: f64 = p.iter().take(k).sum();
    let outside: f64 = p.iter().skip(k).sum();
    [inside, outside].into_iter().filter(|share| *share > 0.0).map(|share| -share * share.ln()).sum()
}

/// The probability of the `k` likeliest tokens.
fn mass(z: &[f64], k: usize) -> f64 {
    let mut p = probabilities(z);
    p.sort_by(|a, b| b.total_cmp(a));
    p.iter().take(k).sum()
}

/// The probability of the tokens that are at least `ratio` times as likely as the likeliest.
fn likely_mass(z: &[f64], ratio: f64) -> f64 {
    let p = probabilities(z);
    let highest = p.iter().copied().fold(0.0, f64::max);
    p.iter().filter(|p| **p >= ratio * highest).sum()
}

type Formula = fn(&[f64]) -> f64;

const SPECS: [(&str, Formula); 12] = [
    ("renyi_entropy(alpha = 2)", |z| -powers(z, 2.0).ln()),
    ("renyi_entropy(alpha = 0.5)", |z| powers(z, 0.5).ln() / 0.5),
    ("renyi_entropy(alpha = 1.01)", |z| powers(z, 1.01).ln() / -0.01),
    ("tsallis_entropy(q = 2)", |z| 1.0 - powers(z, 2.0)),
    ("tsallis_entropy(q = 0.5)", |z| (powers(z, 0.5) - 1.0) / 0.5),
    ("varentropy()", varentropy),
    ("mass_entropy(top_k = 3)", |z| mass_entropy(z, 3)),
    ("mass_entropy(drop = 0)", |_| 0.0),
    ("mass(top_k = 2)", |z| mass(z, 2)),
    ("mass(drop = 0)", |_| 1.0),
    ("mass(min_p = 0.137)", |z| likely_mass(z, 0.137)),
    ("z_loss()", |z| z.iter().map(|z| z.exp()).sum::<f64>().ln().powi(2)),
];

#[test]
fn every_entropy_is_that_of_its_formula() {
    let mut cases = sample(&smooth(Extent::default()), 40);
    cases.extend(sample(&rough(Extent::default()), 80));
    for (expr, formula) in SPECS {
        let found = values(expr);
        for case in &cases {
            assert_near(&found(case), &per_token(case, |at| formula(row(case, at))), 1e-8, expr);
        }
    }
}

#[test]
fn every_entropy_has_the_gradient_of_its_value() {
    for (expr, _) in SPECS {
        let session = session(&format!("loss = token_mean({expr}) + token_mean(log_prob)"));
        for case in sample(&smooth(Extent { sequences: 1..=3, width: 1..=3, vocabulary: 2..=6 }), 10) {
            gradient_matches_differences(&session, &case).unwrap_or_else(|error| panic!("{expr}: {error}"));
        }
    }
}

#[test]
fn the_temperature_comes_before_the_power() {
    let session =
        session("set temperature = 0.5\nlet value = renyi_entropy(alpha = 2)\nloss = token_mean(entropy())");
    for case in sample(&smooth(Extent::default()), 20) {
        let output = session.forward(&case.leaves(Kind::Double, Device::Cpu).batch).unwrap();
        let tempered = |at: usize| row(&case, at).iter().map(|z| z / 0.5).collect::<Vec<_>>();
        let expected = per_token(&case, |at| -powers(&tempered(at), 2.0).ln());
        assert_near(&numbers(named(&output, "value")), &expected, 1e-12, "tempered");
    }
}

/// Each with a formula of the tempered logits.
#[test]
fn a_term_may_have_a_temperature_of_its_own() {
    let entropy = |z: &[f64]| reference::entropy(z, Set::All);
    let specs: [(&str, Formula); 4] = [
        ("entropy(temperature = 0.5)", entropy),
        ("clamped_entropy(top_k = 40, temperature = 0.5)", entropy),
        ("mass(top_k = 2, temperature = 0.5)", |z| mass(z, 2)),
        ("mass_entropy(top_k = 3, temperature = 0.5)", |z| mass_entropy(z, 3)),
    ];
    for (call, formula) in specs {
        let text =
            format!("set temperature = 2\nlet a = {call}\nlet b = entropy()\nloss = token_mean(a + b)");
        let session = session(&text);
        for case in sample(&smooth(Extent::default()), 15) {
            let output = session.forward(&case.leaves(Kind::Double, Device::Cpu).batch).unwrap();
            let at = |temperature: f64, formula: Formula| {
                per_token(&case, |at| {
                    formula(&row(&case, at).iter().map(|z| z / temperature).collect::<Vec<_>>())
                })
            };
            assert_near(&numbers(named(&output, "a")), &at(0.5, formula), 1e-12, call);
            assert_near(&numbers(named(&output, "b")), &at(2.0, entropy), 1e-12, "the file's");
            gradient_matches_differences(&session, &case).unwrap_or_else(|error| panic!("{call}: {error}"));
        }
    }
}

#[test]
fn the_log_probability_at_another_temperature_is_not_the_batch_field() {
    let text = "let hot = log_prob(temperature = 2)\nlet own = log_prob\nloss = -token_mean(hot + own)";
    for case in sample(&smooth(Extent::default()), 15) {
        let session = session(text);
        let output = session.forward(&case.leaves(Kind::Double, Device::Cpu).batch).unwrap();
        let at = |temperature: f64| {
            per_token(&case, |at| {
                let z: Vec<f64> = row(&case, at).iter().map(|z| z / temperature).collect();
                z[case.actions[at] as usize] - z.iter().map(|z| z.exp()).sum::<f64>().ln()
            })
        };
        assert_near(&numbers(named(&output, "hot")), &at(2.0), 1e-12, "hot");
        assert_near(&numbers(named(&output, "own")), &at(1.0), 1e-12, "own");
        gradient_matches_differences(&session, &case).unwrap();
    }
}

#[test]
fn the_full_entropy_is_that_of_the_choice_and_of_what_follows_it() {
    let [mass, inside] = ["mass_entropy(top_k = 2)", "clamped_entropy(top_k = 2)"].map(values);
    for case in sample(&smooth(Extent { vocabulary: 3..=9, ..Extent::default() }), 30) {
        let (mass, inside) = (mass(&case), inside(&case));
        for at in (0..case.mask.len()).filter(|at| case.mask[*at]) {
            let mut z = row(&case, at).to_vec();
            z.sort_by(|a, b| b.total_cmp(a));
            let share: f64 = probabilities(&z)[..2].iter().sum();
            let rest = reference::entropy(&z[2..], Set::All);
            let whole = mass[at] + share * inside[at] + (1.0 - share) * rest;
            assert!((whole - reference::entropy(&z, Set::All)).abs() < 1e-12);
        }
    }
}

#[test]
fn the_worked_example_of_the_z_loss() {
    let logits = Tensor::from_slice(&[2.0, 1.0, 0.0, -1.0, -3.0]).view([1, 1, 5]).set_requires_grad(true);
    let batch = Batch::new()
        .with("logits", logits)
        .with("actions", Tensor::zeros([1, 1], (Kind::Int64, Device::Cpu)))
        .with("response_mask", Tensor::ones([1, 1], (Kind::Bool, Device::Cpu)));
    let found = numbers(step("loss = 1e-4 * token_mean(z_loss())", &batch).loss());
    assert!((found[0] - 5.975_67e-4).abs() < 5e-10, "{found:?}");
}

fn entropies(case: &Case) -> Vec<f64> {
    per_token(case, |at| reference::entropy(row(case, at), Set::All))
}

/// Whether no two entropies are so near that rounding decides on which side of a quantile they are.
fn untied(case: &Case) -> bool {
    let (h, width) = (entropies(case), case.mask.len());
    let valid: Vec<usize> = (0..width).filter(|at| case.mask[*at]).collect();
    valid.iter().all(|a| valid.iter().all(|b| a == b || (h[*a] - h[*b]).abs() > 1e-5))
}

#[test]
fn the_tokens_with_the_most_entropy_are_those_above_its_quantile() {
    for share in [0.2, 0.5, 1.0] {
        judge_where(untied, &format!("top_entropy({share})"), |sheet| {
            let h = entropies(sheet.case);
            let mut sorted: Vec<f64> = sheet.all().into_iter().map(|at| h[at]).collect();
            sorted.sort_by(f64::total_cmp);
            let position = (1.0 - share) * sorted.len().saturating_sub(1) as f64;
            let (below, part) = (position.floor() as usize, position.fract());
            let level =
                |at: usize| sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or(0.0);
            let threshold = level(below) * (1.0 - part) + level(below + 1) * part;
            sheet.tokens(|at| f64::from(h[at] >= threshold - 1e-12))
        });
    }
}

/// A case whose `returns` stand for the old entropies: some of them near the new ones.
fn steady(case: &Case, at: usize) -> f64 {
    let old = case.token("returns")[at].abs();
    (entropies(case)[at] + 1e-8) / (old + 1e-8)
}

#[test]
fn a_token_whose_entropy_moved_too_far_has_its_loss_but_no_gradient() {
    judge("entropy_ratio_clip(clip_ppo(), low = 0.5, high = 2, old = abs(returns))", |sheet| {
        sheet.tokens(|at| {
            let ratio = steady(sheet.case, at);
            let x = if ratio > 0.5 && ratio < 2.0 { sheet.x[at] } else { sheet.held[at] };
            let (a, r) = (sheet.advantage(at), (x - sheet.get("old_log_prob", at)).exp());
            (-a * r).max(-a * r.clamp(0.8, 1.2))
        })
    });
}

#[test]
fn the_worked_example_of_entropy_ratio_clipping() {
    let (batch, logp) = crate::worked::policies();
    let token = |rows: [[f64; 4]; 3]| Tensor::from_slice(&rows.concat()).view([3, 4]);
    let batch = batch
        .with("now", token([[1.0, 0.98, 1.2, 0.5], [0.7, 0.71, 0.6, 0.9], [1.0; 4]]))
        .with("old_entropy", token([[1.0; 4], [0.7; 4], [1.0; 4]]));
    let text = format!(
        "{LIBRARY}\ninput now: token\n\
         loss = token_mean(entropy_ratio_clip(clip_ppo(low = 0.2, high = 0.28, dual = 3), of = now))"
    );
    let output = step(&text, &batch);
    output.backward().unwrap();
    assert_near(&numbers(output.loss()), &[-0.157_712_29], 1e-8, "ERC");
    let expected = [[0.0, -0.116_961_54, 0.0, 0.0], [0.0, 0.078_940_78, 0.0, 0.0], [0.0; 4]].concat();
    assert_near(&numbers(logp.grad()), &expected, 1e-8, "ERC");
}

#[test]
fn entropy_outside_of_its_history_is_how_far_it_is() {
    judge("detach(outside_of_history(0.9))", |sheet| {
        let h = entropies(sheet.case);
        sheet.tokens(|at| (0.8 * 0.9 - h[at]).max(0.0) + (h[at] - 1.2 * 0.9).max(0.0))
    });
}

#[test]
fn entropy_is_added_to_advantages_up_to_a_share_of_them() {
    judge("entropy_advantages()", |sheet| {
        let h = entropies(sheet.case);
        sheet.tokens(|at| sheet.advantage(at) + (0.4 * h[at]).min(sheet.advantage(at).abs() / 2.0))
    });
}

#[test]
fn difficulty_is_what_is_missing_of_a_prompts_successes() {
    for level in [1.0, 0.5] {
        judge(&format!("difficulty({level})"), |sheet| {
            let case = sheet.case;
            sheet.sequences(|tokens| {
                let own = tokens[0] / case.width;
                let mates: Vec<usize> = reference::valid(case)
                    .into_iter()
                    .filter(|other| case.group[*other] == case.group[own])
                    .collect();
                (level - mean(&mates, |other| f64::from(case.rewards[other] > 0.0))).max(0.0) / level
            })
        });
    }
}

#[test]
fn tokens_that_are_likely_already_are_reinforced() {
    judge("likely_reinforced(0.3)", |sheet: &Sheet<'_>| {
        sheet.tokens(|at| {
            let likely = sheet.held[at].exp() > 0.3;
            if likely { -sheet.moved(at).exp() * sheet.advantage(at).abs() } else { 0.0 }
        })
    });
}

/// The temperature is a coefficient here: it holds during a step.
#[test]
fn a_temperature_may_be_a_coefficient() {
    let text = "controller heat = linear(from = 1, to = 3, steps = 2)\nlet a = log_prob(temperature = heat)\n\
                let b = entropy(temperature = heat)\nloss = token_mean(log_prob - a) - 0.1 * token_mean(b)";
    for case in sample(&smooth(Extent::default()), 8) {
        let mut session = session(text);
        let batch = case.leaves(Kind::Double, Device::Cpu).batch;
        for temperature in [1.0, 2.0, 3.0] {
            let output = session.forward(&batch).unwrap();
            let tempered = |at: usize| row(&case, at).iter().map(|z| z / temperature).collect::<Vec<f64>>();
            let expected = per_token(&case, |at| {
                let z = tempered(at);
                z[case.actions[at] as usize] - z.iter().map(|z| z.exp()).sum::<f64>().ln()
            });
            assert_near(&numbers(named(&output, "a")), &expected, 1e-12, "log_prob");
            let expected = per_token(&case, |at| reference::entropy(&tempered(at), Set::All));
            assert_near(&numbers(named(&output, "b")), &expected, 1e-12, "entropy");
            session.update(&output).unwrap();
        }
    }
}
