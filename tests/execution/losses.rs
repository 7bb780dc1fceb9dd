//! Several losses with names, and assertions: each with its own gradient and its own words, however the step is cut.

use crate::{batch, logits, number, numbers, session};
use aent::testing::on_ranks;
use aent::{Batch, compile};
use tch::{Kind, Tensor};

const BOTH: &str = "
    loss policy = token_mean(clip_ppo())
    loss critic = 0.5 * token_mean((values - advantages) ^ 2)";

/// The same where neither is a sum over the parts of a step.
const WHOLE: &str = "
    loss policy = token_mean(clip_ppo()) * (1 + token_mean(entropy()) ^ 2)
    loss critic = token_mean((values - advantages) ^ 2) ^ 2";

fn values() -> Tensor {
    let values = [0.5, -1.0, 2.0, 0.25, f64::NAN, 3.0];
    Tensor::from_slice(&values).view([2, 3]).set_requires_grad(true)
}

fn with_values(logits: &Tensor, values: &Tensor) -> Batch {
    batch(logits).with("values", values.shallow_clone())
}

/// The gradients of one loss of a file, by the file that has it alone.
fn alone(text: &str, name: &str) -> (f64, Vec<f64>, Vec<f64>) {
    let head = format!("loss {name} = ");
    let formula = text.split(&head).nth(1).unwrap().lines().next().unwrap();
    let (logits, values) = (logits(0, Kind::Double), values());
    let output = session(&format!("loss = {formula}")).forward(&with_values(&logits, &values)).unwrap();
    output.backward().unwrap();
    let gradient = |leaf: &Tensor| {
        let gradient = leaf.grad();
        if gradient.defined() { numbers(gradient) } else { vec![0.0; leaf.numel()] }
    };
    (number(output.loss()), gradient(&logits), gradient(&values))
}

#[track_caller]
fn assert_close(found: &[f64], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let gap = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(gap < 1e-12, "{what}: {found:?} for {expected:?}");
}

#[test]
fn each_loss_has_the_value_and_the_gradient_that_it_has_alone() {
    for text in [BOTH, WHOLE] {
        let (policy, critic) = (alone(text, "policy"), alone(text, "critic"));
        let (logits, values) = (logits(0, Kind::Double), values());
        let output = session(text).forward(&with_values(&logits, &values)).unwrap();
        assert_eq!(output.losses().map(|(name, _)| name).collect::<Vec<_>>(), ["policy", "critic"]);
        let totals = output.totals().unwrap();
        assert_close(&[totals["policy"], totals["critic"]], &[policy.0, critic.0], text);
        assert_close(&[output.total().unwrap()], &[policy.0 + critic.0], text);
        let (_, loss) = output.losses().find(|(name, _)| *name == "critic").unwrap();
        loss.backward().unwrap();
        assert!(!logits.grad().defined(), "the critic's loss does not reach the logits");
        assert_close(&numbers(values.grad()), &critic.2, text);
    }
}

#[test]
fn shares_of_each_loss_add_up_over_parts() {
    for text in [BOTH, WHOLE] {
        let (policy, critic) = (alone(text, "policy"), alone(text, "critic"));
        let (logits, values) = (logits(0, Kind::Double), values());
        let session = session(text);
        let parts = with_values(&logits, &values).split(2).unwrap();
        let mut step = session.accumulate();
        for part in &parts {
            step.measure(part).unwrap();
        }
        for part in &parts {
            let share = step.forward(part).unwrap();
            let (_, loss) = share.losses().find(|(name, _)| *name == "policy").unwrap();
            loss.backward().unwrap();
        }
        let output = step.finish().unwrap();
        assert_close(&numbers(logits.grad()), &policy.1, text);
        let totals = output.totals().unwrap();
        assert_close(&[totals["policy"], totals["critic"]], &[policy.0, critic.0], text);
        assert_close(&[output.total().unwrap()], &[policy.0 + critic.0], text);
    }
}

