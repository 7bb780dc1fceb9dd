//! Generated batches: smooth ones, where formulas have derivatives, and rough ones with every edge case.

use super::Case;
use super::case::log_prob;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::ops::RangeInclusive;

/// The sizes of generated batches.
#[derive(Clone, Debug)]
pub struct Extent {
    /// B.
    pub sequences: RangeInclusive<usize>,
    /// T.
    pub width: RangeInclusive<usize>,
    /// V.
    pub vocabulary: RangeInclusive<usize>,
}

impl Default for Extent {
    fn default() -> Self {
        Self { sequences: 1..=4, width: 1..=5, vocabulary: 1..=9 }
    }
}

impl Extent {
    /// Exactly one size.
    pub fn exactly(sequences: usize, width: usize, vocabulary: usize) -> Self {
        Self { sequences: sequences..=sequences, width: width..=width, vocabulary: vocabulary..=vocabulary }
    }
}

/// Batches without ties, banned tokens or masked-out sequences, with some masked-out tokens.
pub fn smooth(extent: Extent) -> impl Strategy<Value = Case> {
    sizes(extent).prop_flat_map(|(b, t, v)| {
        let mask = vec(prop::bool::weighted(0.75), b * t).prop_map(move |mut mask| {
            // Only rough batches have sequences without a valid token.
            for row in mask.chunks_mut(t) {
                row[0] |= !row.contains(&true);
            }
            mask
        });
        case(b, t, v, vec(number(-3.0..3.0), b * t * v), mask)
    })
}

/// Batches with ties, tokens banned by a logit of `-inf`, masked-out sequences, and sometimes no valid token at all.
pub fn rough(extent: Extent) -> impl Strategy<Value = Case> {
    sizes(extent).prop_flat_map(|(b, t, v)| {
        let logit = prop_oneof![
            4 => number(-3.0..3.0),
            4 => (-2i8..=2).prop_map(f64::from),
            1 => Just(f64::NEG_INFINITY),
            1 => number(30.0..60.0),
        ];
        let row = prop_oneof![
            1 => Just(vec![false; t]),
            2 => Just(vec![true; t]),
            5 => vec(prop::bool::weighted(0.7), t),
        ];
        let mask = prop_oneof![
            1 => Just(vec![false; b * t]),
            19 => vec(row, b).prop_map(|rows| rows.concat()),
        ];
        case(b, t, v, vec(logit, b * t * v), mask)
    })
}

/// Draws batches from a strategy, the same on every run.
///
/// # Panics
/// When the strategy rejects a batch, which those of this module never do.
pub fn sample(strategy: &impl Strategy<Value = Case>, count: usize) -> Vec<Case> {
    let mut runner = TestRunner::deterministic();
    let draw = |_| strategy.new_tree(&mut runner).map(|tree| tree.current());
    (0..count).map(draw).collect::<Result<_, _>>().expect("no strategy here rejects anything")
}

fn sizes(extent: Extent) -> impl Strategy<Value = (usize, usize, usize)> {
    (extent.sequences, extent.width, extent.vocabulary)
}

fn case(
    b: usize,
    t: usize,
    v: usize,
    logits: impl Strategy<Value = Vec<f64>>,
    mask: impl Strategy<Value = Vec<bool>>,
) -> impl Strategy<Value = Case> {
    let noise = |spread: f64| vec(number(-spread..spread), b * t);
    let policies = (noise(0.6), noise(0.6), noise(0.6), noise(2.0));
    let critic = (noise(2.0), noise(1.2), noise(2.0));
    // Two of the ids are one number in f64.
    let turn = prop::sample::select(vec![-3, 0, i64::MAX, i64::MAX - 1]);
    let rest = (vec(number(-2.0..2.0), b), vec(0i64..3, b), vec(0..v as i64, b * t), vec(turn, b * t));
    let moved = vec(number(-1.0..1.0), b * t * v);
    (logits, moved, mask, policies, critic, rest).prop_map(
        move |(mut logits, moved, mask, policies, critic, rest)| {
            let (rewards, group, actions, turn) = rest;
            for (row, action) in logits.chunks_mut(v).zip(&actions) {
                // A sampled token cannot be banned.
                let sampled = &mut row[*action as usize];
                if *sampled == f64::NEG_INFINITY {
                    *sampled = 0.0;
                }
            }
            let ref_logits = logits.iter().zip(&moved).map(|(logit, moved)| single(logit + moved)).collect();
            let logp: Vec<f64> =
                logits.chunks(v).zip(&actions).map(|(row, action)| log_prob(row, *action as usize)).collect();
            let near = |noise: &[f64]| {
                logp.iter().zip(noise).map(|(logp, noise)| single((logp + noise).min(0.0))).collect()
            };
            let (old, reference, rollout, advantages) = policies;
            let (values, moved, returns) = critic;
            let old_values = values.iter().zip(&moved).map(|(value, moved)| single(value + moved)).collect();
            let tokens = vec![
                ("old_log_prob", near(&old)),
                ("ref_log_prob", near(&reference)),
                ("rollout_log_prob", near(&rollout)),
                ("advantages", advantages),
                ("values", values),
                ("old_values", old_values),
                ("returns", returns),
            ];
            Case {
                sequences: b,
                width: t,
                vocabulary: v,
                logits,
                ref_logits,
                actions,
                mask,
                tokens,
                rewards,
                group,
                turn,
            }
        },
    )
}

/// Numbers that f32 represents exactly, so that computations in f32 and f64 start from the same values.
fn number(range: std::ops::Range<f64>) -> impl Strategy<Value = f64> {
    range.prop_map(single)
}

fn single(x: f64) -> f64 {
    f64::from(x as f32)
}
