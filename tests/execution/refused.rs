//! Batches that are refused: each error names the field, what was expected and what came.

use crate::{PPO, assert_says, batch, field, logits, number, plain, session, without};
use aent::{Batch, Error, Options, Session, compile};
use tch::{Device, Kind, Tensor};

/// Every field of the language in one loss.
const EVERYTHING: &str = "
    input weight: token
    input kept: seq bool
    input scale: scalar
    input turn: token int
    loss = token_mean(clip_ppo() * weight + where(kept, entropy(), 0)) * scale
         + token_mean(segment_mean(log_prob, by = turn) * advantages)
         + batch_mean((rewards - group_mean(rewards)) * seq_mean(log_prob))";

fn everything() -> Batch {
    plain()
        .with("weight", Tensor::ones([2, 3], (Kind::Float, Device::Cpu)))
        .with("kept", Tensor::from_slice(&[true, false]))
        .with("turn", Tensor::from_slice(&[7i64, -1, 7, 3, 3, 7]).view([2, 3]))
        .with("scale", Tensor::from(2.0f32))
}

#[track_caller]
fn refused(batch: &Batch) -> Error {
    session(EVERYTHING).forward(batch).expect_err("the batch is wrong")
}

#[test]
fn the_batch_of_these_tests_is_right() {
    session(EVERYTHING).forward(&everything()).unwrap();
}

#[test]
fn a_missing_field_is_named_with_what_it_holds() {
    let session = session(EVERYTHING);
    for (name, word) in [
        ("logits", "[B, T, V]"),
        ("actions", "int64"),
        ("response_mask", "which tokens count"),
        ("old_log_prob", "`token`"),
        ("advantages", "`token`"),
        ("rewards", "`seq`"),
        ("group", "`seq int`"),
        ("turn", "`token int`"),
        ("weight", "`input`"),
        ("kept", "`seq bool`"),
        ("scale", "one value"),
    ] {
        let all = everything();
        let kept = all.iter().filter(|(of, _)| *of != name);
        let batch = kept.fold(Batch::new(), |kept, (name, tensor)| kept.with(name, tensor));
        let error = session.forward(&batch).unwrap_err();
        assert!(matches!(&error, Error::MissingField { name: of, .. } if of == name), "{error}");
        assert_says(&error, &[&format!("`{name}`"), word]);
    }
}

#[test]
fn a_tensor_that_requires_gradient_is_refused_where_none_flows() {
    let session = session(EVERYTHING);
    let wants = |name: &str| field(&everything(), name).detach().set_requires_grad(true);
    for name in ["old_log_prob", "advantages", "rewards", "weight", "scale"] {
        let error = session.forward(&everything().with(name, wants(name))).unwrap_err();
        assert!(matches!(&error, Error::Field { name: of, .. } if of == name), "{error}");
        assert_says(&error, &[&format!("`{name}`"), "requires no gradient", "`detach()` it"]);
        // Nothing is lost where nobody asks for a gradient.
        tch::no_grad(|| session.forward(&everything().with(name, wants(name)))).unwrap();
    }
    let mask = Tensor::ones([2, 3], (Kind::Float, Device::Cpu)).set_requires_grad(true);
    assert_says(&refused(&everything().with("response_mask", mask)), &["`response_mask`", "`detach()` it"]);
}

#[test]
fn a_reference_that_requires_gradient_is_refused() {
    let session = session("loss = token_mean(reverse_kl())");
    let reference = logits(3, Kind::Float);
    session.forward(&plain().with("ref_logits", reference.detach())).unwrap();
    let error = session.forward(&plain().with("ref_logits", reference)).unwrap_err();
    assert_says(&error, &["`ref_logits`", "requires no gradient"]);
}

#[test]
fn what_is_trained_may_require_gradient() {
    let values = || Tensor::ones([2, 3], (Kind::Float, Device::Cpu)).set_requires_grad(true);
    let session = session("loss = token_mean(log_prob * advantages) + token_mean(values ^ 2)");
    let (logits, values) = (logits(0, Kind::Float), values());
    session.forward(&batch(&logits).with("values", values.shallow_clone())).unwrap().backward().unwrap();
    assert!(logits.grad().defined() && values.grad().defined());
}

#[test]
fn a_field_that_nothing_reads_need_not_be_there() {
    let program = "metric m = token_mean(entropy())\nloss = token_mean(log_prob)";
    session(program).forward(&without("rewards")).unwrap();
}