#[test]
fn ranks_agree_on_each_loss() {
    for text in [BOTH, WHOLE] {
        let (policy, critic) = (alone(text, "policy"), alone(text, "critic"));
        let found = on_ranks(2, |group| {
            let rank = group.rank();
            let (logits, values) = (logits(0, Kind::Double), values());
            let part = with_values(&logits, &values).split(2).unwrap().remove(rank);
            let (share, output) = session(text).forward_over(&part, group).unwrap();
            let (_, loss) = share.losses().find(|(name, _)| *name == "critic").unwrap();
            loss.backward().unwrap();
            (output.totals().unwrap(), numbers(values.grad()))
        });
        let sum: Vec<f64> = found[0].1.iter().zip(&found[1].1).map(|(a, b)| a + b).collect();
        assert_close(&sum, &critic.2, text);
        for (totals, _) in &found {
            assert_close(&[totals["policy"], totals["critic"]], &[policy.0, critic.0], text);
        }
    }
}

const ASSERTED: &str = "loss = token_mean(clip_ppo())
assert token_max(advantages) < 0.75, \"advantages explode\"
assert token_mean(advantages) < 0.75, \"the mean is high\"
assert token_mean(entropy()) > 0 and token_min(advantages) > -1, \"two at once\"";

#[test]
fn an_assertion_that_does_not_hold_is_a_finding_with_what_was_found() {
    // Of the tokens that count, the advantages are 1, -0.5, 0.25 and -2.
    let expected = [
        "advantages explode: expected `token_max(advantages) < 0.75`, found 1, spec.aent:2:8",
        "two at once: expected `token_mean(entropy()) > 0 and token_min(advantages) > -1`, spec.aent:4:8",
    ];
    let program = || aent::Compiler::new().compile("spec.aent", ASSERTED).unwrap();
    let session = aent::Session::new(program());
    let leaf = logits(0, Kind::Double);
    let output = session.forward(&batch(&leaf)).unwrap();
    assert_eq!(output.findings().unwrap(), expected);
    let mut step = session.accumulate();
    let parts = batch(&leaf).split(2).unwrap();
    for part in &parts {
        step.measure(part).unwrap();
    }
    for part in &parts {
        step.forward(part).unwrap();
    }
    assert_eq!(step.finish().unwrap().findings().unwrap(), expected);
    let on_ranks = on_ranks(2, |group| {
        let part = batch(&logits(0, Kind::Double)).split(2).unwrap().remove(group.rank());
        let session = aent::Session::new(program());
        session.forward_over(&part, group).unwrap().1.findings().unwrap()
    });
    assert_eq!(on_ranks, [expected, expected]);
}

#[test]
fn a_saved_program_keeps_its_assertions_and_losses() {
    let text =
        format!("{}\nloss critic = token_mean(values ^ 2)", ASSERTED.replace("loss =", "loss policy ="));
    let saved = serde_json::to_string(&compile(&text).unwrap()).unwrap();
    let session = aent::Session::new(serde_json::from_str(&saved).unwrap());
    let output = session.forward(&with_values(&logits(0, Kind::Double), &values())).unwrap();
    assert_eq!(output.totals().unwrap().len(), 2);
    let findings = output.findings().unwrap();
    assert_eq!(findings[0], "advantages explode: expected `token_max(advantages) < 0.75`, found 1");
}

#[test]
fn step_counts_the_steps_before_this_one() {
    let text = "loss = token_mean(clip_ppo()) * min(step / 2, 1)\nmetric at = step";
    let mut session = session(text);
    for expected in 0..4 {
        let output = session.forward(&batch(&logits(0, Kind::Double))).unwrap();
        assert_eq!(output.metrics().unwrap()["at"], f64::from(expected));
        if expected == 0 {
            assert_eq!(output.total().unwrap(), 0.0);
        }
        session.update(&output).unwrap();
    }
}
