//! Coefficients where constants stand: each step is that of the file with the numbers written in.

use crate::{assert_says, batch, logits, number, numbers, session};
use aent::testing::on_ranks;
use aent::{Output, Session};
use tch::Kind;

/// Everything that can move: a term's argument, a set of tokens, a share, a reduction's argument, a controller's target.
const MOVING: &str = "
    controller widen = linear(from = 0.1, to = 0.4, steps = 3)
    controller keep = linear(from = 3, to = 1, steps = 2)
    let policy = clip_ppo(high = 2 * widen, low = 0.2)
    let entropy = clamped_entropy(top_k = keep)
    controller beta = band(signal = token_mean(entropy), target = widen .. widen + 0.1, step = 0.5, bounds = 0 .. 1, init = 0.2)
    loss = seq_mean_token_sum_norm(policy, length = 4 + keep) - beta * token_mean(entropy)
    metric clipped = token_mean(policy.clipped)
    metric low = quantile(log_prob, widen)
    metric few = token_mean(top_fraction(entropy, clamp(step / 4, 0.25, 1)))";

/// The same with the numbers of one step.
fn written(widen: f64, keep: f64, beta: f64, step: f64) -> String {
    format!(
        "
    let policy = clip_ppo(high = {high}, low = 0.2)
    let entropy = clamped_entropy(top_k = {keep})
    controller beta = band(signal = token_mean(entropy), target = {widen} .. {end}, step = 0.5, bounds = 0 .. 1, init = {beta})
    loss = seq_mean_token_sum_norm(policy, length = {length}) - beta * token_mean(entropy)
    metric clipped = token_mean(policy.clipped)
    metric low = quantile(log_prob, {widen})
    metric few = token_mean(top_fraction(entropy, {share}))",
        high = 2.0 * widen,
        end = widen + 0.1,
        length = 4.0 + keep,
        share = (step / 4.0).clamp(0.25, 1.0),
    )
}

/// Loss, gradient, metrics and the signal of a step.
fn told(session: &Session) -> (f64, Vec<f64>, Vec<f64>, Output) {
    let leaf = logits(0, Kind::Double);
    let output = session.forward(&batch(&leaf)).unwrap();
    output.backward().unwrap();
    let metrics = output.metrics().unwrap().into_values().collect();
    (number(output.loss()), numbers(leaf.grad()), metrics, output)
}

#[track_caller]
fn assert_same(found: &[f64], expected: &[f64], what: &str) {
    let gap = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(found.len() == expected.len() && gap < 1e-13, "{what}: {found:?} for {expected:?}");
}

#[test]
fn each_step_is_that_of_the_file_with_its_numbers() {
    let mut moving = session(MOVING);
    for step in 0..5 {
        let at = f64::from(step);
        let coefficients = moving.coefficients();
        let (widen, keep) = (0.1 + 0.1 * at.min(3.0), 3.0 - at.min(2.0));
        assert_same(&[coefficients["widen"], coefficients["keep"]], &[widen, keep], "the schedules");
        let mut fixed = session(&written(coefficients["widen"], keep, coefficients["beta"], at));
        let (loss, gradient, metrics, output) = told(&moving);
        let (expected_loss, expected_gradient, expected_metrics, expected) = told(&fixed);
        assert_same(&[loss], &[expected_loss], "the loss");
        assert_same(&gradient, &expected_gradient, "the gradient");
        assert_same(&metrics, &expected_metrics, "the metrics");
        moving.update(&output).unwrap();
        fixed.update(&expected).unwrap();
        // The target is the one that held in the step.
        assert_same(
            &[moving.coefficients()["beta"]],
            &[fixed.coefficients()["beta"]],
            "the steered coefficient",
        );
    }
}

