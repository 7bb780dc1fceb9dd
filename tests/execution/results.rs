//! What a step gives: kinds, masks, broadcasts, where `log_prob` comes from.

use crate::{PPO, SIZE, batch, field, logits, number, numbers, plain, session};
use aent::tensor::{DType, Tensor as Handle};
use aent::{Batch, Options, Session, compile};
use tch::{Device, Kind, Tensor};

/// The file that opens the language reference.
const AENT: &str = "
    param eps  = 0.2  in 0 .. 1
    param drop = 30%

    set temperature = 1.0

    let policy  = clip_ppo(low = eps, high = eps)
    let entropy = clamped_entropy(drop = drop)

    controller beta = band(
        signal = token_mean(entropy),
        target = 0.05 .. 0.23,
        step   = 1e-3,
        bounds = 1e-5 .. 3e-3,
        init   = 2e-4,
        warmup = 29,
    )

    loss = token_mean(policy) - beta * token_mean(entropy)

    metric clip_fraction = token_mean(policy.clipped)";

fn loss_and_gradient(session: &Session, kind: Kind) -> (f64, Vec<f64>) {
    let logits = logits(3, kind);
    let output = session.forward(&batch(&logits)).unwrap();
    output.backward().unwrap();
    (number(output.loss()), numbers(logits.grad()))
}

#[test]
fn the_surrogate_by_hand_is_the_registered_one_bit_for_bit() {
    let registered = session("loss = token_mean(clip_ppo(low = 0.2, high = 0.2))");
    let by_hand = session(PPO);
    for kind in [Kind::Double, Kind::Float] {
        assert_eq!(loss_and_gradient(&registered, kind), loss_and_gradient(&by_hand, kind));
    }
    assert_eq!(registered.plan().log_prob, by_hand.plan().log_prob);
    assert_eq!(registered.plan().rows, by_hand.plan().rows);
}

#[test]
fn the_file_of_the_reference_is_the_sum_of_its_parts() {
    let surrogate = "max(-advantages * ratio, -advantages * clamp(ratio, 1 - eps, 1 + eps))";
    let by_hand = AENT.replace(
        "let policy  = clip_ppo(low = eps, high = eps)",
        &format!("let ratio = exp(log_prob - old_log_prob)\nlet policy = {surrogate}"),
    );
    let by_hand = by_hand.replace("policy.clipped", "ratio > 1.2 or ratio < 0.8");
    let (file, by_hand) = (session(AENT), session(&by_hand));
    assert_eq!(loss_and_gradient(&file, Kind::Double), loss_and_gradient(&by_hand, Kind::Double));

    // And both are what tch says of the formula. Of four words, 30% are one.
    let logits = logits(3, Kind::Double);
    let batch = batch(&logits);
    let field = |name: &str| field(&batch, name);
    let mask = field("response_mask").to_kind(Kind::Double);
    let mean = |x: Tensor| (x * &mask).sum(Kind::Double) / 4.0;
    let logp = logits.log_softmax(-1, Kind::Double);
    let ratio = (logp.gather(-1, &field("actions").unsqueeze(-1), false).squeeze_dim(-1)
        - field("old_log_prob"))
    .exp();
    let gain = -field("advantages");
    let policy = (&gain * &ratio).maximum(&(&gain * ratio.clamp(0.8, 1.2)));
    let (kept, _) = logits.topk(3, -1, true, true);
    let kept = kept.log_softmax(-1, Kind::Double);
    let entropy = -(kept.exp() * &kept).sum_dim_intlist([-1i64].as_slice(), false, Kind::Double);
    let loss = mean(policy) - mean(entropy) * 2e-4;
    loss.backward();
    let (found, gradient) = loss_and_gradient(&file, Kind::Double);
    assert!((found - number(&loss)).abs() < 1e-14, "{found} and {loss}");
    for (found, expected) in gradient.iter().zip(numbers(logits.grad())) {
        assert!((found - expected).abs() < 1e-14, "{found} and {expected}");
    }
}

#[test]
fn advantages_may_come_one_per_sequence() {
    let per_sequence = Tensor::from_slice(&[0.5f32, -2.0]);
    let per_token = per_sequence.unsqueeze(1).repeat([1, 3]);
    let loss = |advantages: Tensor| {
        number(session(PPO).forward(&plain().with("advantages", advantages)).unwrap().loss())
    };
    assert_eq!(loss(per_sequence), loss(per_token));
    let used_alone =
        session("loss = token_mean(advantages * log_prob)\nmetric m = batch_mean(seq_sum(advantages))");
    let output =
        used_alone.forward(&plain().with("advantages", Tensor::from_slice(&[0.5f32, -2.0]))).unwrap();
    // Three tokens of 0.5 in the first sequence, one of -2 in the second.
    assert_eq!(output.metrics().unwrap()["m"], (1.5 - 2.0) / 2.0);
}

