//! The synthetic task from outside: its specs, its closed form, its runs.

#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps nothing")]

mod two_contexts;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use aent::{Batch, Compiler, Session};
use aent_experiments::report::Run;
use aent_experiments::report::run::Chart;
use aent_experiments::tasks::sparse_mdp::closed_form;
use aent_experiments::{TrainOptions, train};
use tch::{Device, Kind, Tensor};
use two_contexts::batch;

const SPECS: [&str; 4] = ["no_entropy", "full_entropy", "clamped_entropy", "aent"];

fn spec(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../examples/sparse_mdp/{name}.aent"))
}

/// Mirror descent on the expected reward plus the bonus of a spec: the reward that it reaches.
fn best(entropy: &str, lambda: f64, n: i64, actions: i64) -> f64 {
    // Each optimal action is a token of one sequence over the same policy, so their probabilities sum to the reward.
    let text = format!(
        "param coef = 1 in 0 .. 1\n\
         loss = -token_sum(exp(log_prob)) - coef * token_mean({entropy})  # aent: allow(sum-grows-with-batch)"
    );
    let program = Compiler::new().set("coef", lambda).compile("exact.aent", &text).unwrap();
    let session = Session::new(program);
    tch::manual_seed(0);
    let mut policy = Tensor::randn([actions], (Kind::Double, Device::Cpu));
    // In the head of the policy, so that clamping keeps them.
    let optimal = policy.topk(n + 3, 0, true, true).1.narrow(0, 3, n);
    for _ in 0..100 {
        let leaf = policy.detach().set_requires_grad(true);
        let output = session
            .forward(
                &Batch::new()
                    .with("logits", leaf.expand([1, n, actions], false))
                    .with("actions", optimal.unsqueeze(0))
                    .with("response_mask", Tensor::ones([1, n], (Kind::Bool, Device::Cpu))),
            )
            .unwrap();
        output.backward().unwrap();
        // Dividing by the probability turns the gradient of the logits into a step of mirror descent; at this rate the
        // distance to the optimum halves.
        policy -= leaf.grad() / policy.softmax(-1, Kind::Double) * (0.5 / lambda);
    }
    policy.softmax(-1, Kind::Double).index_select(0, &optimal).sum(Kind::Double).double_value(&[])
}

#[test]
fn mirror_descent_on_the_full_bonus_reaches_the_closed_form() {
    for (lambda, n) in [(0.1, 1), (0.15, 5), (0.3, 5)] {
        let (reached, expected) =
            (best("entropy()", lambda, n, 400), closed_form::value(lambda, n as f64, 400.0));
        assert!((reached - expected).abs() < 1e-6, "λ = {lambda}, n = {n}: {reached}, not {expected}");
    }
}

#[test]
fn mirror_descent_on_the_clamped_bonus_reaches_the_closed_form_of_the_kept_set() {
    for (lambda, n) in [(0.15, 1), (0.3, 5)] {
        let reached = best("clamped_entropy(drop = 90%)", lambda, n, 400);
        let expected = closed_form::value(lambda, n as f64, 40.0);
        assert!((reached - expected).abs() < 1e-6, "λ = {lambda}, n = {n}: {reached}, not {expected}");
        assert!(expected > closed_form::value(lambda, n as f64, 400.0) + 0.02);
    }
}

#[test]
fn each_spec_has_the_gradient_of_its_formula() {
    let policy = Tensor::from_slice(&[0.1, -0.4, 1.2, 0.3, -2.0, 0.8, 0.5, 0.6, -0.7, -1.0, 0.2, 2.0]);
    let policy = policy.reshape([2, 6]);
    // For each spec: how many of the six actions are kept, 0 for no bonus.
    for (name, kept) in [("no_entropy", 0), ("full_entropy", 6), ("clamped_entropy", 3), ("aent", 3)] {
        let text = fs::read_to_string(spec(name)).unwrap();
        let mut compiler = Compiler::new();
        for (param, value) in [("coef", 0.01), ("drop", 0.5)] {
            if text.contains(&format!("param {param}")) {
                compiler = compiler.set(param, value);
            }
        }
        let session = Session::new(compiler.compile_file(spec(name)).unwrap());
        let leaf = policy.copy().set_requires_grad(true);
        session.forward(&batch(&leaf)).unwrap().backward().unwrap();
        let found: Vec<f64> = Vec::try_from(leaf.grad().reshape([12])).unwrap();

        let mut expected = vec![0.0; 12];
        (expected[3], expected[5]) = (-0.25, 0.25);
        for context in 0..2 {
            let row: Vec<f64> = Vec::try_from(policy.get(context as i64)).unwrap();
            let mut order: Vec<usize> = (0..6).collect();
            order.sort_by(|a, b| row[*b].total_cmp(&row[*a]));
            let total: f64 = order[..kept].iter().map(|action| row[*action].exp()).sum();
            let share = |action: usize| row[action].exp() / total;
            let entropy: f64 = order[..kept].iter().map(|action| -share(*action) * share(*action).ln()).sum();
            for &action in &order[..kept] {
                // The loss has the bonus with a minus, whose gradient is `p (log p + H)`.
                expected[6 * context + action] += 0.01 * share(action) * (share(action).ln() + entropy);
            }
        }
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-12, "{name}: {found}, not {expected}");
        }
    }
}

