//! Segments of sequences, which a `token int` of the batch tells apart.

use crate::judge::{LIBRARY, Sheet, judge, judge_recipe, mean, sum};
use crate::reference::clip_value;
use crate::{assert_near, session};
use aent::plan::FirstPass;
use aent::testing::{Case, Extent, Outcome, gradient_matches_differences, sample, smooth};
use std::collections::BTreeSet;

/// 1 or -1, and undefined at every masked position.
const SIGN: &str = "(advantages / abs(advantages))";

/// The valid tokens of a token's sequence with the id of that token.
fn segment(sheet: &Sheet<'_>, at: usize) -> Vec<usize> {
    let turn = &sheet.case.turn;
    sheet.row_of(at).into_iter().filter(|other| turn[*other] == turn[at]).collect()
}

/// The first tokens of a sequence's segments.
fn firsts(sheet: &Sheet<'_>, row: &[usize]) -> Vec<usize> {
    row.iter().copied().filter(|at| segment(sheet, *at)[0] == *at).collect()
}

/// The first tokens of all segments of the step.
fn all_firsts(sheet: &Sheet<'_>) -> Vec<usize> {
    sheet.all().into_iter().filter(|at| segment(sheet, *at)[0] == *at).collect()
}

#[test]
fn segments_reduce_over_their_valid_tokens() {
    let weighed = |sheet: &Sheet<'_>, at: usize| sheet.x[at] * sheet.advantage(at);
    judge("segment_sum(log_prob * advantages, by = turn)", |sheet| {
        sheet.tokens(|at| sum(&segment(sheet, at), |at| weighed(sheet, at)))
    });
    judge("segment_mean(log_prob * advantages, by = turn)", |sheet| {
        sheet.tokens(|at| {
            let of = segment(sheet, at);
            sum(&of, |at| weighed(sheet, at)) / of.len() as f64
        })
    });
    judge("segment_max(log_prob * advantages, by = turn)", |sheet| {
        sheet.tokens(|at| {
            segment(sheet, at).into_iter().map(|at| weighed(sheet, at)).fold(f64::NEG_INFINITY, f64::max)
        })
    });
    judge("segment_sum(1, by = turn)", |sheet| sheet.tokens(|at| segment(sheet, at).len() as f64));
    judge("segment_mean(advantages > 0, by = turn)", |sheet| {
        sheet.tokens(|at| {
            let of = segment(sheet, at);
            sum(&of, |at| f64::from(sheet.advantage(at) > 0.0)) / of.len() as f64
        })
    });
}

#[test]
fn what_is_undefined_where_the_mask_is_0_reaches_no_segment() {
    for name in ["segment_sum", "segment_mean"] {
        judge(&format!("{name}(log_prob * {SIGN}, by = turn) * {SIGN}"), |sheet| {
            let sign = |at: usize| sheet.advantage(at).signum();
            sheet.tokens(|at| {
                let of = segment(sheet, at);
                let size = if name == "segment_mean" { of.len() as f64 } else { 1.0 };
                sign(at) * sum(&of, |at| sheet.x[at] * sign(at)) / size
            })
        });
    }
}

#[test]
fn a_sequence_is_one_segment_where_a_seq_tells_them_apart() {
    judge("segment_mean(log_prob, by = group)", |sheet| {
        sheet.tokens(|at| sum(&sheet.row_of(at), |at| sheet.x[at]) / sheet.row_of(at).len() as f64)
    });
    judge("segment_count(by = group)", |sheet| sheet.sequences(|_| 1.0));
}

#[test]
fn segments_are_counted() {
    let distinct = |sheet: &Sheet<'_>, row: &[usize]| {
        row.iter().map(|at| sheet.case.turn[*at]).collect::<BTreeSet<_>>().len() as f64
    };
    judge("segment_count(by = turn)", |sheet| sheet.sequences(|row| distinct(sheet, row)));
    judge("segments(turn)", |sheet| {
        vec![(0..sheet.case.sequences).map(|row| distinct(sheet, &sheet.row(row))).sum()]
    });
}

#[test]
fn means_over_the_segments_of_the_step_weigh_each_the_same() {
    let over = |sheet: &Sheet<'_>, of: &dyn Fn(&[usize]) -> f64| {
        let firsts = all_firsts(sheet);
        vec![firsts.iter().map(|at| of(&segment(sheet, *at))).sum::<f64>() / firsts.len().max(1) as f64]
    };
    judge("segment_mean_token_sum(log_prob * advantages, turn)", |sheet| {
        over(sheet, &|of| sum(of, |at| sheet.x[at] * sheet.advantage(at)))
    });
    judge("segment_mean_token_mean(log_prob * advantages, by = turn)", |sheet| {
        over(sheet, &|of| sum(of, |at| sheet.x[at] * sheet.advantage(at)) / of.len() as f64)
    });
}

