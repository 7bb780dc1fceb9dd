//! Steps in parts: the misuse that is refused, and counts that the caller knows.

use crate::{PPO, assert_says, batch, field, logits, number, numbers, plain, session, without};
use aent::{Accumulation, Batch, Counts, Error, Session};
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
        assert_refused(step.forward(&plain()), &["part 1", "not measured"]);
        let [first, second] = halves();
        let mut step = session.accumulate();
        step.measure(&first).unwrap();
        step.forward(&first).unwrap();
        assert_refused(step.forward(&second), &["part 2", "expected 1 part"]);
        assert_refused(step.measure(&second), &["before the first one is stepped"]);
    }
}

#[test]
fn a_part_has_to_be_the_one_that_was_measured() {
    let session = session(PPO);
    let mut step = session.accumulate();
    step.measure(&plain()).unwrap();
    assert_refused(step.forward(&halves()[0]), &["part 1", "(2, 3)", "(1, 3)"]);
}

/// Four sequences of two prompts, so that parts differ in what spans the step.
fn quarters(leaf: &Tensor) -> Vec<Batch> {
    let row = |numbers: [f64; 4]| Tensor::from_slice(&numbers);
    let twice = |tensor: Tensor| Tensor::cat(&[tensor.shallow_clone(), tensor], 0);
    let half = batch(&logits(0, Kind::Double));
    let field = |name: &str| twice(field(&half, name));
    let all = Batch::new()
        .with("logits", leaf.shallow_clone())
        .with("actions", field("actions"))
        .with("response_mask", field("response_mask"))
        .with("old_log_prob", field("old_log_prob") - row([0.0, 0.1, 0.2, 0.3]).unsqueeze(1))
        .with("advantages", field("advantages"))
        .with("rewards", row([1.0, 0.0, 3.0, -2.0]))
        .with("group", Tensor::from_slice(&[7i64, 8, 7, 8]));
    all.split(4).unwrap()
}

fn quarters_leaf() -> Tensor {
    let double = |seed| logits(seed, Kind::Double).detach();
    Tensor::cat(&[double(0), double(5)], 0).set_requires_grad(true)
}

const SPANNING: [&str; 4] = [
    PPO,
    "loss = token_mean((rewards - group_mean(rewards)) * clip_ppo())",
    "loss = token_mean(where(top_fraction(entropy(), 50%), log_prob * rewards, 0))",
    RATIO_OF_MEANS,
];

#[test]
fn parts_come_in_any_order() {
    for text in SPANNING {
        let session = session(text);
        let gradient = |order: [usize; 4]| {
            let leaf = quarters_leaf();
            let parts = quarters(&leaf);
            let mut step = session.accumulate();
            for part in &parts {
                step.measure(part).unwrap();
            }
            for index in order {
                step.forward(&parts[index]).unwrap().backward().unwrap();
            }
            (number(step.finish().unwrap().loss()), numbers(leaf.grad()))
        };
        let (total, expected) = gradient([0, 1, 2, 3]);
        assert!(expected.iter().any(|x| x.abs() > 1e-3), "{text}");
        for order in [[3, 2, 1, 0], [2, 0, 3, 1], [1, 0, 3, 2]] {
            let (found, gradient) = gradient(order);
            assert!((found - total).abs() < 1e-14, "{text}");
            for (found, expected) in gradient.iter().zip(&expected) {
                assert!((found - expected).abs() < 1e-14, "{order:?}: {found} or {expected}\n{text}");
            }
        }
    }
}

#[test]
fn another_part_than_was_measured_is_refused_by_what_differs() {
    let leaf = quarters_leaf();
    let mask = || Tensor::from_slice(&[true, true, false]).view([1, 3]);
    for (text, name, other) in [
        (PPO, "response_mask", mask()),
        (PPO, "actions", Tensor::from_slice(&[3i64, 3, 3]).view([1, 3])),
        (SPANNING[1], "response_mask", mask()),
        (SPANNING[1], "rewards", Tensor::from_slice(&[2.0])),
        (SPANNING[1], "group", Tensor::from_slice(&[9i64])),
        (SPANNING[2], "rewards", Tensor::from_slice(&[2.0])),
        (SPANNING[2], "actions", Tensor::from_slice(&[3i64, 3, 3]).view([1, 3])),
        (RATIO_OF_MEANS, "actions", Tensor::from_slice(&[3i64, 3, 3]).view([1, 3])),
    ] {
        let session = session(text);
        let parts = quarters(&leaf);
        let mut step = session.accumulate();
        step.measure(&parts[0]).unwrap();
        step.measure(&parts[1]).unwrap();
        let stranger = quarters(&leaf).swap_remove(0).with(name, other);
        assert_refused(step.forward(&stranger), &["part 1", &format!("`{name}`"), "measured"]);
        // What was measured may still come.
        step.forward(&parts[1]).unwrap();
        assert_refused(step.forward(&parts[1]), &["part 2", "measured part 2, which gave its share before"]);
        step.forward(&parts[0]).unwrap();
        assert_refused(step.forward(&parts[0]), &["part 3", "expected 2 parts"]);
    }
}