fn tiny(out: &Path, specs: &[&str], steps: u64) -> Run {
    let mut options = TrainOptions::new(specs.iter().map(|name| spec(name)).collect(), "sparse-mdp", out);
    options.preset = Some("tiny".to_string());
    options.steps = Some(steps);
    options.overrides = vec![("drop".to_string(), 0.8.into())];
    options.quiet = true;
    train(&options).unwrap();
    serde_json::from_str(&fs::read_to_string(out.join("run.json")).unwrap()).unwrap()
}

fn metrics(folder: &Path, run: &str) -> Vec<BTreeMap<String, f64>> {
    let text = fs::read_to_string(folder.join(run).join("metrics.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_run_sweeps_the_optimal_actions_and_says_what_it_found() {
    let folder = tempfile::tempdir().unwrap();
    let run = tiny(folder.path(), &SPECS, 30);
    for path in ["aent/seed-1", "cases/1-optimal/full_entropy/seed-0"] {
        let lines = metrics(folder.path(), path);
        assert_eq!(lines.len(), 30, "{path}");
        assert!(lines.iter().all(|line| (0.0..=1.0).contains(&line["reward"])), "{path}");
        assert!(lines[0]["clamped_entropy"] < lines[0]["entropy"], "{path}");
    }
    let bars = run.charts.iter().find_map(|chart| match chart {
        Chart::Bars(bars) => Some(bars),
        _ => None,
    });
    let bars = bars.unwrap();
    assert_eq!(bars.x, ["4", "1"]);
    assert_eq!(bars.groups.len(), 3);
    assert!(bars.groups.iter().flat_map(|group| &group.values).all(|value| value.is_finite()));
    assert!(run.findings[0].starts_with("Reconstruction, not reproduction"));
    assert_eq!(run.findings.iter().filter(|finding| finding.starts_with("Shape ")).count(), 5);
}

#[test]
fn the_gain_in_the_report_is_the_difference_of_the_last_rewards() {
    let folder = tempfile::tempdir().unwrap();
    let run = tiny(folder.path(), &SPECS[..3], 12);
    let last = |spec: &str, seed: u64| {
        metrics(folder.path(), &format!("{spec}/seed-{seed}")).last().unwrap()["reward"]
    };
    let gain = (0..2).map(|seed| last("full_entropy", seed) - last("no_entropy", seed)).sum::<f64>() / 2.0;
    let bars = run.charts.iter().find_map(|chart| match chart {
        Chart::Bars(bars) => bars.groups.iter().find(|group| group.name == "full_entropy"),
        _ => None,
    });
    assert!((bars.unwrap().values[0] - gain).abs() < 1e-12);
}

#[test]
fn a_run_cut_at_a_checkpoint_ends_with_the_numbers_of_one_that_was_not() {
    let [through, early] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    tiny(through.path(), &["aent"], 250);
    let run = Path::new("aent/seed-0");
    let metrics = through.path().join(run).join("metrics.jsonl");
    let whole = fs::read_to_string(&metrics).unwrap();
    tiny(early.path(), &["aent"], 200);
    // What a kill leaves: the last checkpoint, and lines of steps that it does not know.
    let checkpoint = run.join("checkpoint.safetensors");
    fs::copy(early.path().join(&checkpoint), through.path().join(&checkpoint)).unwrap();
    fs::write(&metrics, whole.replace("\"step\":249,", "\"step\":249,\"wrong\":1,")).unwrap();
    tiny(through.path(), &["aent"], 250);
    assert_eq!(fs::read_to_string(&metrics).unwrap(), whole);
}
