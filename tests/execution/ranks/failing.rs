//! A step that goes wrong on one rank goes wrong on all of them, and each says why.

use super::{GROUPED, RATIO_OF_MEANS, ROADS, over_two};
use crate::{PPO, assert_says, batch, logits, plain, session, without};
use aent::host::Libtorch;
use aent::plugin::prelude::*;
use aent::tensor::{Host, Tensor as Handle};
use aent::testing::on_ranks;
use aent::{Batch, Error, GroupError, ProcessGroup};
use std::sync::Arc;
use tch::{Device, Kind as Float, Tensor};

/// Refuses to look at more than one sequence.
#[term(name = "test::alone", example = "test::alone()")]
struct Alone {}

impl Term for Alone {
    fn signature() -> Signature {
        Signature::new(Type::TOKEN).input(Input::field("log_prob", Type::TOKEN))
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        let x = ctx.input("log_prob");
        if x.size()[0] > 1 {
            return Err(EvalError("not with others".to_owned()));
        }
        Ok(x.clone().into())
    }
}

/// What each rank is told when only rank 1 has another of something.
fn told(sessions: [&str; 2], batches: impl Fn(usize) -> Batch + Sync) -> Vec<Error> {
    over_two(sessions, batches, |done| done.expect_err("the ranks do not agree"))
}

#[track_caller]
fn assert_both_say(told: &[Error], words: &[&str]) {
    for error in told {
        assert!(matches!(error, Error::Rank { rank: 1, .. }), "{error}");
        assert_says(error, words);
    }
}

#[test]
fn another_program_on_a_rank_is_told_to_all_with_what_differs() {
    let other = PPO.replace("1.2", "1.3");
    assert_both_say(&told([PPO, &other], |_| plain()), &["rank 1", "rank 0", "1.2", "1.3"]);
    let metric = format!("{PPO}\nmetric h = token_mean(log_prob)");
    assert_both_say(&told([PPO, &metric], |_| plain()), &["`metric h`", "on rank 1", "not on rank 0"]);
}

#[test]
fn another_step_on_a_rank_is_told_to_all() {
    let text = "controller beta = band(signal = token_mean(log_prob), target = 0 .. 1, step = 1e-2)
        loss = beta * token_mean(log_prob)";
    for (text, words) in [
        (PPO, vec!["observed steps is `0` on rank 0 and `1` on rank 1"]),
        (text, vec!["the state of `beta` is"]),
    ] {
        let found = on_ranks(2, |group| {
            let mut session = session(text);
            if group.rank() == 1 {
                session.update(&session.forward(&plain()).unwrap()).unwrap();
            }
            session.forward_over(&plain(), group).unwrap_err()
        });
        assert_both_say(&found, &words);
    }
}

#[test]
fn another_kind_on_a_rank_is_told_to_all() {
    let wide = |rank| batch(&logits(0, if rank == 1 { Float::Double } else { Float::Float }));
    for (text, _) in ROADS {
        let with_values = |rank| wide(rank).with("values", Tensor::ones([2, 3], (Float::Float, Device::Cpu)));
        assert_both_say(
            &told([text; 2], with_values),
            &["the kind of numbers is `f32` on rank 0 and `f64` on rank 1"],
        );
    }
    let scaled = "input scale: scalar\nloss = scale * token_mean(log_prob)";
    let found = told([scaled; 2], |rank| plain().with("scale", Tensor::from(rank as f32)));
    assert_both_say(&found, &["`scale` is `f32 0.0` on rank 0 and `f32 1.0` on rank 1"]);
}

/// Rank 1 has its own error, the other one says which rank it was and what it said.
#[track_caller]
fn assert_is_told(mut told: Vec<Error>, is_own: fn(&Error) -> bool, words: &[&str]) {
    let own = told.remove(1);
    assert!(is_own(&own), "{own}");
    assert_says(&own, words);
    assert!(matches!(told[0], Error::Rank { rank: 1, .. }), "{}", told[0]);
    assert_eq!(told[0].to_string(), format!("rank 1: {own}"));
}

