//! Fields that a file declares with `grad`: gradient flows to what the caller brought, however the step is cut.

use crate::{assert_says, batch, logits, number, numbers, session};
use aent::testing::on_ranks;
use aent::{Batch, compile};
use tch::{Kind, Tensor};

/// A loss with a second head (`token`), a normaliser (`seq`) and a router's loss (`scalar`).
const HEADS: &str = "
    input head: token grad
    input log_z: seq grad
    input router: scalar grad
    let gap = seq_sum(log_prob) + log_z - rewards
    loss = token_mean((head - advantages) ^ 2) + batch_mean(gap ^ 2) + 0.5 * router
    metric aux = router";

fn leaf(numbers: &[f64], size: &[i64]) -> Tensor {
    Tensor::from_slice(numbers).view(size).set_requires_grad(true)
}

/// The head, the normalisers and the router's loss.
fn heads() -> [Tensor; 3] {
    [leaf(&[0.5, -1.0, 2.0, 0.25, f64::NAN, 3.0], &[2, 3]), leaf(&[0.3, -0.7], &[2]), leaf(&[1.25], &[])]
}

fn with_heads(logits: &Tensor, [head, log_z, router]: &[Tensor; 3]) -> Batch {
    batch(logits)
        .with("head", head.shallow_clone())
        .with("log_z", log_z.shallow_clone())
        .with("router", router.shallow_clone())
}

#[test]
fn gradient_is_that_of_the_formula_and_zero_where_masked() {
    let heads = heads();
    let logits = logits(0, Kind::Double);
    let output = session(HEADS).forward(&with_heads(&logits, &heads)).unwrap();
    output.backward().unwrap();
    // d/dx mean((x - a)²) over the four tokens that count.
    let advantages = [1.0, -0.5, 0.25, -2.0];
    let head = numbers(heads[0].grad());
    for (index, expected) in
        [0.5, -1.0, 2.0, 0.25].iter().zip(advantages).map(|(x, a)| (x - a) / 2.0).enumerate()
    {
        assert!((head[index] - expected).abs() < 1e-14, "{head:?}");
    }
    assert_eq!(head[4..], [0.0, 0.0]);
    // d/dz mean((s + z - r)²) over two sequences is their gap.
    let log_prob = logits.log_softmax(-1, Kind::Double);
    let of = |b: i64, t: i64, action: i64| log_prob.double_value(&[b, t, action]);
    let gaps = [of(0, 0, 0) + of(0, 1, 3) + of(0, 2, 1) + 0.3 - 1.0, of(1, 0, 2) - 0.7];
    let log_z = numbers(heads[1].grad());
    for (found, expected) in log_z.iter().zip(gaps) {
        assert!((found - expected).abs() < 1e-14, "{log_z:?} for {gaps:?}");
    }
    assert_eq!(numbers(heads[2].grad()), [0.5]);
    assert_eq!(output.metrics().unwrap()["aux"], 1.25);
}

/// The parts of the batch, one sequence each, where each brings its own router's loss.
fn parts(logits: &Tensor, heads: &[Tensor; 3], routers: &[Tensor; 2]) -> Vec<Batch> {
    let parts = with_heads(logits, heads).split(2).unwrap();
    parts.into_iter().zip(routers).map(|(part, router)| part.with("router", router.shallow_clone())).collect()
}

#[test]
fn a_scalar_of_each_part_counts_by_the_parts_tokens() {
    // A product with another mean makes the loss no sum over parts, so that its gradient is taken of the whole first.
    let product = format!("{HEADS}\n    metric twice = 2 * router")
        .replace("0.5 * router", "router * token_mean(entropy())");
    for text in [HEADS, &product] {
        let session = session(text);
        let routers = || [leaf(&[1.0], &[]), leaf(&[3.0], &[])];
        // Three tokens of the first part count and one of the second.
        let pooled = leaf(&[(3.0 * 1.0 + 3.0) / 4.0], &[]);
        let [whole_logits, cut_logits] = [logits(0, Kind::Double), logits(0, Kind::Double)];
        let [mut whole, cut] = [heads(), heads()];
        whole[2] = pooled;
        let expected = session.forward(&with_heads(&whole_logits, &whole)).unwrap();
        expected.backward().unwrap();
        let routers = routers();
        let parts = parts(&cut_logits, &cut, &routers);
        let mut step = session.accumulate();
        for part in &parts {
            step.measure(part).unwrap();
        }
        for part in &parts {
            step.forward(part).unwrap().backward().unwrap();
        }
        let found = step.finish().unwrap();
        assert!((number(found.loss()) - number(expected.loss())).abs() < 1e-12, "{text}");
        assert!((found.metrics().unwrap()["aux"] - 1.5).abs() < 1e-12, "{text}");
        let close = |found: &Tensor, expected: &Tensor| {
            let [found, expected] = [found, expected].map(|leaf| numbers(leaf.grad()));
            let gap = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(gap < 1e-12, "{found:?} for {expected:?} in\n{text}");
        };
        close(&cut_logits, &whole_logits);
        close(&cut[0], &whole[0]);
        close(&cut[1], &whole[1]);
        let slope = numbers(whole[2].grad())[0];
        let of_parts = routers.map(|router| numbers(router.grad())[0]);
        assert!((of_parts[0] - slope * 0.75).abs() < 1e-12, "{of_parts:?} of {slope} in\n{text}");
        assert!((of_parts[1] - slope * 0.25).abs() < 1e-12, "{of_parts:?} of {slope} in\n{text}");
    }
}

#[test]
fn ranks_bring_their_own_scalar() {
    for text in [HEADS.to_owned(), HEADS.replace("0.5 * router", "router * token_mean(entropy())")] {
        let mut whole = heads();
        whole[2] = leaf(&[1.5], &[]);
        let expected = session(&text).forward(&with_heads(&logits(0, Kind::Double), &whole)).unwrap();
        let found = on_ranks(2, |group| {
            let rank = group.rank();
            let routers = [leaf(&[1.0], &[]), leaf(&[3.0], &[])];
            let part = parts(&logits(0, Kind::Double), &heads(), &routers).remove(rank);
            let (share, output) = session(&text).forward_over(&part, group).unwrap();
            share.backward().unwrap();
            (number(output.loss()), output.metrics().unwrap()["aux"], numbers(routers[rank].grad())[0])
        });
        for (loss, aux, _) in &found {
            assert!((loss - number(expected.loss())).abs() < 1e-12, "{loss} in\n{text}");
            assert!((aux - 1.5).abs() < 1e-12, "{aux} in\n{text}");
        }
        let [first, second] = [found[0].2, found[1].2];
        assert!((first - 3.0 * second).abs() < 1e-12 && second > 0.0, "{first} and {second} in\n{text}");
    }
}

#[test]
fn a_field_without_grad_still_refuses_a_tensor_that_requires_it() {
    let text = HEADS.replace("head: token grad", "head: token");
    let error = session(&text).forward(&with_heads(&logits(0, Kind::Double), &heads())).unwrap_err();
    assert_says(&error, &["`head`", "requires no gradient"]);
}

#[test]
fn truth_values_carry_no_gradient() {
    let text = "input kept: token bool grad\nloss = token_mean(where(kept, log_prob, 0))";
    let error = compile(text).unwrap_err().to_string();
    assert!(error.contains("kind-mismatch") && error.contains("truth values carry no gradient"), "{error}");
}
