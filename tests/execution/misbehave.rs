//! Plugins that do not keep their word: the error names them, and the process goes on.

use crate::{assert_says, batch, logits, number, numbers, plain, session};
use aent::Error;
use aent::plugin::prelude::*;
use tch::Kind as Float;

/// Does what `how` says.
#[term(name = "test::rogue", example = "test::rogue(how = \"keeps\")")]
struct Rogue {
    /// What goes wrong.
    how: String,
}

/// Gives back what it was given.
#[reduction(name = "test::lazy", example = "test::lazy(log_prob)")]
struct Lazy {}

impl Term for Rogue {
    fn signature() -> Signature {
        Signature::new(Type::TOKEN).input(Input::field("log_prob", Type::TOKEN)).extra(Extra::new(
            "twice",
            Type::TOKEN,
            "Twice the value.",
        ))
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        let x = ctx.input("log_prob");
        Ok(match self.how.as_str() {
            "panics" => panic!("the ground\nopened"),
            "panics in tch" => Tensor::from(x.tch()?.view([1000, 1000])).into(),
            "fails in torch" => x.reshape(&[1000, 1000]).into(),
            "asks for more" => ctx.input("advantages").clone().into(),
            "refuses" => return Err(EvalError("not on a Sunday".to_owned())),
            "shrinks" => x.sum_dim(1, false, x.dtype()).into(),
            "says yes" => x.gt(0.0).into(),
            "forgets" => x.clone().into(),
            "shrinks twice" => TermValue::from(x.clone()).with("twice", x.sum()),
            "poisons" => {
                let outside = ctx.mask().logical_not();
                let poison = x.masked_fill(&outside, f64::NAN);
                TermValue::from(poison.sqrt() * poison).with("twice", x * 2.0)
            }
            _ => TermValue::from(x.clone()).with("twice", x * 2.0),
        })
    }
}

impl Reduction for Lazy {
    fn signature() -> ReductionSignature {
        ReductionSignature::new(Type::TOKEN, Type::SCALAR)
    }

    fn reduce(&self, x: &Tensor, _: &TermContext<'_>) -> Result<Tensor, EvalError> {
        Ok(x.clone())
    }
}

#[track_caller]
fn refused(text: &str) -> Error {
    let error = session(text).forward(&plain()).expect_err("the plugin misbehaves");
    assert!(matches!(&error, Error::Object { owner, .. } if owner == "aent"), "{error}");
    error
}

#[test]
fn a_term_that_keeps_its_word_runs() {
    let text = "let x = test::rogue(how = \"keeps\")\nloss = token_mean(x + x.twice)";
    session(text).forward(&plain()).unwrap();
}

#[test]
fn what_a_term_does_wrong_is_told_with_its_name() {
    for (how, words) in [
        ("panics", ["panicked", "the ground"]),
        ("panics in tch", ["panicked", "shape"]),
        ("fails in torch", ["shape '[1000, 1000]' is invalid", ""]),
        ("asks for more", ["declares no input", "`advantages`"]),
        ("refuses", ["not on a Sunday", ""]),
        ("shrinks", ["shape [2, 3]", "found [2]"]),
        ("says yes", ["numbers", "bool"]),
    ] {
        let error = refused(&format!("loss = token_mean(log_prob + test::rogue(how = \"{how}\"))"));
        assert_says(&error, &["`test::rogue`", "`aent`", words[0], words[1]]);
    }
}

#[test]
fn an_extra_is_held_to_its_word_too() {
    for (how, words) in
        [("forgets", ["`twice`", "did not give it"]), ("shrinks twice", ["`twice`", "found []"])]
    {
        let error = refused(&format!("let x = test::rogue(how = \"{how}\")\nloss = token_mean(x + x.twice)"));
        assert_says(&error, &["`test::rogue`", words[0], words[1]]);
    }
    // What nobody reads harms nobody.
    session("loss = token_mean(test::rogue(how = \"forgets\"))").forward(&plain()).unwrap();
}

#[test]
fn a_reduction_that_does_not_reduce_is_told_with_its_name() {
    assert_says(&refused("loss = test::lazy(log_prob)"), &["`test::lazy`", "shape []", "found [2, 3]"]);
}

#[test]
fn what_a_term_gives_at_masked_positions_reaches_nothing() {
    let poisoned = logits(0, Float::Double);
    // Negative log-probabilities have no root: only positions that do not count are made to matter.
    let text = "loss = token_mean(where(response_mask, log_prob, test::rogue(how = \"poisons\")))";
    let output = session(text).forward(&batch(&poisoned)).unwrap();
    output.backward().unwrap();
    let clean = logits(0, Float::Double);
    session("loss = token_mean(log_prob)").forward(&batch(&clean)).unwrap().backward().unwrap();
    assert!(number(output.loss()).is_finite());
    assert_eq!(numbers(clean.grad())[16..], [0.0; 8]);
    assert_eq!(numbers(poisoned.grad())[16..], [0.0; 8]);
}