#[test]
fn a_mean_over_segments_sees_the_model_once() {
    let text = |loss: &str| format!("{LIBRARY}\nloss = {loss}");
    for loss in ["segment_mean_token_sum(clip_ppo(), turn)", "segment_mean_token_mean(clip_ppo(), turn)"] {
        assert_eq!(session(&text(loss)).plan().first_pass, FirstPass::Fields, "{loss}");
    }
    let ratio = "token_mean(exp(segment_mean(log_prob - old_log_prob, by = turn)))";
    assert_eq!(session(&text(ratio)).plan().first_pass, FirstPass::Counts);
}

#[test]
fn segments_have_the_gradient_of_their_value() {
    let session = session(
        "input turn: token int\n\
         loss = token_mean(segment_sum(values * log_prob, by = turn) ^ 2) + token_mean(entropy * segment_mean(values, by = turn))
              + token_mean(segment_max(values * log_prob, by = turn) * values)",
    );
    for case in sample(&smooth(Extent { sequences: 1..=3, width: 2..=6, vocabulary: 2..=4 }), 20) {
        gradient_matches_differences(&session, &case).unwrap();
    }
}

/// The advantage of each of a sequence's segments, as the sum of later surprises.
fn advantages(sheet: &Sheet<'_>, row: &[usize], gamma: f64, lam: f64, dense: f64) -> Vec<f64> {
    let firsts = firsts(sheet, row);
    let value = |step: usize| firsts.get(step).map_or(0.0, |at| sheet.get("old_values", *at));
    let surprise = |step: usize| {
        let outcome =
            if step + 1 == firsts.len() { sheet.case.rewards[row[0] / sheet.case.width] } else { 0.0 };
        let paid = sum(&segment(sheet, firsts[step]), |at| dense * sheet.get("returns", at));
        paid + outcome + gamma * value(step + 1) - value(step)
    };
    let later = |step: usize| {
        (step..firsts.len()).map(move |later| (gamma * lam).powi((later - step) as i32) * surprise(later))
    };
    (0..firsts.len()).map(|step| later(step).sum()).collect()
}

#[test]
fn each_segment_is_one_step_of_its_generalised_advantage() {
    for (args, gamma, lam, dense) in [
        ("", 1.0, 1.0, 0.0),
        (", gamma = 0.9, lam = 0.7", 0.9, 0.7, 0.0),
        (", gamma = 0.9, lam = 7, token_rewards = -0.1 * returns", 0.9, 1.0, -0.1),
    ] {
        let of = |sheet: &Sheet<'_>, at: usize| {
            let row = sheet.row_of(at);
            let first = segment(sheet, at)[0];
            let step = firsts(sheet, &row).iter().position(|of| *of == first).expect("it is a first token");
            (advantages(sheet, &row, gamma, lam, dense)[step], sheet.get("old_values", first))
        };
        judge(&format!("segment_gae(by = turn{args})"), |sheet| sheet.tokens(|at| of(sheet, at).0));
        judge(&format!("segment_gae(by = turn{args}).returns"), |sheet| {
            sheet.tokens(|at| of(sheet, at).0 + of(sheet, at).1)
        });
    }
    judge("segment_gae(by = turn, lam = 1 / segment_count(by = turn))", |sheet| {
        sheet.tokens(|at| {
            let row = sheet.row_of(at);
            let firsts = firsts(sheet, &row);
            let step =
                firsts.iter().position(|of| *of == segment(sheet, at)[0]).expect("it is a first token");
            advantages(sheet, &row, 1.0, 1.0 / firsts.len() as f64, 0.0)[step]
        })
    });
}

#[test]
fn ppo_with_turns_as_steps_whitens_their_advantages() {
    let swap = ("input token_rewards: token", "let token_rewards = -0.1 * returns");
    judge_recipe("turn_ppo", &[swap], |sheet| {
        let of = |at: usize| {
            let row = sheet.row_of(at);
            let first = segment(sheet, at)[0];
            let step = firsts(sheet, &row).iter().position(|of| *of == first).expect("it is a first token");
            (advantages(sheet, &row, 0.95, 0.95, -0.1)[step], sheet.get("old_values", first))
        };
        let all = sheet.all();
        let centre = mean(&all, |at| of(at).0);
        let squares = sum(&all, |at| (of(at).0 - centre).powi(2));
        let deviation = (squares / (all.len() as f64 - 1.0).max(1.0) + 1e-8).sqrt();
        mean(&all, |at| {
            let (advantage, value) = of(at);
            let whitened = (advantage - centre) / deviation;
            let ratio = sheet.moved(at).clamp(-20.0, 20.0).exp();
            let policy = (-whitened * ratio).max(-whitened * ratio.clamp(0.8, 1.2));
            let [critic, _] =
                clip_value(0.5, sheet.get("values", at), sheet.get("old_values", at), advantage + value);
            policy + 0.5 * critic
        })
    });
}

