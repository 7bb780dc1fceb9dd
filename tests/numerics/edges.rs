//! Batches at the edge: nothing valid, one token, one word, ties, banned tokens.

use crate::reference::{self, Set};
use crate::{assert_near, named, numbers, session, step};
use aent::Batch;
use aent::testing::{Case, Extent, Outcome, sample, smooth};
use tch::{Device, Kind, Tensor};

/// Every term and every reduction of a policy at once.
const EVERYTHING: &str = "
    let policy  = clip_ppo(dual = 3, delta = 4)
    let clamped = clamped_entropy(drop = 30%)
    let top     = clamped_entropy(top_k = 50)
    let nucleus = clamped_entropy(top_p = 90%)
    let likely  = clamped_entropy(min_p = 5%)
    let others  = renyi_entropy(alpha = 2) + tsallis_entropy(q = 2) + varentropy() + mass_entropy(top_k = 2) + mass(top_k = 2)
    let grouped = group_std(seq_sum(log_prob)) + group_mean(seq_mean(log_prob))
                + group_sum(seq_sum(log_prob)) + group_max(seq_sum(log_prob))
                + group_min(seq_min(log_prob)) + seq_max(log_prob) + seq_std(log_prob)
                + group_rank(rewards) + length + pass_at_k(group_sum(rewards > 0), group_sum(1), k = 2)
    loss = token_mean(policy) + seq_mean_token_mean(kl()) + seq_mean_token_sum(clip_value())
         - 0.1 * token_mean(entropy()) - 0.1 * token_mean(clamped + top + nucleus + likely)
         + token_mean(clip_ppo(advantages = gae(lam = 0.9))) - 0.1 * token_mean(others)
         + token_mean(cumsum(log_prob) + reverse_cumsum(entropy(), discount = 0.9) + position)
         + token_max(log_prob) - token_min(entropy()) + token_mean(log_prob * vtrace(lam = 0.9))
         + batch_mean(grouped) + token_sum(kl(estimator = \"k2\")) + seq_mean_token_sum_norm(log_prob())
    metric clipped = token_mean(policy.clipped)
    metric target  = token_mean(vtrace(lam = 0.9).returns)
    metric largest = quantile(entropy(), 0.5)";

fn outcome(case: &Case, kind: Kind) -> Outcome {
    Outcome::of(&session(EVERYTHING), case, kind).expect("the case is whole")
}

fn case(sequences: usize, width: usize, vocabulary: usize) -> Case {
    let mut case = sample(&smooth(Extent::exactly(sequences, width, vocabulary)), 1).remove(0);
    case.mask.fill(true);
    case
}

/// One row of logits with the first token as the action.
fn row(expr: &str, logits: &[f64], kind: Kind) -> (Vec<f64>, Vec<f64>) {
    let logits =
        Tensor::from_slice(logits).to_kind(kind).view([1, 1, logits.len() as i64]).set_requires_grad(true);
    let batch = Batch::new()
        .with("logits", logits.shallow_clone())
        .with("actions", Tensor::zeros([1, 1], (Kind::Int64, Device::Cpu)))
        .with("response_mask", Tensor::ones([1, 1], (Kind::Bool, Device::Cpu)));
    let output = step(&format!("let value = {expr}\nloss = token_mean(value)"), &batch);
    output.backward().expect("the loss reaches the logits");
    (numbers(named(&output, "value")), numbers(logits.grad()))
}

#[test]
fn nothing_valid_gives_a_loss_of_zero_and_a_gradient_of_zero() {
    for kind in [Kind::Double, Kind::Float, Kind::BFloat16, Kind::Half] {
        let mut case = case(3, 4, 5);
        case.mask.fill(false);
        let empty = outcome(&case.poisoned(), kind);
        assert!(empty.loss == 0.0);
        assert!(empty.logits_gradient.iter().chain(&empty.values_gradient).all(|gradient| *gradient == 0.0));
        assert!(empty.metrics.values().all(|metric| metric.is_finite()), "{:?}", empty.metrics);
    }
}

#[test]
fn what_is_masked_out_does_not_matter() {
    for case in sample(&aent::testing::rough(Extent::default()), 40) {
        assert_eq!(outcome(&case.poisoned(), Kind::Double), outcome(&case, Kind::Double));
    }
}

#[test]
fn one_token_is_enough() {
    let outcome = outcome(&case(1, 1, 5), Kind::Double);
    assert!(outcome.numbers().all(f64::is_finite), "{outcome:?}");
}

#[test]
fn a_vocabulary_of_one_word_leaves_no_choice() {
    let case = case(2, 3, 1);
    let outcome = outcome(&case, Kind::Double);
    assert!(outcome.numbers().all(f64::is_finite));
    assert_near(&outcome.logits_gradient, &[0.0; 6], 1e-15, "gradient");
    for expr in ["log_prob()", "entropy()", "clamped_entropy(drop = 90%)", "clamped_entropy(top_k = 3)"] {
        assert_eq!(row(expr, &[7.0], Kind::Double), (vec![0.0], vec![0.0]), "{expr}");
    }
}

#[test]
fn more_tokens_than_there_are_is_all_of_them() {
    let logits = [1.0, -0.5, 0.25, 2.0];
    let (value, gradient) = row("clamped_entropy(top_k = 50)", &logits, Kind::Double);
    assert_near(&value, &[reference::entropy(&logits, Set::All)], 1e-14, "value");
    assert_near(&gradient, &reference::entropy_gradient(&logits, Set::All), 1e-14, "gradient");
}

#[test]
fn ties_at_the_border_go_to_the_lower_token_id() {
    let logits = [0.0, 1.0, 0.0, 0.0, 1.0];
    for (expr, set) in [
        ("clamped_entropy(top_k = 3)", Set::TopK(3)),
        ("clamped_entropy(drop = 40%)", Set::Drop(0.4)),
        ("clamped_entropy(top_p = 80%)", Set::TopP(0.8)),
    ] {
        let (value, gradient) = row(expr, &logits, Kind::Double);
        assert_near(&value, &[reference::entropy(&logits, set)], 1e-14, expr);
        assert_near(&gradient, &reference::entropy_gradient(&logits, set), 1e-14, expr);
    }
}

#[test]
fn equal_logits_have_the_largest_entropy_and_no_gradient() {
    for kind in [Kind::Double, Kind::Float, Kind::BFloat16, Kind::Half] {
        let (value, gradient) = row("clamped_entropy(drop = 40%)", &[2.0; 5], kind);
        assert_near(&value, &[3f64.ln()], 1e-6, "value");
        assert_near(&gradient, &[0.0; 5], 1e-6, "gradient");
    }
}

#[test]
fn banned_tokens_add_nothing() {
    let inf = f64::NEG_INFINITY;
    let (value, gradient) = row("entropy()", &[0.0, 0.0, inf], Kind::Double);
    assert_near(&value, &[2f64.ln()], 1e-15, "value");
    assert_near(&gradient, &[0.0; 3], 1e-15, "gradient");
    for (expr, set) in [
        ("entropy()", Set::All),
        ("clamped_entropy(drop = 25%)", Set::Drop(0.25)),
        ("clamped_entropy(top_k = 3)", Set::TopK(3)),
        ("clamped_entropy(top_p = 99%)", Set::TopP(0.99)),
        ("clamped_entropy(min_p = 1%)", Set::MinP(0.01)),
    ] {
        let logits = [0.5, inf, 1.0, inf];
        let (value, gradient) = row(expr, &logits, Kind::Double);
        assert_near(&value, &[reference::entropy(&logits, set)], 1e-14, expr);
        assert_near(&gradient, &reference::entropy_gradient(&logits, set), 1e-14, expr);
    }
}

#[test]
fn one_certain_token_has_no_entropy() {
    let (value, gradient) = row("entropy()", &[500.0, 0.0, -500.0], Kind::Float);
    assert_near(&value, &[0.0], 1e-6, "value");
    assert_near(&gradient, &[0.0; 3], 1e-6, "gradient");
}