#[test]
fn a_wrong_batch_on_a_rank_is_an_error_on_all() {
    for (text, _) in ROADS {
        let batches = |rank| {
            let right = plain().with("values", Tensor::ones([2, 3], (Float::Float, Device::Cpu)));
            if rank == 0 {
                right
            } else {
                right.with("logits", Tensor::zeros([2, 3], (Float::Float, Device::Cpu)))
            }
        };
        let refused = |error: &Error| matches!(error, Error::Field { .. });
        assert_is_told(told([text; 2], batches), refused, &["`logits`", "[2, 3, V]", "[2, 3]"]);
    }
}

#[test]
fn a_part_that_a_rank_cannot_measure_is_an_error_on_all() {
    let found = on_ranks(2, |group| {
        let mut step = session(GROUPED).accumulate().over(Arc::clone(&group)).unwrap();
        let part = if group.rank() == 1 { without("rewards") } else { plain() };
        let measured = step.measure(&part);
        if group.rank() == 0 {
            measured.unwrap();
            return step.forward(&part).unwrap_err();
        }
        let error = measured.unwrap_err();
        // The step is over, without waiting for anybody.
        assert_says(&step.measure(&plain()).unwrap_err(), &["failed on a rank"]);
        assert_says(&step.finish().unwrap_err(), &["failed on a rank"]);
        error
    });
    assert_is_told(found, |error| matches!(error, Error::MissingField { .. }), &["`rewards`"]);
}

#[test]
fn a_part_that_a_rank_cannot_step_is_an_error_on_all_when_they_finish() {
    for text in [PPO, GROUPED, RATIO_OF_MEANS, ROADS[2].0] {
        let found = on_ranks(2, |group| {
            let mut step = session(text).accumulate().over(Arc::clone(&group)).unwrap();
            step.measure(&plain()).unwrap();
            if group.rank() == 1 {
                return step.forward(&without("actions")).unwrap_err();
            }
            step.forward(&plain()).unwrap();
            step.finish().unwrap_err()
        });
        assert_is_told(found, |error| matches!(error, Error::MissingField { .. }), &["`actions`"]);
    }
}

#[test]
fn a_term_that_fails_on_one_rank_fails_on_all() {
    let batches = |rank| if rank == 0 { plain().split(2).unwrap().remove(0) } else { plain() };
    for text in [
        "loss = token_mean(test::alone())",
        "loss = token_mean(log_prob)\nmetric m = token_mean(test::alone())",
        "loss = token_mean(log_prob)\nmetric m = token_mean(test::alone())\nmetric q = quantile(log_prob, 0.5)",
        "loss = token_mean(log_prob * group_mean(rewards))\nmetric m = token_mean(test::alone())",
    ] {
        let failed = |error: &Error| matches!(error, Error::Object { .. });
        assert_is_told(told([text; 2], batches), failed, &["`test::alone`", "not with others"]);
    }
}

#[test]
fn a_rank_that_gives_no_part_is_an_error_on_all() {
    let found = on_ranks(2, |group| {
        let mut step = session(PPO).accumulate().over(Arc::clone(&group)).unwrap();
        if group.rank() == 1 {
            return step.finish().unwrap_err();
        }
        step.measure(&plain()).unwrap();
        step.forward(&plain()).unwrap_err()
    });
    assert_is_told(found, |error| matches!(error, Error::Step(_)), &["0 of 0 parts"]);
}

#[test]
fn a_step_is_one_of_many_ranks_from_the_beginning() {
    let found = on_ranks(1, |group| {
        let mut step = session(PPO).accumulate();
        step.measure(&plain()).unwrap();
        let late = step.over(Arc::clone(&group)).unwrap_err();
        let twice = session(PPO).accumulate().over(Arc::clone(&group)).unwrap().over(group).unwrap_err();
        [late, twice]
    });
    for error in found.iter().flatten() {
        assert_says(error, &["before its first part"]);
    }
}

#[test]
fn a_rank_that_went_away_is_an_error_of_the_group() {
    let found = on_ranks(2, |group| {
        (group.rank() == 0).then(|| session(PPO).forward_over(&plain(), group).unwrap_err())
    });
    assert_says(found[0].as_ref().unwrap(), &["cannot exchange tensors", "rank 1 left"]);
    // Whose batch is wrong hears of that all the same.
    let found = on_ranks(2, |group| {
        (group.rank() == 0).then(|| session(PPO).forward_over(&without("actions"), group).unwrap_err())
    });
    assert_says(found[0].as_ref().unwrap(), &["the batch has no `actions`"]);
}