#[test]
fn a_model_that_moved_since_a_part_was_measured_is_refused() {
    let session = session(RATIO_OF_MEANS);
    let leaf = quarters_leaf();
    let mut step = session.accumulate();
    step.measure(&quarters(&leaf)[0]).unwrap();
    let moved = quarters(&(&leaf * -3.0).detach().set_requires_grad(true)).swap_remove(0);
    assert_refused(step.forward(&moved), &["part 1", "`log_prob`", "dropout"]);
    // Rounding is no other model.
    let rounded = quarters(&(&leaf + 1e-3).detach().set_requires_grad(true)).swap_remove(0);
    step.forward(&rounded).unwrap();
}

#[test]
fn what_spans_an_f64_step_is_f64_also_where_parts_are_measured_without_logits() {
    let session =
        session("loss = token_mean(log_prob * (rewards - group_mean(rewards)) / (group_std(rewards) + 0.1))");
    let leaf = quarters_leaf();
    let parts = quarters(&leaf);
    let names = ["logits", "actions", "response_mask", "rewards", "group"];
    let joined = |name: &str| {
        let all: Vec<Tensor> = parts.iter().map(|part| field(part, name)).collect();
        Tensor::cat(&all, 0)
    };
    let whole = names.iter().fold(Batch::new(), |of, name| of.with(*name, joined(name)));
    session.forward(&whole).unwrap().backward().unwrap();
    let expected = numbers(leaf.grad());
    for measured in [&names[..], &names[1..]] {
        let leaf = quarters_leaf();
        let parts = quarters(&leaf);
        let mut step = session.accumulate();
        for part in &parts {
            let field = |of: Batch, name: &&str| of.with(*name, part.get(name).unwrap());
            step.measure(&measured.iter().fold(Batch::new(), field)).unwrap();
        }
        for part in &parts {
            step.forward(part).unwrap().backward().unwrap();
        }
        for (found, expected) in numbers(leaf.grad()).iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-15, "{found} or {expected}");
        }
    }
}

fn counted((tokens, sequences, width): (i64, i64, i64)) -> Counts {
    Counts { tokens: Some(tokens), sequences: Some(sequences), width: Some(width), ..Counts::default() }
}

#[test]
fn counts_of_the_caller_are_held_against_the_parts() {
    let session = session(PPO);
    for counts in [(-3, 2, 3), (4, -2, 3), (4, 2, -3)] {
        let refused = session.accumulate().with_counts(counted(counts));
        assert_refused(refused, &["expected a count of 0 or more", "found -"]);
    }
    for (tokens, sequences, words) in
        [(1, 2, ["`tokens`", "counted 1 ", "bring 4 "]), (4, 1, ["`sequences`", "counted 1 ", "bring 2 "])]
    {
        let mut step = session.accumulate().with_counts(counted((tokens, sequences, 3))).unwrap();
        assert_refused(step.forward(&plain()), &words);
    }
    for (tokens, sequences, words) in [
        (1_000_000_000, 2, ["`tokens`", "counted 1000000000 ", "brought 4"]),
        (4, 9, ["`sequences`", "counted 9 ", "brought 2 "]),
    ] {
        let mut step = session.accumulate().with_counts(counted((tokens, sequences, 3))).unwrap();
        step.forward(&plain()).unwrap();
        assert_refused(step.finish(), &words);
    }
    // A sequence without a valid token may be counted, as verl does.
    let empty = plain()
        .with("response_mask", Tensor::from_slice(&[true, true, true, false, false, false]).view([2, 3]));
    for sequences in [1, 2] {
        let mut step = session.accumulate().with_counts(counted((3, sequences, 3))).unwrap();
        step.forward(&empty).unwrap();
        step.finish().unwrap();
    }
}