#[test]
fn where_every_token_is_a_segment_the_advantage_is_that_of_tokens() {
    let expr = "segment_gae(by = turn, gamma = 0.9, lam = 0.8) - gae(gamma = 0.9, lam = 0.8)";
    let session = session(&format!("input turn: token int\nlet value = {expr}\nloss = token_mean(log_prob)"));
    for mut case in sample(&smooth(Extent::exactly(3, 5, 3)), 5) {
        case.turn = (0..15).map(|at| 5 - at).collect();
        let batch = case.leaves(tch::Kind::Double, tch::Device::Cpu).batch;
        let output = session.forward(&batch).unwrap();
        let gaps = crate::numbers(crate::named(&output, "value"));
        assert_near(&gaps, &[0.0; 15], 1e-12, "the difference");
    }
}

/// A case of one sequence whose tokens have these log-probabilities up to a constant, and these ids.
fn alike(high: &[bool], turn: &[i64]) -> Case {
    let mut case = sample(&smooth(Extent::exactly(1, high.len(), 3)), 1).remove(0);
    case.mask.fill(true);
    case.actions.fill(0);
    case.logits = high.iter().flat_map(|high| [if *high { 2.0 } else { 0.0 }, 1.0, 0.5]).collect();
    case.turn = turn.to_vec();
    case
}

#[test]
fn the_greatest_of_a_segment_share_its_gradient() {
    let session = session("input turn: token int\nloss = token_sum(segment_max(log_prob, by = turn))");
    // Ids far beyond what an f64 tells apart.
    let [a, b] = [i64::MAX, i64::MAX - 1];
    let case = alike(&[true, false, true, true, false, false, false], &[a, a, a, a, b, b, b]);
    let found = Outcome::of(&session, &case, tch::Kind::Double).unwrap();
    // The gradient of a log-probability for its own logit is 1 less the probability.
    let of = |at: usize| {
        let row = &case.logits[3 * at..3 * at + 3];
        1.0 - row[0].exp() / row.iter().map(|logit| logit.exp()).sum::<f64>()
    };
    let shares = [4.0 / 3.0, 0.0, 4.0 / 3.0, 4.0 / 3.0, 1.0, 1.0, 1.0];
    let expected: Vec<f64> = (0..7).map(|at| shares[at] * of(at)).collect();
    let own: Vec<f64> = found.logits_gradient.chunks(3).map(|row| row[0]).collect();
    assert_near(&own, &expected, 1e-12, "the gradient of each token's own logit");
}

#[test]
fn the_greatest_is_one_of_the_values_to_the_last_bit() {
    let session = session(
        "input turn: token int\nlet value = segment_max(returns, by = turn)\nloss = token_mean(log_prob)",
    );
    for x in [0.1, -1e-3, 1e30, f64::MIN_POSITIVE] {
        let case = alike(&[true; 7], &[3; 7]).with_token("returns", vec![x; 7]);
        let batch = case.leaves(tch::Kind::Double, tch::Device::Cpu).batch;
        let output = session.forward(&batch).unwrap();
        let found = crate::numbers(crate::named(&output, "value"));
        assert!(found.iter().all(|value| value.to_bits() == x.to_bits()), "{x}: {found:?}");
    }
}

#[test]
fn a_group_may_be_another_field_than_the_prompt() {
    let session = session(
        "input rollout: seq int\nlet value = group_sum(rewards, group = rollout)\nloss = token_mean(log_prob)",
    );
    let mut case = sample(&smooth(Extent::exactly(4, 1, 3)), 1).remove(0);
    case.mask.fill(true);
    case.rewards = vec![1.0, 2.0, 4.0, 8.0];
    let ids = tch::Tensor::from_slice(&[i64::MAX, i64::MIN, i64::MAX, i64::MAX - 1]);
    let batch = case.leaves(tch::Kind::Double, tch::Device::Cpu).batch.with("rollout", ids);
    let output = session.forward(&batch).unwrap();
    assert_near(&crate::numbers(crate::named(&output, "value")), &[5.0, 2.0, 5.0, 8.0], 0.0, "sums");
}
