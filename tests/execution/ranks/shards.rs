//! Ranks that hold the vocabulary in shards give the step of one process, and fail together.

use super::ROADS;
use crate::{assert_says, batch, logits, number, session};
use aent::testing::on_ranks;
use aent::{Batch, Error};
use tch::{Device, Kind, Tensor};

/// The batch with the tokens of a rank, of four in shards of one and three, and a copy of its logits that is a leaf.
fn part(rank: usize) -> (Batch, Tensor) {
    let all = batch(&logits(0, Kind::Double));
    let values = Tensor::from_slice(&[0.5, -0.5, 1.0, 2.0, 0.0, 0.0]).view([2, 3]);
    let logits = logits(0, Kind::Double).detach().narrow(2, rank as i64, 1 + 2 * rank as i64);
    let logits = logits.contiguous().set_requires_grad(true);
    (all.with("values", values).with("logits", logits.shallow_clone()), logits)
}

#[test]
fn shards_give_the_step_of_one_process_on_every_road() {
    for (text, _) in ROADS {
        let whole = {
            let logits = logits(0, Kind::Double);
            let values = part(0).0.get("values").unwrap().clone();
            let output = session(text).forward(&batch(&logits).with("values", values)).unwrap();
            output.backward().unwrap();
            (
                number(output.loss()),
                output.metrics().unwrap(),
                Vec::<f64>::try_from(logits.grad().view(-1)).unwrap(),
            )
        };
        let done = on_ranks(2, |group| {
            let rank = group.rank();
            let (batch, logits) = part(rank);
            let mut own = session(text);
            let output = own.in_shards(group).forward(&batch).unwrap();
            output.backward().unwrap();
            own.update(&output).unwrap();
            let gradient = logits.grad().view([6, -1]);
            let rows = (0..6).map(|row| Vec::<f64>::try_from(gradient.get(row)).unwrap()).collect::<Vec<_>>();
            (number(output.loss()), output.metrics().unwrap(), rows, own.steps())
        });
        let joined: Vec<f64> =
            (0..6).flat_map(|row| [&done[0].2[row][..], &done[1].2[row]].concat()).collect();
        let apart = joined.iter().zip(&whole.2).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(apart < 1e-12 && joined.len() == whole.2.len(), "off by {apart}\n{text}");
        for (loss, metrics, _, steps) in &done {
            assert!((loss - whole.0).abs() < 1e-12 && *steps == 1, "{loss} instead of {}\n{text}", whole.0);
            assert_eq!(metrics.keys().collect::<Vec<_>>(), whole.1.keys().collect::<Vec<_>>());
            let near = |(name, found): (&String, &f64)| (found - whole.1[name]).abs() < 1e-12;
            assert!(metrics.iter().all(near), "{metrics:?} instead of {:?}\n{text}", whole.1);
        }
        assert_eq!(done[0].1, done[1].1, "{text}");
    }
}

#[test]
fn an_error_on_one_rank_is_one_on_all_and_the_next_step_goes_on() {
    let text = "loss = token_mean(log_prob)";
    let found = on_ranks(2, |group| {
        let (batch, _) = part(group.rank());
        let session = session(text).in_shards(group.clone());
        let wrong =
            part(group.rank()).0.with("response_mask", Tensor::ones([2, 4], (Kind::Bool, Device::Cpu)));
        let mine = if group.rank() == 1 { &wrong } else { &batch };
        let error = session.forward(mine).unwrap_err();
        // A reason outside of the step, and in a step in parts.
        let mut step = session.accumulate();
        let failed = if group.rank() == 1 {
            step.fail("out of data");
            None
        } else {
            step.measure(&batch).unwrap();
            Some(step.forward(&batch).unwrap_err())
        };
        (error, failed, number(session.forward(&batch).unwrap().loss()))
    });
    assert!(matches!(found[0].0, Error::Rank { rank: 1, .. }), "{}", found[0].0);
    assert_says(&found[0].0, &["rank 1", "[2, 4]"]);
    assert_says(&found[1].0, &["[2, 4]"]);
    assert_says(found[0].1.as_ref().unwrap(), &["rank 1", "out of data"]);
    assert!((found[0].2 - found[1].2).abs() < 1e-15);
}

#[test]
fn a_loss_is_not_taken_apart_by_a_share_of_its_gradient() {
    let found =
        on_ranks(2, |group| session("loss = token_mean(log_prob)").in_shards(group).diagnose(&part(0).0));
    assert_says(found[0].as_ref().unwrap_err(), &["whole vocabulary", "a shard of them"]);
}
