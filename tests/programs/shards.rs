//! Sequences in shards: each rank has some of the tokens, and the step is that of the whole to the bit.

use crate::generate::{Manner, choices, program};
use crate::run::{gather, leaves_in, packed, session, whole_in};
use crate::{check, compiled, extent, kinds, padded};
use aent::testing::{Case, Leaves, on_ranks, rough};
use aent::{Batch, Order, SequenceShards};
use proptest::prelude::*;
use tch::Tensor;

/// The places of a row of tokens that a rank has.
fn places(order: Order, rank: usize, ranks: usize, from: usize, to: usize) -> Vec<i64> {
    let parts = if order == Order::Zigzag { vec![rank, 2 * ranks - 1 - rank] } else { vec![rank] };
    let each = (to - from) / if order == Order::Zigzag { 2 * ranks } else { ranks };
    parts.iter().flat_map(|part| from + part * each..from + (part + 1) * each).map(|at| at as i64).collect()
}

/// A rank's tokens of a batch.
fn own(case: &Case, batch: &Batch, order: Order, rank: usize, ranks: usize, pack: bool) -> Batch {
    let (b, t) = (case.sequences, case.width);
    if !pack {
        let index = Tensor::from_slice(&places(order, rank, ranks, 0, t));
        let cut = |tensor: Tensor| {
            let of_tokens = tensor.size().starts_with(&[b as i64, t as i64]);
            if of_tokens { tensor.index_select(1, &index) } else { tensor }
        };
        return batch
            .iter()
            .fold(Batch::new(), |own, (name, tensor)| own.with(name, cut(tensor.tch().unwrap())));
    }
    let (batch, index, ends, tokens) = if order == Order::Zigzag {
        let rows = (0..b).flat_map(|row| places(order, rank, ranks, row * t, (row + 1) * t));
        let ends: Vec<i64> = (0..=b).map(|row| (row * t) as i64).collect();
        let flat = batch.iter().fold(Batch::new(), |flat, (name, tensor)| {
            let tensor = tensor.tch().unwrap();
            let size = tensor.size();
            let of_tokens = size.starts_with(&[b as i64, t as i64]);
            flat.with(name, if of_tokens { tensor.flatten(0, 1) } else { tensor })
        });
        (flat, rows.collect::<Vec<_>>(), Tensor::from_slice(&ends), (b * t) as i64)
    } else {
        let packed = packed(case, batch);
        let ends = packed.get("cu_seqlens").unwrap().tch().unwrap();
        let tokens = i64::try_from(ends.get(-1)).unwrap();
        // Padded to a multiple of the ranks, with the first token again.
        let whole = (tokens as usize).div_ceil(ranks) * ranks;
        let index = places(order, rank, ranks, 0, whole);
        (packed, index.into_iter().map(|at| if at < tokens { at } else { 0 }).collect(), ends, tokens)
    };
    let index = Tensor::from_slice(&index);
    batch
        .iter()
        .fold(Batch::new(), |own, (name, tensor)| {
            let tensor = tensor.tch().unwrap();
            if name == "cu_seqlens" {
                return own;
            }
            let of_tokens = tensor.size()[..].first() == Some(&tokens) && tokens != b as i64;
            own.with(name, if of_tokens { tensor.index_select(0, &index) } else { tensor })
        })
        .with("cu_seqlens", ends)
}

#[test]
fn a_step_in_shards_has_the_bits_of_the_whole() {
    let orders = prop::sample::select(vec![Order::Contiguous, Order::Zigzag]);
    let strategy =
        (choices(), rough(extent()), kinds(), orders, prop::sample::select(vec![2, 4]), any::<bool>());
    check(200, strategy, |(choices, case, kind, order, ranks, pack)| {
        let text = program(&choices, Manner::Wild);
        let session = session(compiled(&text));
        let mut case = case;
        while case.width % (2 * ranks) != 0 {
            case = padded(&case);
        }
        if !case.mask.contains(&true) {
            return;
        }
        if pack && order == Order::Contiguous {
            // A packed batch is as wide as its longest sequence.
            case = case.trimmed();
            let tokens: usize =
                packed(&case, &leaves_in(&case, kind).batch).get("response_mask").unwrap().numel();
            if tokens == case.sequences {
                return; // Whether a field is of tokens or of sequences could not be told here.
            }
        }
        let expected = whole_in(&session, &case, kind).unwrap();
        let found = on_ranks(ranks, |group| {
            let leaves = leaves_in(&case, kind);
            let rank = group.rank();
            let batch = own(&case, &leaves.batch, order, rank, ranks, pack);
            let (share, output) = session.forward_shards(&batch, SequenceShards::new(group, order), None)?;
            share.backward()?;
            Ok::<_, aent::Error>((leaves, output, share.loss().f64_at(&[])?))
        });
        let found = found.into_iter().collect::<Result<Vec<_>, _>>();
        let found = found.unwrap_or_else(|error| panic!("{kind:?} {order:?} {pack}: {error}\nin\n{text}"));
        let each: Vec<(usize, &Leaves)> = found.iter().map(|(leaves, ..)| (0, leaves)).collect();
        // Each rank has the gradient of its own tokens, and zeros elsewhere.
        for (rank, (leaves, output, share)) in found.iter().enumerate() {
            let mut own = gather(output, &case, &[(0, leaves)]).unwrap();
            if rank == 0 {
                let sum = |of: fn(&Leaves) -> &Tensor| {
                    let grads = each.iter().map(|(_, leaves)| of(leaves).grad()).filter(Tensor::defined);
                    grads.reduce(|sum, gradient| sum + gradient)
                };
                for (into, summed) in [
                    (&mut own.logits_gradient, sum(|of| &of.logits)),
                    (&mut own.values_gradient, sum(|of| &of.values)),
                ] {
                    if let Some(summed) = summed {
                        *into = Vec::try_from(summed.to_kind(tch::Kind::Double).flatten(0, -1)).unwrap();
                    }
                }
                assert!(
                    own.same_numbers(&expected),
                    "{kind:?} {order:?} {pack}\n{text}\n{own:?}\n{expected:?}"
                );
            }
            let told = (own.loss, &own.reported);
            let bits = |x: f64| if x.is_nan() { 0 } else { (x + 0.0).to_bits() };
            assert_eq!(bits(told.0), bits(expected.loss), "{text}");
            let portion = expected.loss / ranks as f64;
            assert!(
                (share - portion).abs() <= 1e-6 * portion.abs() || !portion.is_finite(),
                "{share} {portion}\n{text}"
            );
        }
    });
}
