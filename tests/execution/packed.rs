//! Packed batches, and rows computed apart from the step: both give the numbers of the padded batch, to the last bit.

use crate::{assert_says, field, number, numbers, session};
use aent::tensor::Tensor as Handle;
use aent::{Batch, Output, Session};
use tch::{Kind, Tensor};

/// One program for each first pass, with everything that a row may be asked for.
const PROGRAMS: [&str; 4] = [
    "input math: logits
    let e = clamped_entropy(top_k = 2)
    loss = token_mean(clip_ppo()) - 0.1 * seq_mean_token_mean(e) + 0.01 * token_mean(reverse_kl() + forward_kl(of = math))
    metric h = token_mean(entropy)",
    "loss = token_mean((rewards - group_mean(rewards)) * log_prob) - 0.1 * seq_mean_token_sum_norm(entropy)",
    "loss = token_mean(log_prob) / (token_mean(entropy()) + 1)
    metric far = quantile(log_prob, 0.5)",
    "loss = token_mean(cumsum(log_prob) * reverse_cumsum(advantages, discount = 0.9)) + batch_mean(length * seq_max(old_log_prob) * seq_mean(log_prob))",
];

/// Sequences of 3, 1 and 2 tokens, the second of which has none that counts; padded positions are poisoned.
const LENGTHS: [i64; 3] = [3, 1, 2];

fn wave(count: i64, step: f64) -> Vec<f64> {
    (0..count).map(|at| (at as f64 * step).sin()).collect()
}

/// The batch with one row for each token.
fn packed(kind: Kind) -> (Batch, Tensor) {
    let tokens: i64 = LENGTHS.iter().sum();
    let token = |step: f64| Tensor::from_slice(&wave(tokens, step)).to_kind(kind);
    let logits = Tensor::from_slice(&wave(tokens * 4, 0.7)).to_kind(kind).view([tokens, 4]) * 2;
    let logits = logits.set_requires_grad(true);
    let reference = Tensor::from_slice(&wave(tokens * 4, 1.3)).to_kind(kind).view([tokens, 4]);
    let batch = Batch::new()
        .with("logits", logits.shallow_clone())
        .with("math", reference.flip([1]))
        .with("ref_logits", reference)
        .with("actions", Tensor::from_slice(&[0i64, 3, 1, 2, 2, 0]))
        .with("response_mask", Tensor::from_slice(&[true, false, true, false, true, true]))
        .with("old_log_prob", token(1.1) - 2.0)
        .with("advantages", token(0.9))
        .with("rewards", Tensor::from_slice(&[1.0, 0.5, -1.0]).to_kind(kind))
        .with("group", Tensor::from_slice(&[7i64, 8, 7]))
        .with("cu_seqlens", Tensor::from_slice(&[0i64, 3, 4, 6]));
    (batch, logits)
}

/// The same, padded to the longest sequence with NaN.
fn padded(kind: Kind) -> (Batch, Tensor) {
    let (packed, _) = packed(kind);
    let mut batch = Batch::new();
    let mut logits = None;
    for (name, tensor) in packed.iter().filter(|(name, _)| *name != "cu_seqlens") {
        let tensor = tensor.tch().unwrap().detach();
        if matches!(name, "rewards" | "group") {
            batch = batch.with(name, tensor);
            continue;
        }
        let mut start = 0;
        let rows: Vec<Tensor> = LENGTHS
            .iter()
            .map(|length| {
                let row = tensor.narrow(0, start, *length);
                start += length;
                let mut size = row.size();
                size[0] = 3 - length;
                let fill = if row.is_floating_point() { f64::NAN } else { 0.0 };
                Tensor::cat(&[row, Tensor::full(size, fill, (tensor.kind(), tensor.device()))], 0)
            })
            .collect();
        let mut rows = Tensor::stack(&rows, 0);
        if name == "logits" {
            rows = rows.set_requires_grad(true);
            logits = Some(rows.shallow_clone());
        }
        batch = batch.with(name, rows);
    }
    (batch, logits.unwrap())
}

/// The gradient of the tokens that there are.
fn of_tokens(padded: &Tensor) -> Vec<f64> {
    let rows = LENGTHS.iter().enumerate().map(|(row, length)| padded.get(row as i64).narrow(0, 0, *length));
    numbers(Tensor::cat(&rows.collect::<Vec<_>>(), 0).to_kind(Kind::Double))
}

fn told(output: &Output) -> Vec<f64> {
    let mut told: Vec<f64> = output.metrics().unwrap().into_values().collect();
    told.push(number(output.loss()));
    told
}