#[test]
fn numbers_are_computed_in_the_kind_that_the_batch_brings() {
    let expected = loss_and_gradient(&session(PPO), Kind::Double);
    for (kind, computed, tolerance) in [
        (Kind::Double, Kind::Double, 0.0),
        (Kind::Float, Kind::Float, 1e-6),
        (Kind::BFloat16, Kind::Float, 2e-2),
        (Kind::Half, Kind::Float, 2e-3),
    ] {
        let logits = logits(3, kind);
        let output = session(PPO).forward(&batch(&logits)).unwrap();
        output.backward().unwrap();
        assert_eq!(output.loss().dtype(), DType::from(computed));
        assert_eq!(logits.grad().kind(), kind);
        assert!((number(output.loss()) - expected.0).abs() <= tolerance, "{kind:?}");
        for (found, expected) in numbers(logits.grad()).iter().zip(&expected.1) {
            assert!((found - expected).abs() <= tolerance, "{kind:?}: {found} and {expected}");
        }
    }
}

#[test]
fn token_fields_may_be_wider_or_narrower_than_the_logits() {
    let expected = number(session(PPO).forward(&plain()).unwrap().loss());
    for kind in [Kind::Double, Kind::Half, Kind::BFloat16] {
        let advantages = field(&plain(), "advantages").to_kind(kind);
        let output = session(PPO).forward(&plain().with("advantages", advantages)).unwrap();
        output.backward().unwrap();
        // The advantages are short binary fractions, which every kind holds.
        assert!((number(output.loss()) - expected).abs() < 1e-6, "{kind:?}");
    }
}

#[test]
fn log_prob_of_the_batch_goes_before_the_logits() {
    let logits = logits(0, Kind::Double);
    let batch = batch(&logits);
    let actions = field(&batch, "actions").unsqueeze(-1);
    let own = logits.detach().log_softmax(-1, Kind::Double).gather(-1, &actions, false).squeeze_dim(-1);
    let own = own.set_requires_grad(true);
    let derived = session(PPO).forward(&batch).unwrap();
    derived.backward().unwrap();
    let names = ["response_mask", "old_log_prob", "advantages"];
    let fields = names.map(|name| (name, field(&batch, name)));
    let alone = fields.into_iter().fold(Batch::new(), |batch, (name, tensor)| batch.with(name, tensor));
    let brought = session(PPO).forward(&alone.with("log_prob", own.shallow_clone())).unwrap();
    brought.backward().unwrap();
    assert!((number(brought.loss()) - number(derived.loss())).abs() < 1e-15);
    // The chain rule over the softmax, summed over the words: one gradient tells the other.
    let at_action = logits.grad().gather(-1, &actions, false).squeeze_dim(-1);
    let expected = own.grad() * (own.detach().exp() * -1.0 + 1.0);
    assert!(f64::try_from((at_action - expected).abs().max()).unwrap() < 1e-15);
    assert_eq!(numbers(own.grad())[4..], [0.0, 0.0]);
}

#[test]
fn the_temperature_divides_the_logits_before_anything_is_read() {
    let text =
        "loss = token_mean(log_prob) - 0.3 * token_mean(entropy()) + token_mean(clamped_entropy(top_k = 2))";
    let logits = logits(0, Kind::Double);
    let heated =
        session(&format!("param heat = 1\nset temperature = heat\n{text}").replace("= 1\n", "= 2\n"));
    let found = number(heated.forward(&batch(&logits)).unwrap().loss());
    let divided = (logits.detach() / 2.0).set_requires_grad(true);
    let expected = number(session(text).forward(&batch(&divided)).unwrap().loss());
    assert!((found - expected).abs() < 1e-15);
    let plain = number(session(text).forward(&batch(&logits)).unwrap().loss());
    assert!((found - plain).abs() > 1e-3, "the temperature makes a difference");
}

#[test]
fn a_batch_without_a_token_that_counts_moves_nothing() {
    let text = AENT.replace("warmup = 29", "warmup = 0");
    let mut session = session(&text);
    let logits = logits(0, Kind::Float);
    let masked = batch(&logits).with("response_mask", Tensor::zeros([2, 3], (Kind::Bool, Device::Cpu)));
    let before = session.coefficients();
    let output = session.forward(&masked).unwrap();
    output.backward().unwrap();
    assert_eq!(number(output.loss()), 0.0);
    assert_eq!(numbers(logits.grad()), [0.0; 24]);
    assert_eq!(output.tokens().unwrap(), 0);
    assert_eq!(output.metrics().unwrap()["clip_fraction"], 0.0);
    session.update(&output).unwrap();
    assert_eq!((session.coefficients(), session.steps()), (before.clone(), 1));
    let output = session.forward(&batch(&logits)).unwrap();
    session.update(&output).unwrap();
    assert_ne!(session.coefficients(), before);
}