#[test]
fn a_wrong_shape_is_told_with_both_shapes() {
    let float = (Kind::Float, Device::Cpu);
    for (name, tensor, expected, found) in [
        ("logits", Tensor::zeros([2, 4, 4], float), "[2, 3, V]", "[2, 4, 4]"),
        ("logits", Tensor::zeros([2, 3], float), "[2, 3, V]", "[2, 3]"),
        ("logits", Tensor::zeros([2, 3, 0], float), "[2, 3, V]", "[2, 3, 0]"),
        ("actions", Tensor::zeros([3, 2], (Kind::Int64, Device::Cpu)), "[2, 3]", "[3, 2]"),
        ("response_mask", Tensor::ones([6], float), "[B, T]", "[6]"),
        ("response_mask", Tensor::ones([2, 3, 1], float), "[B, T]", "[2, 3, 1]"),
        ("old_log_prob", Tensor::zeros([2], float), "[2, 3]", "[2]"),
        ("advantages", Tensor::zeros([3], float), "[2, 3] or [2]", "[3]"),
        ("rewards", Tensor::zeros([2, 1], float), "[2]", "[2, 1]"),
        ("group", Tensor::zeros([3], (Kind::Int64, Device::Cpu)), "[2]", "[3]"),
        ("turn", Tensor::zeros([2], (Kind::Int64, Device::Cpu)), "[2, 3]", "[2]"),
        ("scale", Tensor::zeros([2], float), "one value", "[2]"),
        ("kept", Tensor::ones([2, 3], (Kind::Bool, Device::Cpu)), "[2]", "[2, 3]"),
    ] {
        let error = refused(&everything().with(name, tensor));
        assert!(matches!(&error, Error::Field { name: of, .. } if of == name), "{name}: {error}");
        assert_says(&error, &[&format!("`{name}`"), expected, found]);
    }
}

#[test]
fn a_wrong_kind_is_told_with_both_kinds() {
    let ints = |size: &[i64]| Tensor::zeros(size, (Kind::Int64, Device::Cpu));
    for (name, tensor, expected, found) in [
        ("logits", ints(&[2, 3, 4]), "f32, f64, bf16 or f16", "i64"),
        ("actions", Tensor::zeros([2, 3], (Kind::Float, Device::Cpu)), "int64", "f32"),
        ("group", Tensor::zeros([2], (Kind::Float, Device::Cpu)), "int64", "f32"),
        ("turn", Tensor::zeros([2, 3], (Kind::Double, Device::Cpu)), "int64 or int32 ids", "f64"),
        ("turn", Tensor::zeros([2, 3], (Kind::Bool, Device::Cpu)), "int64 or int32 ids", "bool"),
        ("advantages", Tensor::ones([2, 3], (Kind::Bool, Device::Cpu)), "numbers", "bool"),
        ("rewards", Tensor::zeros([2], (Kind::ComplexFloat, Device::Cpu)), "real", "complex"),
    ] {
        let error = refused(&everything().with(name, tensor));
        assert!(matches!(&error, Error::Field { name: of, .. } if of == name), "{name}: {error}");
        assert_says(&error, &[&format!("`{name}`"), expected, found]);
    }
}

#[test]
fn whole_numbers_may_stand_for_numbers_and_truth_values() {
    let expected = number(session(EVERYTHING).forward(&everything()).unwrap().loss());
    let whole = everything()
        .with("rewards", Tensor::from_slice(&[1i64, 0]))
        .with("kept", Tensor::from_slice(&[1i64, 0]))
        .with("turn", field(&everything(), "turn").to_kind(Kind::Int))
        .with("actions", field(&everything(), "actions").to_kind(Kind::Int))
        .with("response_mask", field(&everything(), "response_mask").to_kind(Kind::Float))
        .with("scale", Tensor::from_slice(&[2i64]));
    assert_eq!(number(session(EVERYTHING).forward(&whole).unwrap().loss()), expected);
}

#[test]
fn a_mask_holds_nothing_but_zeros_and_ones() {
    for (wrong, found) in [(0.5, "0.5"), (f64::NAN, "NaN"), (-1.0, "-1")] {
        let mask = Tensor::from_slice(&[1.0, 1.0, 0.0, 1.0, wrong, 0.0]).view([2, 3]);
        let error = refused(&everything().with("response_mask", mask));
        assert_says(&error, &["`response_mask`", "[1, 1]", "0 or 1", found]);
    }
    let kept = Tensor::from_slice(&[1i64, 2]);
    assert_says(&refused(&everything().with("kept", kept)), &["`kept`", "[1]", "0 or 1", "found 2"]);
}

#[test]
fn an_action_outside_the_vocabulary_is_found_where_it_counts() {
    let actions = |at: i64, value: i64| {
        let actions = field(&everything(), "actions").copy();
        let _ = actions.view(-1).get(at).fill_(value);
        everything().with("actions", actions)
    };
    for (wrong, found) in [(4, "found 4"), (-1, "found -1"), (-100, "found -100")] {
        let error = refused(&actions(3, wrong));
        assert!(matches!(&error, Error::Value { .. }), "{error}");
        assert_says(&error, &["`actions`", "[1, 0]", "0 .. 3", found]);
        session(EVERYTHING).forward(&actions(4, wrong)).unwrap();
    }
}