#[test]
fn a_packed_batch_gives_the_bits_of_the_padded_one() {
    for text in PROGRAMS {
        for kind in [Kind::Double, Kind::Float, Kind::BFloat16] {
            let session = session(text);
            let (padded, wide) = padded(kind);
            let expected = session.forward(&padded).unwrap();
            expected.backward().unwrap();
            let (packed, narrow) = packed(kind);
            let found = session.forward(&packed).unwrap();
            found.backward().unwrap();
            assert_eq!(told(&found), told(&expected), "{text}");
            assert_eq!(numbers(narrow.grad().to_kind(Kind::Double)), of_tokens(&wide.grad()), "{text}");
        }
    }
}

#[test]
fn packed_parts_give_the_packed_step() {
    for text in PROGRAMS {
        let session = session(text);
        let (whole, leaf) = packed(Kind::Double);
        let expected = session.forward(&whole).unwrap();
        expected.backward().unwrap();
        let (whole, cut) = packed(Kind::Double);
        let parts = whole.split(2).unwrap();
        assert_eq!(field(&parts[1], "logits").size(), [3, 4]);
        let mut step = session.accumulate();
        for part in &parts {
            step.measure(part).unwrap();
        }
        for part in &parts {
            step.forward(part).unwrap().backward().unwrap();
        }
        let found = step.finish().unwrap();
        let close = |found: &[f64], expected: &[f64]| {
            let gap = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(found.len() == expected.len() && gap < 1e-12, "{found:?} for {expected:?} in\n{text}");
        };
        close(&told(&found), &told(&expected));
        close(&numbers(cut.grad()), &numbers(leaf.grad()));
    }
}

/// The step of a batch in two calls.
fn in_two_calls(session: &Session, batch: &Batch) -> Output {
    let rows = session.rows(batch).unwrap();
    assert_eq!(rows.size().last(), Some(&(session.row_names().len() as i64)));
    let without = ["logits", "ref_logits", "math", "hidden", "lm_head"];
    let rest = batch.iter().filter(|(name, _)| !without.contains(name));
    let rest = rest.fold(Batch::new(), |batch, (name, tensor)| batch.with(name, tensor.clone()));
    session.forward(&rest.with("rows", rows)).unwrap()
}

#[test]
fn two_calls_give_the_bits_of_one() {
    for text in PROGRAMS {
        for kind in [Kind::Double, Kind::Float, Kind::BFloat16] {
            let session = session(text);
            for make in [packed, padded] {
                let (batch, leaf) = make(kind);
                let expected = session.forward(&batch).unwrap();
                expected.backward().unwrap();
                let (batch, other) = make(kind);
                let found = in_two_calls(&session, &batch);
                found.backward().unwrap();
                assert_eq!(told(&found), told(&expected), "{text}");
                let [found, expected] = [other, leaf].map(|leaf| numbers(leaf.grad().to_kind(Kind::Double)));
                assert_eq!(found, expected, "{text}");
            }
        }
    }
}

#[test]
fn rows_have_the_names_of_what_the_program_reads() {
    let session = session(PROGRAMS[0]);
    let names = session.row_names();
    assert_eq!(names[0], "log_prob");
    assert!(names.iter().any(|name| name.starts_with("entropy over top_k = 2")), "{names:?}");
    let (batch, _) = packed(Kind::Double);
    assert_eq!(session.rows(&batch).unwrap().size(), [6, names.len() as i64]);
    let plain = crate::session("loss = token_mean((values - returns) ^ 2)");
    assert!(plain.row_names().is_empty());
    assert_eq!(plain.rows(&batch).unwrap().size(), [6, 0]);
}

#[test]
fn rows_may_be_cut_and_reordered_between_the_calls() {
    let session = session(PROGRAMS[2]);
    let (batch, leaf) = packed(Kind::Double);
    let expected = session.forward(&batch).unwrap();
    expected.backward().unwrap();
    let (batch, other) = packed(Kind::Double);
    let pick = |batch: &Batch, name: &str, order: &[i64]| {
        field(batch, name).index_select(0, &Tensor::from_slice(order))
    };
    let halves = [[4i64, 1, 5], [0, 3, 2]].map(|order| {
        let part = Batch::new()
            .with("logits", pick(&batch, "logits", &order))
            .with("actions", pick(&batch, "actions", &order));
        session.rows(&part).unwrap()
    });
    let order = Handle::from(Tensor::from_slice(&[3i64, 1, 5, 4, 0, 2]));
    let rows = Handle::cat(&halves, 0).index_select(0, &order);
    let rest = batch.iter().filter(|(name, _)| *name != "logits");
    let rest = rest.fold(Batch::new(), |batch, (name, tensor)| batch.with(name, tensor.clone()));
    let found = session.forward(&rest.with("rows", rows)).unwrap();
    found.backward().unwrap();
    assert_eq!(told(&found), told(&expected));
    assert_eq!(numbers(other.grad()), numbers(leaf.grad()));
}