#[test]
fn a_step_in_parts_and_over_ranks_moves_alike() {
    let text = MOVING;
    let mut whole = session(text);
    let (_, _, _, output) = told(&whole);
    whole.update(&output).unwrap();
    let (loss, gradient, metrics, _) = told(&whole);
    let mut cut = session(text);
    let (_, _, _, output) = told(&cut);
    cut.update(&output).unwrap();
    let leaf = logits(0, Kind::Double);
    let parts = batch(&leaf).split(2).unwrap();
    let mut step = cut.accumulate();
    for part in &parts {
        step.measure(part).unwrap();
    }
    for part in &parts {
        step.forward(part).unwrap().backward().unwrap();
    }
    let output = step.finish().unwrap();
    assert_same(&[number(output.loss())], &[loss], "the loss in parts");
    assert_same(&numbers(leaf.grad()), &gradient, "the gradient in parts");
    assert_same(
        &output.metrics().unwrap().into_values().collect::<Vec<_>>(),
        &metrics,
        "the metrics in parts",
    );
    let state = cut.state();
    let on_ranks = on_ranks(2, |group| {
        let mut session = session(text);
        session.restore(state.clone()).unwrap();
        let part = batch(&logits(0, Kind::Double)).split(2).unwrap().remove(group.rank());
        let (_, output) = session.forward_over(&part, group).unwrap();
        output.total().unwrap()
    });
    assert_same(&on_ranks, &[loss, loss], "the loss over ranks");
}

#[test]
fn a_restored_session_has_the_arguments_of_its_step() {
    let text = MOVING;
    let mut first = session(text);
    for _ in 0..2 {
        let output = told(&first).3;
        first.update(&output).unwrap();
    }
    let mut second = session(text);
    second.restore(first.state()).unwrap();
    assert_same(&[told(&second).0], &[told(&first).0], "the loss");
    let saved: aent::Program =
        serde_json::from_str(&serde_json::to_string(first.program()).unwrap()).unwrap();
    let mut third = Session::new(saved);
    assert_same(&[told(&third).0], &[told(&session(text)).0], "a saved program begins anew");
    third.restore(first.state()).unwrap();
    assert_same(&[told(&third).0], &[told(&first).0], "and goes on from a state");
}

#[test]
fn a_state_belongs_to_the_formula_of_an_argument() {
    let state = session(MOVING).state();
    let other = MOVING.replace("target = widen .. widen + 0.1", "target = widen .. widen + 0.2");
    let error = session(&other).restore(state).unwrap_err();
    assert_says(
        &error,
        &["`target` is widen .. widen + 0.2 here and widen .. widen + 0.1 in the saved state"],
    );
}

#[test]
fn equal_terms_that_move_apart_stay_apart() {
    let text = "
    controller a = linear(from = 3, to = 1, steps = 2)
    controller b = linear(from = 3, to = 2, steps = 1)
    loss = -token_mean(clamped_entropy(top_k = a) + clamped_entropy(top_k = 3))
    metric first = token_mean(clamped_entropy(top_k = a))
    metric again = token_mean(clamped_entropy(top_k = a))
    metric second = token_mean(clamped_entropy(top_k = b))
    metric third = token_mean(clamped_entropy(top_k = 3))";
    let mut session = session(text);
    for step in 0..3 {
        let (_, _, _, output) = told(&session);
        let metrics = output.metrics().unwrap();
        assert!((metrics["first"] - metrics["again"]).abs() < 1e-15);
        let expected = |k: i32| {
            let text = format!("loss = -token_mean(clamped_entropy(top_k = {k}))");
            -told(&crate::session(&text)).0
        };
        let [a, b] = [3 - step.min(2), 3 - step.min(1)];
        let found = [metrics["first"], metrics["second"], metrics["third"]];
        assert_same(&found, &[expected(a), expected(b), expected(3)], "the entropies");
        session.update(&output).unwrap();
    }
}

#[test]
fn the_calls_of_a_program_have_what_they_read_and_the_formulas_of_what_moves() {
    let session = session(MOVING);
    let calls = session.program().calls();
    let names: Vec<_> = calls.iter().map(|call| call.name).collect();
    assert_eq!(names, ["clip_ppo", "clamped_entropy"]);
    assert_eq!(calls[0].reads["advantages"], "advantages");
    assert_eq!(calls[0].args["low"], 0.2);
    assert_eq!(calls[0].args["high"]["moving"], "2 * widen");
    assert_eq!(calls[1].args["top_k"]["moving"], "keep");
    assert!(calls[1].args["drop"].is_null());
}