#[test]
fn a_number_that_is_not_finite_is_found_where_it_counts() {
    for wrong in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let field = |name: &str, at: i64| {
            let tensor = field(&everything(), name).copy();
            let _ = tensor.view(-1).get(at).fill_(wrong);
            everything().with(name, tensor)
        };
        for (name, at, place) in [
            ("old_log_prob", 3, "[1, 0]"),
            ("advantages", 0, "[0, 0]"),
            ("weight", 2, "[0, 2]"),
            ("rewards", 1, "[1]"),
            ("scale", 0, "[]"),
        ] {
            let error = refused(&field(name, at));
            assert!(matches!(&error, Error::Value { .. }), "{error}");
            assert_says(&error, &[&format!("`{name}`"), place, "finite"]);
        }
        session(EVERYTHING).forward(&field("old_log_prob", 4)).unwrap();
    }
}

#[test]
fn a_row_without_a_softmax_is_found_where_it_counts() {
    let with = |token: i64, word: Option<i64>, value: f64| {
        let logits = logits(0, Kind::Float).detach().copy();
        let row = logits.view([6, 4]).get(token);
        let _ = match word {
            Some(word) => row.get(word).fill_(value),
            None => row.shallow_clone().fill_(value),
        };
        batch(&logits.set_requires_grad(true))
    };
    for (word, value) in
        [(Some(1), f64::NAN), (Some(1), f64::INFINITY), (None, f64::NEG_INFINITY), (None, f64::NAN)]
    {
        let error = session(PPO).forward(&with(3, word, value)).unwrap_err();
        assert!(matches!(&error, Error::Value { name, .. } if name == "logits"), "{error}");
        assert_says(&error, &["`logits`", "[1, 0]", "NaN, +inf, or nothing but -inf"]);
        session(PPO).forward(&with(4, word, value)).unwrap();
    }
    // A banned token is fine, unless it is the one that was sampled.
    session(PPO).forward(&with(3, Some(1), f64::NEG_INFINITY)).unwrap();
    let error = session(PPO).forward(&with(3, Some(2), f64::NEG_INFINITY)).unwrap_err();
    assert_says(&error, &["`logits`", "[1, 0]", "action", "-inf"]);
}

#[test]
fn without_validation_values_are_taken_as_they_are() {
    let fast = Options { validate: false, ..Options::default() };
    let session = Session::with(compile(PPO).unwrap(), fast);
    let advantages = field(&plain(), "advantages").copy();
    let _ = advantages.view(-1).get(0).fill_(f64::NAN);
    let output = session.forward(&plain().with("advantages", advantages)).unwrap();
    assert!(number(output.loss()).is_nan());
    // Reading beyond a row is refused all the same.
    let actions = field(&plain(), "actions").copy();
    let _ = actions.view(-1).get(0).fill_(4);
    let error = session.forward(&plain().with("actions", actions)).unwrap_err();
    assert!(matches!(&error, Error::Value { name, .. } if name == "actions"), "{error}");
    assert_says(&error, &["`actions` at [0, 0]", "a token id in 0 .. 3", "found 4"]);
}

#[test]
fn a_loss_that_reaches_no_leaf_says_what_to_do() {
    let frozen = logits(0, Kind::Float).detach();
    let error = session(PPO).forward(&batch(&frozen)).unwrap().backward().unwrap_err();
    assert!(matches!(error, Error::Step(_)), "{error}");
    assert_says(&error, &["`logits`", "set_requires_grad(true)"]);
    let output = tch::no_grad(|| session(PPO).forward(&plain())).unwrap();
    assert_says(&output.backward().unwrap_err(), &["`no_grad`"]);
}

#[test]
fn what_libtorch_refuses_is_one_line() {
    let output = session(PPO).forward(&plain()).unwrap();
    output.backward().unwrap();
    let error = output.backward().unwrap_err();
    assert!(matches!(error, Error::Torch(_)), "{error}");
    let sentence = error.to_string();
    assert!(sentence.starts_with("torch: ") && sentence.contains("second time"), "{sentence}");
    assert_eq!(sentence.lines().count(), 1, "{sentence}");
}

#[test]
fn the_output_of_another_session_moves_nothing() {
    let text = "controller c = linear(from = 1, to = 0, steps = 4)\nloss = c * token_mean(clip_ppo())";
    let (mut one, other) = (session(text), session(text));
    let foreign = other.forward(&plain()).unwrap();
    assert_says(&one.update(&foreign).unwrap_err(), &["of this session", "of another"]);
    assert_eq!((one.steps(), one.coefficients()["c"]), (0, 1.0));
    let own = one.forward(&plain()).unwrap();
    one.update(&own).unwrap();
    assert_eq!((one.steps(), one.coefficients()["c"]), (1, 0.75));
}