#[test]
fn a_step_is_finished_when_it_is_whole() {
    let session = session(PPO);
    assert_refused(session.accumulate().finish(), &["0 of 0"]);
    let [first, second] = halves();
    let mut step = session.accumulate();
    step.measure(&first).unwrap();
    step.measure(&second).unwrap();
    step.forward(&first).unwrap();
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
        .fold(Batch::new(), |batch, (name, tensor)| batch.with(name, tensor));
    assert!(matches!(step.forward(&broken), Err(Error::MissingField { .. })));
    step.forward(&first).unwrap();
    step.forward(&second).unwrap();
    let whole = session.forward(&plain()).unwrap();
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
        step.forward(&plain()).unwrap();
        step.finish().unwrap();
    }
}

#[test]
fn counts_may_come_from_the_caller() {
    let leaf = logits(0, Kind::Double);
    let text =
        "loss = token_mean(clip_ppo()) - seq_mean_token_sum_norm(entropy()) + seq_mean_token_mean(log_prob)";
    let session = session(text);
    let whole = session.forward(&batch(&leaf)).unwrap();
    whole.backward().unwrap();
    let expected = numbers(leaf.grad());
    let leaf = logits(0, Kind::Double);
    let mut step = session.accumulate().with_counts(counted((4, 2, 3))).unwrap();
    for part in batch(&leaf).split(2).unwrap() {
        step.forward(&part).unwrap().backward().unwrap();
    }
    let output = step.finish().unwrap();
    assert!((number(output.loss()) - number(whole.loss())).abs() < 1e-14);
    assert_eq!(output.tokens().unwrap(), 4);
    for (found, expected) in numbers(leaf.grad()).iter().zip(expected) {
        assert!((found - expected).abs() < 1e-14);
    }
}

#[test]
fn counts_do_not_make_up_for_what_has_to_be_seen() {
    for (text, words) in [
        (
            GROUPED,
            [
                "all samples of a group together for `group_mean(rewards)`, spec.aent:1:30",
                "give `groups` by `group`",
            ],
        ),
        (RATIO_OF_MEANS, ["what the model says of the whole step", "`measure` the parts"]),
        (
            "loss = token_mean(log_prob * quantile(rewards, 50%))",
            ["the batch fields of the whole step", "`measure` the parts"],
        ),
    ] {
        let session = session(text);
        assert_refused(session.accumulate().with_counts(counted((4, 2, 3))), &words);
    }
    let session = session(PPO);
    let mut step = session.accumulate().with_counts(counted((4, 2, 3))).unwrap();
    assert_refused(step.measure(&plain()), &["before"]);
    let step = session.accumulate().with_counts(counted((4, 2, 3))).unwrap();
    assert_refused(step.finish(), &["not whole"]);
}

#[test]
fn a_part_without_a_token_that_counts_adds_nothing() {
    for text in [PPO, GROUPED, RATIO_OF_MEANS] {
        let session = session(text);
        let expected = number(session.forward(&plain()).unwrap().loss());
        let empty = plain().with("response_mask", Tensor::zeros([2, 3], (Kind::Bool, Device::Cpu)));
        let mut step = session.accumulate();
        for part in [&empty, &plain(), &empty] {
            step.measure(part).unwrap();
        }
        let mut sum = 0.0;
        for part in [&empty, &plain(), &empty] {
            let share = step.forward(part).unwrap();
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
    let share = step.forward(&batch(&leaf)).unwrap();
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
        step.forward(&part).unwrap().backward().unwrap();
        numbers(leaf.grad())
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
    let whole = session.forward(&plain()).unwrap();
    let mut step = session.accumulate();
    session.update(&whole).unwrap();
    drop(session);
    step.measure(&plain()).unwrap();
    assert_eq!(number(step.forward(&plain()).unwrap().loss()), number(whole.loss()));
}

#[test]
fn a_part_is_measured_without_the_fields_that_span_nothing() {
    let text = "loss = token_mean(clip_ppo() * (rewards - group_mean(rewards)))";
    let session = session(text);
    let mut step = session.accumulate();
    step.measure(&without("old_log_prob")).unwrap();
    let share = step.forward(&plain()).unwrap();
    assert_eq!(number(share.loss()), number(session.forward(&plain()).unwrap().loss()));
    let mut step = session.accumulate();
    assert_says(&step.measure(&without("rewards")).unwrap_err(), &["`rewards`"]);
}
