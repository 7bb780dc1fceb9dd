//! What `Session::diagnose` says of a loss.

use crate::{batch, logits, number, numbers, session};
use aent::{Diagnosis, Summand};
use tch::{Kind, Tensor};

fn diagnosed(text: &str) -> Diagnosis {
    let batch = batch(&logits(0, Kind::Double))
        .with("values", Tensor::ones([2, 3], (Kind::Double, tch::Device::Cpu)));
    session(text).diagnose(&batch).unwrap()
}

#[track_caller]
fn summand<'a>(found: &'a Diagnosis, name: &str) -> &'a Summand {
    let named = |of: &&Summand| of.name.as_deref() == Some(&format!("let {name}"));
    found.summands.iter().find(named).unwrap_or_else(|| panic!("no `{name}` in {found:?}"))
}

/// The loss of a file and the norm of its gradient, computed as a step.
fn step(text: &str) -> (f64, f64) {
    let leaf = logits(0, Kind::Double);
    let values = Tensor::ones([2, 3], (Kind::Double, tch::Device::Cpu));
    let output = session(text).forward(&batch(&leaf).with("values", values)).unwrap();
    output.backward().unwrap();
    let norm = numbers(leaf.grad()).iter().map(|x| x * x).sum::<f64>().sqrt();
    (number(output.loss()), norm)
}

#[test]
fn summands_below_one_mean_have_the_value_and_gradient_that_each_has_alone() {
    let found = diagnosed(
        "let policy = clip_ppo(low = 0.2, high = 0.2)
        let spread = entropy()
        loss = token_mean(policy - 0.01 * spread)",
    );
    assert_eq!(found.summands.len(), 2, "{found:?}");
    for (name, alone) in
        [("policy", "loss = token_mean(clip_ppo())"), ("spread", "loss = -0.01 * token_mean(entropy())")]
    {
        let (value, norm) = step(alone);
        let found = summand(&found, name);
        assert!((found.value - value).abs() < 1e-12, "{name}: {} for {value}", found.value);
        assert!((found.gradients["logits"] - norm).abs() < 1e-12, "{name}: {:?} for {norm}", found.gradients);
    }
    let sum: f64 = found.summands.iter().map(|of| of.value).sum();
    assert!((sum - found.loss).abs() < 1e-12);
}

#[test]
fn a_summand_that_is_read_in_two_ways_is_not_torn_out() {
    let found = diagnosed(
        "let h = token_mean(entropy())
        loss = h + h ^ 2",
    );
    // Without `h`, its square would be zero too.
    assert_eq!(found.summands.len(), 1, "{found:?}");
    assert!((found.summands[0].value - found.loss).abs() < 1e-12 && found.loss > 0.0);
}

#[test]
fn below_a_reduction_that_is_not_linear_nothing_is_torn_apart() {
    let found =
        diagnosed("loss = batch_mean(group_std(seq_mean(log_prob) + seq_mean(entropy() * entropy())))");
    assert_eq!(found.summands.len(), 1, "{found:?}");
    assert!((found.summands[0].value - found.loss).abs() < 1e-12);
}

#[test]
fn each_field_has_its_own_norm() {
    let found = diagnosed(
        "let policy = token_mean(clip_ppo())
        let critic = token_mean((values - 3) ^ 2)
        loss = policy + 0.5 * critic",
    );
    let [policy, critic] = ["policy", "critic"].map(|name| summand(&found, name).gradients.clone());
    assert!(policy["logits"] > 0.0 && policy["values"] == 0.0, "{policy:?}");
    // d/dv 0.5 mean((v - 3)²) over four tokens is (1 - 3) / 4 each.
    assert!((critic["values"] - 1.0).abs() < 1e-12 && critic["logits"] == 0.0, "{critic:?}");
}

#[test]
fn bounds_have_the_share_of_tokens_where_they_bind() {
    let found = diagnosed(
        "let ratio = exp(clamp(log_prob - old_log_prob, -0.5, 0.5))
        loss = -token_mean(min(ratio, 1.2) * advantages) + token_mean(clip_ppo(low = 0.1, high = 0.1))",
    );
    let log_prob = logits(0, Kind::Double).log_softmax(-1, Kind::Double);
    let valid = [(0, 0, 0, -1.5), (0, 1, 3, -0.9), (0, 2, 1, -2.0), (1, 0, 2, -1.1)];
    let gaps = valid.map(|(b, t, action, old)| log_prob.double_value(&[b, t, action]) - old);
    let share = |binds: &dyn Fn(f64) -> bool| gaps.iter().filter(|gap| binds(**gap)).count() as f64 / 4.0;
    let of = |bound: &str, formula: &str| {
        let found = found.bounds.iter().find(|of| of.bound == bound && of.formula.starts_with(formula));
        found.unwrap_or_else(|| panic!("no {bound} of {formula}")).share
    };
    let low = share(&|gap| gap <= -0.5);
    let high = share(&|gap| gap >= 0.5);
    assert!(low + high > 0.0 && low + high < 1.0, "{gaps:?}");
    assert_eq!(of("low", "clamp"), low);
    assert_eq!(of("high", "clamp"), high);
    assert_eq!(of("high", "min"), share(&|gap| gap.clamp(-0.5, 0.5).exp() >= 1.2));
    assert!((0.0..=1.0).contains(&of("clipped", "clip_ppo")));
}

#[test]
fn the_callers_tensors_keep_their_gradients_and_values() {
    let leaf = logits(0, Kind::Double);
    let before = numbers(leaf.shallow_clone());
    let options = aent::Options { overwrite_logits: true, ..Default::default() };
    let program = aent::compile("loss = -token_mean(entropy())").unwrap();
    let found = aent::Session::with(program, options).diagnose(&batch(&leaf)).unwrap();
    assert!(found.summands[0].gradients["logits"] > 0.0);
    assert!(!leaf.grad().defined());
    assert_eq!(numbers(leaf), before);
}

#[test]
fn numbers_that_are_not_finite_are_explained() {
    let found = diagnosed("let odd = token_mean(log_prob / (advantages - advantages))\nloss = odd");
    assert_eq!(found.nonfinite.len(), 1);
    assert!(found.nonfinite[0].cause.starts_with("division of"), "{:?}", found.nonfinite);
}