#[test]
fn a_step_needs_neither_many_sequences_nor_many_tokens() {
    let text = "loss = token_mean(clip_ppo()) - seq_mean_token_mean(entropy()) + batch_mean((group_std(rewards) + group_max(rewards)) * seq_mean(log_prob))";
    for (b, t) in [(1, 1), (3, 1), (1, 3), (0, 3), (2, 0), (0, 0)] {
        let float = (Kind::Float, Device::Cpu);
        let logits = Tensor::randn([b, t, 5], float).set_requires_grad(true);
        let batch = Batch::new()
            .with("logits", logits.shallow_clone())
            .with("actions", Tensor::zeros([b, t], (Kind::Int64, Device::Cpu)))
            .with("response_mask", Tensor::ones([b, t], (Kind::Bool, Device::Cpu)))
            .with("old_log_prob", Tensor::zeros([b, t], float))
            .with("advantages", Tensor::ones([b], float))
            .with("rewards", Tensor::ones([b], float))
            .with("group", Tensor::zeros([b], (Kind::Int64, Device::Cpu)));
        let output = session(text).forward(&batch).unwrap_or_else(|error| panic!("[{b}, {t}]: {error}"));
        output.backward().unwrap();
        assert!(number(output.loss()).is_finite(), "[{b}, {t}]");
        assert_eq!(logits.grad().size(), [b, t, 5]);
        if b * t == 0 {
            assert_eq!(number(output.loss()), 0.0, "[{b}, {t}]");
        }
    }
}

#[test]
fn lets_are_given_out_with_zeros_where_they_do_not_count() {
    let text = "let ratio = exp(log_prob - old_log_prob)\nlet late = ratio > 0\nlet length = seq_sum(where(response_mask, 1, 0))\nlet all = token_sum(ratio)\nloss = token_mean(ratio)";
    let program = compile(text).unwrap();
    let session = Session::with(program, Options { lets: true, ..Options::default() });
    let output = session.forward(&plain()).unwrap();
    let named: Vec<(&str, &Handle)> = output.lets().collect();
    assert_eq!(named.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["ratio", "late", "length", "all"]);
    assert_eq!(numbers(named[0].1)[4..], [0.0, 0.0]);
    assert_eq!(numbers(named[1].1), [1.0, 1.0, 1.0, 1.0, 0.0, 0.0]);
    assert_eq!(named[1].1.dtype(), DType::Bool);
    assert_eq!(numbers(named[2].1), [3.0, 1.0]);
    assert!(named.iter().all(|(_, tensor)| !tensor.requires_grad()));
    let sum: f64 = numbers(named[0].1).iter().sum();
    assert!((number(named[3].1) - sum).abs() < 1e-5);
    assert!(self::session(text).forward(&plain()).unwrap().lets().next().is_none());
    assert_eq!(SIZE, [2, 3, 4]);
}

#[test]
fn a_condition_known_in_advance_keeps_the_shape_of_both_branches() {
    for (expr, expected) in [
        ("batch_sum(where(true, 1, rewards))", 2.0),
        ("token_sum(where(false, returns, 0.5))", 2.0),
        ("token_sum(where(true, rewards, returns))", 3.0),
        ("token_sum(where(half > 0.25, 0.5, rewards) * advantages)", -0.625),
    ] {
        let text = format!(
            "controller half = constant(value = 0.5)\nloss = token_mean(log_prob) * half\nmetric m = {expr}"
        );
        let returns = Tensor::ones([2, 3], (Kind::Float, Device::Cpu));
        let output = session(&text).forward(&plain().with("returns", returns)).unwrap();
        assert_eq!(output.metrics().unwrap()["m"], expected, "{expr}");
    }
}

#[test]
fn a_constant_that_overflows_is_computed_by_the_step_and_can_be_saved() {
    for (expr, expected) in
        [("exp(1000)", f64::INFINITY), ("1 / exp(1000)", 0.0), ("-(10 ^ 400)", f64::NEG_INFINITY)]
    {
        let program = compile(&format!("loss = token_mean(log_prob)\nmetric m = {expr}")).unwrap();
        let saved = serde_json::to_string(&program).unwrap();
        let restored: aent::Program = serde_json::from_str(&saved).unwrap();
        for program in [program, restored] {
            let metrics = Session::new(program).forward(&plain()).unwrap().metrics().unwrap();
            assert_eq!(metrics["m"], expected, "{expr}");
        }
    }
}

#[test]
fn a_quantile_that_falls_on_a_value_is_that_value_whatever_lies_beside_it() {
    let x = Tensor::from_slice(&[-0.0, -1.0, 0.5, 0.0, 0.0]).view([1, 5]);
    let batch =
        Batch::new().with("x", x).with("response_mask", Tensor::ones([1, 5], (Kind::Bool, Device::Cpu)));
    let found = |q: &str| {
        let text = format!("input x: token grad\nloss = quantile(1 / x, {q})");
        number(session(&text).forward(&batch).unwrap().loss())
    };
    let expected = [
        ("0", f64::NEG_INFINITY),
        ("0.25", -1.0),
        ("0.5", 2.0),
        ("0.6", f64::INFINITY),
        ("1", f64::INFINITY),
    ];
    for (q, value) in expected {
        assert_eq!(found(q).to_bits(), value.to_bits(), "quantile {q}: {} for {value}", found(q));
    }
    assert!(found("0.1") == f64::NEG_INFINITY);
}
