//! Steps in parts: the misuse that is refused, and counts that the caller knows.

use crate::{PPO, assert_says, batch, logits, number, numbers, plain, session, without};
use aent::{Accumulation, Batch, Error, Session};
use tch::{Device, Kind, Tensor};

const RATIO_OF_MEANS: &str = "loss = token_mean(log_prob) / (token_mean(entropy()) + 1)";
const GROUPED: &str = "loss = token_mean((rewards - group_mean(rewards)) * log_prob)";

/// The batch as two parts of one sequence each.
fn halves() -> [Batch; 2] {
    plain().split(2).unwrap().try_into().unwrap()
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(result: aent::Result<T>, words: &[&str]) {
    let error = result.expect_err("the step is misused");
    assert!(matches!(error, Error::Step(_)), "{error}");
    assert_says(&error, words);
}

#[test]
fn a_part_has_to_be_measured_first() {
    for text in [PPO, GROUPED, RATIO_OF_MEANS] {
        let session = session(text);
        let mut step = session.accumulate();
        assert_refused(step.step(&plain()), &["part 1", "not measured"]);
        let [first, second] = halves();
        let mut step = session.accumulate();
        step.measure(&first).unwrap();
        step.step(&first).unwrap();
        assert_refused(step.step(&second), &["part 2", "expected 1 part"]);
        assert_refused(step.measure(&second), &["before the first one is stepped"]);
    }
}

#[test]
fn a_part_has_to_be_the_one_that_was_measured() {
    let session = session(PPO);
    let mut step = session.accumulate();
    step.measure(&plain()).unwrap();
    assert_refused(step.step(&halves()[0]), &["part 1", "(2, 3)", "(1, 3)"]);
}

#[test]
fn a_step_is_finished_when_it_is_whole() {
    let session = session(PPO);
    assert_refused(session.accumulate().finish(), &["0 of 0"]);
    let [first, second] = halves();
    let mut step = session.accumulate();
    step.measure(&first).unwrap();
    step.measure(&second).unwrap();
    step.step(&first).unwrap();
    assert_refused(step.finish(), &["1 of 2"]);
}

#[test]
fn a_part_that_fails_can_be_given_again() {
    let session = session(RATIO_OF_MEANS);
    let [first, second] = halves();
    let mut step = session.accumulate();
    step.measure(&first).unwrap();
    step.measure(&second).unwrap();
    let broken = halves()[0]
        .iter()
        .filter(|(name, _)| *name != "actions")
        .fold(Batch::new(), |batch, (name, tensor)| batch.with(name, tensor.shallow_clone()));
    assert!(matches!(step.step(&broken), Err(Error::MissingField { .. })));
    step.step(&first).unwrap();
    step.step(&second).unwrap();
    let whole = session.step(&plain()).unwrap();
    assert!((number(step.finish().unwrap().loss()) - number(whole.loss())).abs() < 1e-6);
}

#[test]
fn an_error_in_a_part_is_the_error_of_a_batch() {
    for text in [GROUPED, RATIO_OF_MEANS] {
        let session = session(text);
        let mut step = session.accumulate();
        let nothing = Batch::new().with("response_mask", Tensor::ones([1, 3], (Kind::Bool, Device::Cpu)));
        assert!(matches!(step.measure(&nothing), Err(Error::MissingField { .. })));
        // What was refused is not part of the step.
        step.measure(&plain()).unwrap();
        step.step(&plain()).unwrap();
        step.finish().unwrap();
    }
}

#[test]
fn counts_may_come_from_the_caller() {
    let leaf = logits(0, Kind::Double);
    let text =
        "loss = token_mean(clip_ppo()) - seq_mean_token_sum_norm(entropy()) + seq_mean_token_mean(log_prob)";
    let session = session(text);
    let whole = session.step(&batch(&leaf)).unwrap();
    whole.backward().unwrap();
    let expected = numbers(&leaf.grad());
    let leaf = logits(0, Kind::Double);
    let mut step = session.accumulate().with_counts(4, 2, 3).unwrap();
    for part in batch(&leaf).split(2).unwrap() {
        step.step(&part).unwrap().backward().unwrap();
    }
    let output = step.finish().unwrap();
    assert!((number(output.loss()) - number(whole.loss())).abs() < 1e-14);
    assert_eq!(output.tokens().unwrap(), 4);
    for (found, expected) in numbers(&leaf.grad()).iter().zip(expected) {
        assert!((found - expected).abs() < 1e-14);
    }
}

#[test]
fn counts_do_not_make_up_for_what_has_to_be_seen() {
    for (text, kind) in [(GROUPED, "Fields"), (RATIO_OF_MEANS, "Model")] {
        let session = session(text);
        assert_refused(session.accumulate().with_counts(4, 2, 3), &["`measure`", kind]);
    }
    let session = session(PPO);
    let mut step = session.accumulate().with_counts(4, 2, 3).unwrap();
    assert_refused(step.measure(&plain()), &["before"]);
    let step = session.accumulate().with_counts(4, 2, 3).unwrap();
    assert_refused(step.finish(), &["not whole"]);
}

#[test]
fn a_part_without_a_token_that_counts_adds_nothing() {
    for text in [PPO, GROUPED, RATIO_OF_MEANS] {
        let session = session(text);
        let expected = number(session.step(&plain()).unwrap().loss());
        let empty = plain().with("response_mask", Tensor::zeros([2, 3], (Kind::Bool, Device::Cpu)));
        let mut step = session.accumulate();
        for part in [&empty, &plain(), &empty] {
            step.measure(part).unwrap();
        }
        let mut sum = 0.0;
        for part in [&empty, &plain(), &empty] {
            let share = step.step(part).unwrap();
            share.backward().unwrap();
            sum += number(share.loss());
        }
        assert!(
            (sum - expected).abs() < 1e-6 && (number(step.finish().unwrap().loss()) - expected).abs() < 1e-6
        );
    }
}

#[test]
fn gradients_of_the_first_pass_leave_the_leaves_alone() {
    let leaf = logits(0, Kind::Double);
    let session = session(RATIO_OF_MEANS);
    let mut step = session.accumulate();
    step.measure(&batch(&leaf)).unwrap();
    assert!(!leaf.grad().defined());
    let share = step.step(&batch(&leaf)).unwrap();
    assert!(!leaf.grad().defined(), "only `backward` gives gradients");
    share.backward().unwrap();
    assert!(leaf.grad().defined());
}

#[test]
fn a_session_steps_the_same_whether_a_guard_is_up_or_not() {
    let session: Session = session(RATIO_OF_MEANS);
    let measured = |guarded: bool| {
        let leaf = logits(0, Kind::Double);
        let mut step = session.accumulate();
        let part = batch(&leaf);
        if guarded { tch::no_grad(|| step.measure(&part)) } else { step.measure(&part) }.unwrap();
        step.step(&part).unwrap().backward().unwrap();
        numbers(&leaf.grad())
    };
    assert_eq!(measured(true), measured(false));
}

#[test]
fn sessions_and_steps_go_from_thread_to_thread() {
    fn sent<T: Send>() {}
    fn shared<T: Sync>() {}
    sent::<Session>();
    shared::<Session>();
    sent::<Accumulation>();
}

#[test]
fn a_step_in_parts_needs_its_session_no_more_and_keeps_its_coefficients() {
    let mut session = session(
        "controller beta = linear(from = 1, to = 0, steps = 2)
        loss = beta * token_mean(log_prob)",
    );
    let whole = session.step(&plain()).unwrap();
    let mut step = session.accumulate();
    session.observe(&whole).unwrap();
    drop(session);
    step.measure(&plain()).unwrap();
    assert_eq!(number(step.step(&plain()).unwrap().loss()), number(whole.loss()));
}

#[test]
fn a_part_is_measured_without_the_fields_that_span_nothing() {
    let text = "loss = token_mean(clip_ppo() * (rewards - group_mean(rewards)))";
    let session = session(text);
    let mut step = session.accumulate();
    step.measure(&without("old_log_prob")).unwrap();
    let share = step.step(&plain()).unwrap();
    assert_eq!(number(share.loss()), number(session.step(&plain()).unwrap().loss()));
    let mut step = session.accumulate();
    assert_says(&step.measure(&without("rewards")).unwrap_err(), &["`rewards`"]);
}