#[test]
fn a_step_that_one_rank_left_before_its_end_is_an_error_on_both() {
    let found = on_ranks(2, |group| {
        let session = session(PPO);
        let mut step = session.accumulate().over(Arc::clone(&group)).unwrap();
        step.measure(&plain()).unwrap();
        step.forward(&plain()).unwrap();
        let error = if group.rank() == 0 {
            step.finish().unwrap_err()
        } else {
            session.forward_over(&plain(), Arc::clone(&group)).unwrap_err()
        };
        // They are in step again.
        session.forward_over(&plain(), group).unwrap();
        error
    });
    let words = ["before the first share of step 1", "rank 0 at the end of step 1", "out of step"];
    assert_both_say(&found, &words);
}

#[test]
fn a_reason_outside_of_the_step_is_told_to_all() {
    for (text, _) in ROADS {
        let found = on_ranks(2, |group| {
            let part = || plain().with("values", Tensor::ones([2, 3], (Float::Float, Device::Cpu)));
            let mut step = session(text).accumulate().over(Arc::clone(&group)).unwrap();
            step.measure(&part()).unwrap();
            if group.rank() == 1 {
                step.fail("the disk is gone");
                return step.forward(&part()).unwrap_err();
            }
            step.forward(&part()).unwrap_err()
        });
        assert!(matches!(&found[0], Error::Rank { rank: 1, message } if message == "the disk is gone"));
        assert_says(&found[1], &["does not go on"]);
    }
}

#[test]
fn scalars_beyond_the_room_of_a_message_travel_too() {
    let metrics: Vec<String> =
        (0..50).map(|at| format!("metric m{at} = {at} * token_mean(log_prob)")).collect();
    let text = format!("{}\nloss = token_mean(log_prob)", metrics.join("\n"));
    let found = over_two([&text; 2], |_| plain(), |done| done.unwrap().1.metrics().unwrap());
    let alone = session(&text).forward(&plain()).unwrap().metrics().unwrap();
    for metrics in found {
        assert_eq!(metrics.len(), 50);
        for (name, value) in &alone {
            assert!((metrics[name] - value).abs() < 1e-5 * value.abs().max(1.0), "{name}");
        }
    }
}

/// A group of two that answers what it likes.
#[derive(Debug)]
struct Liar(Answer, usize);

type Answer = fn(&Handle) -> Vec<Handle>;

impl ProcessGroup for Liar {
    fn rank(&self) -> usize {
        self.1
    }

    fn size(&self) -> usize {
        2
    }

    fn host(&self) -> &'static dyn Host {
        &Libtorch
    }

    fn all_gather(&self, tensor: &Handle) -> Result<Vec<Handle>, GroupError> {
        Ok((self.0)(tensor))
    }
}

#[test]
fn what_is_no_answer_of_a_group_is_refused() {
    let answers: [(Answer, usize, &str); 4] = [
        (|sent| vec![sent.clone()], 0, "expected 2 tensors"),
        (|sent| vec![sent.clone(), sent.to_dtype(DType::I32)], 0, "from rank 1"),
        (|sent| vec![sent + 1i64, sent.clone()], 0, "the order of ranks"),
        (|sent| vec![sent.clone(), sent.clone()], 2, "a rank below the size 2, found 2"),
    ];
    for (answer, rank, words) in answers {
        let error = session(PPO).forward_over(&plain(), Arc::new(Liar(answer, rank))).unwrap_err();
        assert!(matches!(error, Error::Group(_)), "{error}");
        assert_says(&error, &["cannot exchange tensors", words]);
    }
    let foreign: Answer = |sent| vec![sent.clone(), sent.zeros_like()];
    let error = session(PPO).forward_over(&plain(), Arc::new(Liar(foreign, 0))).unwrap_err();
    assert!(matches!(error, Error::Rank { rank: 1, .. }), "{error}");
    assert_says(&error, &["something else than a step", "out of step"]);
}