#[test]
fn hidden_states_give_rows_of_any_leading_shape() {
    let session = session(PROGRAMS[1]);
    let (batch, _) = packed(Kind::Double);
    let hidden = Tensor::from_slice(&wave(6 * 5, 0.3)).view([6, 5]);
    let head = Tensor::from_slice(&wave(4 * 5, 0.9)).view([4, 5]);
    let of = |batch: Batch| session.rows(&batch).unwrap();
    let actions = field(&batch, "actions");
    let from_hidden = of(Batch::new()
        .with("hidden", hidden.view([1, 6, 5]))
        .with("lm_head", head.shallow_clone())
        .with("actions", actions.view([1, 6])));
    let from_logits =
        of(Batch::new().with("logits", hidden.linear::<Tensor>(&head, None)).with("actions", actions));
    assert_eq!(from_hidden.size(), [1, 6, 2]);
    let [a, b] = [from_hidden, from_logits].map(numbers);
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-12), "{a:?} and {b:?}");
}

#[test]
fn what_is_wrong_with_a_layout_is_told() {
    let session = session(PROGRAMS[1]);
    let refused = |batch: Batch| session.forward(&batch).unwrap_err();
    let (good, _) = packed(Kind::Float);
    let with = |name: &str, tensor: Tensor| {
        let batch = good.iter().fold(Batch::new(), |batch, (name, tensor)| batch.with(name, tensor.clone()));
        batch.with(name, tensor)
    };
    for ends in [&[0i64, 3, 4, 7][..], &[1, 3, 4, 6], &[0, 4, 3, 6]] {
        let error = refused(with("cu_seqlens", Tensor::from_slice(ends)));
        assert_says(&error, &["`cu_seqlens`", "rise from 0 to 6"]);
    }
    let error = refused(with("cu_seqlens", Tensor::from_slice(&[0.0, 6.0])));
    assert_says(&error, &["`cu_seqlens`", "int64 `[B + 1]`"]);
    let rows = session.rows(&good).unwrap().tch().unwrap();
    let error = refused(with("rows", rows.shallow_clone()));
    assert_says(&error, &["either `rows` or `logits`", "both"]);
    let bare = good.iter().filter(|(name, _)| *name != "logits");
    let bare = bare.fold(Batch::new(), |batch, (name, tensor)| batch.with(name, tensor.clone()));
    let error = refused(bare.with("rows", rows.narrow(1, 0, 1)));
    assert_says(&error, &["`rows`", "[1, 6, 2]", "[1, 6, 1]"]);
}

/// A batch whose rows have temperatures of their own.
fn warmed(make: fn(Kind) -> (Batch, Tensor), kind: Kind, of_sequences: bool) -> (Batch, Tensor) {
    let (batch, leaf) = make(kind);
    let is_packed = batch.get("cu_seqlens").is_some();
    let heat: &[f64] = match (of_sequences, is_packed) {
        (true, _) => &[0.5, f64::NAN, 2.0],
        (false, true) => &[0.5, f64::NAN, 0.5, f64::NAN, 2.0, 2.0],
        (false, false) => &[0.5, f64::NAN, 0.5, f64::NAN, -1.0, 0.0, 2.0, 2.0, f64::INFINITY],
    };
    let heat = Tensor::from_slice(heat).to_kind(Kind::Float);
    let heat = if of_sequences || is_packed { heat } else { heat.view([3, 3]) };
    (batch.with("heat", heat), leaf)
}

#[test]
fn temperatures_of_rows_follow_every_layout() {
    for text in PROGRAMS {
        let session = session(&format!("input heat: seq\nset temperature = heat\n{text}"));
        for kind in [Kind::Double, Kind::Float, Kind::BFloat16] {
            let (plain, wide) = warmed(padded, kind, true);
            let expected = session.forward(&plain).unwrap();
            expected.backward().unwrap();
            for (make, of_sequences) in
                [(padded as fn(Kind) -> (Batch, Tensor), false), (packed, true), (packed, false)]
            {
                let (batch, leaf) = warmed(make, kind, of_sequences);
                let found = session.forward(&batch).unwrap();
                found.backward().unwrap();
                assert_eq!(told(&found), told(&expected), "{text}");
                let gradient = leaf.grad();
                let gradient = if gradient.dim() == 3 {
                    of_tokens(&gradient)
                } else {
                    numbers(gradient.to_kind(Kind::Double))
                };
                assert_eq!(gradient, of_tokens(&wide.grad()), "{text}");
                // The rows of the second call come from temperatures in any of these shapes.
                assert_eq!(told(&in_two_calls(&session, &batch)), told(&expected), "{text}");
            }
        }
    }
}
