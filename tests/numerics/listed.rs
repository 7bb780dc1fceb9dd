//! Statistics of tokens that the batch lists, against f64 from their formulas, one token after the other.

use crate::reference::{per_token, row};
use crate::{assert_fused_is_plain, assert_near, numbers, session, step, values};
use aent::testing::{Case, Extent, LISTED, gradient_matches_differences, rough, sample, smooth};
use aent::{Batch, Options, Session, compile};
use tch::{Device, Kind, Tensor};

const INPUTS: &str =
    "input kept: candidates id\ninput teacher_ids: candidates id\ninput teacher_log_prob: candidates\n";

/// The probability of each token of a row over all of it.
fn probabilities(z: &[f64]) -> Vec<f64> {
    let top = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = z.iter().map(|z| (z - top).exp()).sum();
    z.iter().map(|z| (z - top).exp() / sum).collect()
}

/// The policy's and the teacher's probabilities of the listed tokens.
fn pairs(case: &Case, at: usize) -> Vec<[f64; 2]> {
    let p = probabilities(row(case, at));
    let (ids, log_prob) = (case.teacher_ids()[at], case.teacher_log_prob()[at]);
    let listed = ids.iter().zip(log_prob).filter(|(id, _)| **id >= 0);
    listed.map(|(id, log_prob)| [p[*id as usize], log_prob.exp()]).collect()
}

fn kept(case: &Case, at: usize) -> Vec<f64> {
    let p = probabilities(row(case, at));
    case.kept()[at].iter().filter(|id| **id >= 0).map(|id| p[*id as usize]).collect()
}

/// A divergence of two lists of numbers, of which the first is the policy's.
fn divergence(name: &str, pairs: &[[f64; 2]]) -> f64 {
    let part = |p: f64, q: f64| if p > 0.0 { p * (p / q).ln() } else { 0.0 };
    pairs
        .iter()
        .map(|[policy, teacher]| match name {
            "reverse_kl" => part(*policy, *teacher),
            "forward_kl" => part(*teacher, *policy),
            _ => {
                let mixture = 0.3 * teacher + 0.7 * policy;
                0.3 * part(*teacher, mixture) + 0.7 * part(*policy, mixture)
            }
        })
        .sum()
}

fn with_rest(rest: &str, mut pairs: Vec<[f64; 2]>) -> Vec<[f64; 2]> {
    let mass = |side: usize| pairs.iter().map(|pair| pair[side]).sum::<f64>();
    let masses = [mass(0), mass(1)];
    match rest {
        "bucket" => pairs.push(masses.map(|mass| (1.0 - mass.min((-1e-7f64).exp())).max(0.0))),
        "renormalise" => {
            for pair in &mut pairs {
                *pair = [pair[0] / masses[0], pair[1] / masses[1]];
            }
        }
        _ => {}
    }
    pairs
}

/// A formula in the language, and the same in f64.
type Spec = (String, Box<dyn Fn(&Case, usize) -> f64>);

fn specs() -> Vec<Spec> {
    let mut specs: Vec<Spec> = vec![
        (
            "log_prob(within = kept)".to_owned(),
            Box::new(|case, at| {
                let p = probabilities(row(case, at))[case.actions[at] as usize];
                (p / kept(case, at).iter().sum::<f64>()).ln()
            }),
        ),
        (
            "entropy(within = kept)".to_owned(),
            Box::new(|case, at| {
                let p = kept(case, at);
                let mass: f64 = p.iter().sum();
                p.iter().filter(|p| **p > 0.0).map(|p| -p / mass * (p / mass).ln()).sum()
            }),
        ),
        ("mass(within = kept)".to_owned(), Box::new(|case, at| kept(case, at).iter().sum())),
        (
            "mass(within = teacher_ids)".to_owned(),
            Box::new(|case, at| pairs(case, at).iter().map(|pair| pair[0]).sum()),
        ),
    ];
    for name in ["forward_kl", "reverse_kl", "jensen_shannon"] {
        for rest in ["bucket", "renormalise", "ignore"] {
            let beta = if name == "jensen_shannon" { "beta = 0.3, " } else { "" };
            let call =
                format!("{name}({beta}within = teacher_ids, of = teacher_log_prob, rest = \"{rest}\")");
            let formula = move |case: &Case, at: usize| {
                let pairs = pairs(case, at);
                if pairs.is_empty() { 0.0 } else { divergence(name, &with_rest(rest, pairs)) }
            };
            specs.push((call, Box::new(formula)));
        }
    }
    specs
}

/// Whether the formula has a value: no list has only banned tokens, and no bucket is as small as rounding.
fn is_plain(case: &Case) -> bool {
    (0..case.mask.len()).filter(|at| case.mask[*at]).all(|at| {
        let pairs = pairs(case, at);
        let mass = |side: usize| pairs.iter().map(|pair| pair[side]).sum::<f64>();
        pairs.is_empty()
            || [0, 1].into_iter().all(|side| {
                let mass = mass(side);
                mass > 1e-12 && (1.0 - mass > 1e-4 || (1.0 - mass).abs() < 1e-12)
            })
    })
}

fn of(expr: &str) -> impl Fn(&Case) -> Vec<f64> + use<> {
    let session = session(&format!("{INPUTS}let value = {expr}\nloss = token_mean(log_prob)"));
    move |case| {
        let batch = case.poisoned().leaves(Kind::Double, Device::Cpu).batch;
        let output = session.forward(&batch).unwrap_or_else(|error| panic!("{error}"));
        numbers(crate::named(&output, "value"))
    }
}

#[test]
fn every_statistic_of_listed_tokens_is_that_of_its_formula() {
    let mut cases = sample(&smooth(Extent::default()), 40);
    cases.extend(sample(&rough(Extent::default()), 80));
    cases.retain(is_plain);
    assert!(cases.len() > 60, "too few cases are plain: {}", cases.len());
    for (expr, formula) in specs() {
        let found = of(&expr);
        for case in &cases {
            assert_near(&found(case), &per_token(case, |at| formula(case, at)), 1e-7, &expr);
        }
    }
}

#[test]
fn every_statistic_of_listed_tokens_has_the_gradient_of_its_value() {
    for (expr, _) in specs() {
        let session = session(&format!("{INPUTS}loss = token_mean({expr}) + token_mean(entropy())"));
        for case in sample(&smooth(Extent { sequences: 1..=3, width: 1..=3, vocabulary: 6..=9 }), 8) {
            gradient_matches_differences(&session, &case).unwrap_or_else(|error| panic!("{expr}: {error}"));
        }
    }
}

#[test]
fn fused_kernels_find_what_plain_operations_do_in_every_kind() {
    let cases = sample(&smooth(Extent::exactly(2, 3, 40)), 3);
    for (expr, _) in specs() {
        let text = format!("{INPUTS}let value = {expr}\nloss = token_mean(value) + token_mean(entropy())");
        assert_fused_is_plain(&text, &cases, &expr);
    }
}

#[test]
fn hidden_states_and_logits_that_are_overwritten_give_the_same() {
    let text = format!(
        "{INPUTS}loss = token_mean(log_prob(within = kept) + mass(within = teacher_ids)
         + forward_kl(within = teacher_ids, of = teacher_log_prob, rest = \"bucket\") + entropy(within = kept))"
    );
    for case in sample(&smooth(Extent::exactly(3, 4, 9)), 4) {
        let (b, t, v) = (3, 4, 9);
        let leaves = case.leaves(Kind::Double, Device::Cpu);
        let run = |options: Options, batch: &Batch| {
            let output = Session::with(compile(&text).unwrap(), options).forward(batch).unwrap();
            output.backward().unwrap();
            numbers(output.loss())
        };
        let loss = run(Options::default(), &leaves.batch);
        let gradient = numbers(leaves.logits.grad());
        // With the identity as the output layer, hidden states are the logits.
        let hidden = leaves.logits.detach().copy().set_requires_grad(true);
        let eye = Tensor::eye(v, (Kind::Double, Device::Cpu));
        let mut batch = Batch::new().with("hidden", hidden.shallow_clone()).with("lm_head", eye);
        for (name, tensor) in leaves.batch.iter().filter(|(name, _)| *name != "logits") {
            batch = batch.with(name, tensor.clone());
        }
        let chunked = Options { chunk_bytes: 2 * 8 * v as usize, ..Options::default() };
        assert_near(&run(chunked, &batch), &loss, 1e-12, "the loss from hidden states");
        assert_near(&numbers(hidden.grad()), &gradient, 1e-12, "the gradient of hidden states");
        let over = case.leaves(Kind::Double, Device::Cpu);
        let logits = over.logits.detach().copy().set_requires_grad(true);
        let made = &logits * 1.0;
        let batch = over.batch.with("logits", made);
        let overwritten = Options { overwrite_logits: true, ..Options::default() };
        assert_near(&run(overwritten, &batch), &loss, 1e-12, "the loss");
        assert_near(&numbers(logits.grad()), &gradient, 1e-12, "the gradient over the logits");
        assert_eq!(numbers(logits.grad()).len(), b * t * v as usize);
    }
}

/// One token of four, its teacher known on two of them.
fn worked(ids: &[i64], log_prob: &[f64]) -> Batch {
    let logits = Tensor::from_slice(&[2.0, 1.0, 0.0, -1.0]).view([1, 1, 4]).set_requires_grad(true);
    let count = ids.len() as i64;
    Batch::new()
        .with("logits", logits)
        .with("actions", Tensor::zeros([1, 1], (Kind::Int64, Device::Cpu)))
        .with("response_mask", Tensor::ones([1, 1], (Kind::Bool, Device::Cpu)))
        .with("teacher_ids", Tensor::from_slice(ids).view([1, 1, count]))
        .with("teacher_log_prob", Tensor::from_slice(log_prob).view([1, 1, count]))
}

/// Student logits [2, 1, 0, -1], teacher [0, 1, 2, -1]: the figures of the peers' formulas.
#[test]
fn the_worked_example_of_a_teachers_top_two() {
    let teacher = probabilities(&[0.0, 1.0, 2.0, -1.0]);
    let log_prob = [teacher[2].ln(), teacher[1].ln()];
    for (rest, expected) in
        [("ignore", 1.287_828_52), ("renormalise", 0.462_117_16), ("bucket", 1.080_972_63)]
    {
        let text = format!(
            "{INPUTS}loss = token_mean(forward_kl(within = teacher_ids, of = teacher_log_prob, rest = \"{rest}\"))"
        )
        .replace("input kept: candidates id\n", "");
        let found = numbers(step(&text, &worked(&[2, 1], &log_prob)).loss());
        assert!((found[0] - expected).abs() < 5e-9, "{rest}: {found:?}");
        // Pads change nothing, whatever stands there, and neither does the order.
        let padded = worked(&[-1, 1, -1, 2], &[f64::NAN, log_prob[1], 7.0, log_prob[0]]);
        assert_near(&numbers(step(&text, &padded).loss()), &found, 1e-15, rest);
    }
}

/// The bucket of a teacher who rules the listed token out: `-ln (1 - p)`, with slopes of `p = 1e-13`.
#[test]
fn the_gradient_of_a_list_with_little_mass_keeps_its_digits() {
    let text = "input teacher_ids: candidates id\ninput teacher_log_prob: candidates\n\
                loss = token_mean(forward_kl(within = teacher_ids, of = teacher_log_prob, rest = \"bucket\"))";
    let z = [30.0, 0.0, 1.0, -1.0];
    let logits = Tensor::from_slice(&z).view([1, 1, 4]).set_requires_grad(true);
    step(text, &worked(&[1], &[-1000.0]).with("logits", logits.shallow_clone())).backward().unwrap();
    let p = probabilities(&z);
    let slope = |id: usize| if id == 1 { p[1] } else { -p[1] * p[id] / (1.0 - p[1]) };
    for (id, found) in numbers(logits.grad()).into_iter().enumerate() {
        assert!((found - slope(id)).abs() <= 1e-12 * slope(id).abs(), "{id}: {found} for {}", slope(id));
    }
}

#[test]
fn a_list_of_all_tokens_is_the_vocabulary() {
    for case in sample(&smooth(Extent::exactly(2, 3, 5)), 6) {
        let leaves = case.leaves(Kind::Double, Device::Cpu);
        let all = Tensor::arange(5, (Kind::Int64, Device::Cpu)).flip([0]).expand([2, 3, 5], false);
        let batch = leaves.batch.with("all", all);
        for (listed, whole) in [
            ("log_prob(within = all)", "log_prob()"),
            ("entropy(within = all)", "entropy()"),
            ("mass(within = all)", "mass(drop = 0)"),
        ] {
            let text =
                format!("input all: candidates id\nlet a = {listed}\nlet b = {whole}\nloss = token_mean(a)");
            let output = session(&text).forward(&batch).unwrap();
            let [a, b] = ["a", "b"].map(|name| numbers(crate::named(&output, name)));
            assert_near(&a, &b, 1e-12, listed);
        }
    }
}

#[test]
fn a_token_without_a_list_has_neither_value_nor_gradient() {
    for case in sample(&smooth(Extent::exactly(2, 3, 6)), 4) {
        for (expr, _) in specs() {
            let text = format!(
                "{INPUTS}let value = {expr}\nloss = token_sum(value) # aent: allow(sum-grows-with-batch)"
            );
            let leaves = case.leaves(Kind::Double, Device::Cpu);
            let none = Tensor::full([2, 3, LISTED as i64], -1, (Kind::Int64, Device::Cpu));
            let batch = leaves.batch.with("kept", none.shallow_clone()).with("teacher_ids", none);
            let output = session(&text).forward(&batch).unwrap();
            output.backward().unwrap();
            assert_eq!(numbers(crate::named(&output, "value")), [0.0; 6], "{expr}");
            assert_eq!(numbers(leaves.logits.grad()), [0.0; 36], "{expr}");
        }
    }
}

#[test]
fn what_a_list_may_not_hold_is_refused_by_name() {
    let case = sample(&smooth(Extent::exactly(1, 2, 6)), 1).remove(0);
    let text = format!(
        "{INPUTS}loss = token_mean(log_prob(within = kept)
         + forward_kl(within = teacher_ids, of = teacher_log_prob, rest = \"bucket\"))"
    );
    let action = case.actions[0];
    let other = (action + 1) % 6;
    let run = |name: &str, tensor: Tensor, validate: bool| {
        let mut whole = case.clone();
        whole.mask = vec![true; 2];
        let batch = whole.leaves(Kind::Double, Device::Cpu).batch.with(name, tensor);
        let options = Options { validate, ..Options::default() };
        let session = Session::with(compile(&text).unwrap(), options);
        session.forward(&batch).map(|_| ()).map_err(|error| error.to_string())
    };
    let ids = |first: &[i64]| {
        let second = [case.actions[1], -1];
        Tensor::from_slice(&[first, &second].concat()).view([1, 2, 2])
    };
    for (first, message) in [
        ([action, 6], "`kept` at [0, 0]: expected different token ids in 0 .. 5, and -1 for none, found 6"),
        ([action, -2], "`kept` at [0, 0]: expected different token ids in 0 .. 5, and -1 for none, found -2"),
        ([action, action], "`kept` at [0, 0]: expected different token ids, padded with -1, found one twice"),
        (
            [other, -1],
            "`kept` at [0, 0]: expected the sampled token among the ids, or no id at all, found other tokens",
        ),
    ] {
        assert_eq!(run("kept", ids(&first), true).unwrap_err(), message);
        // Memory is never at risk; what is only wrong is computed.
        let safe = first.iter().all(|id| (-1..6).contains(id));
        assert_eq!(run("kept", ids(&first), false).is_ok(), safe, "{first:?}");
    }
    assert_eq!(run("kept", ids(&[action, other]), true), Ok(()));
    let above = Tensor::full([1, 2, LISTED as i64], 0.3, (Kind::Double, Device::Cpu));
    assert_eq!(
        run("teacher_log_prob", above, true).unwrap_err(),
        "`teacher_log_prob` at [0, 0]: expected a log-probability, which is at most 0, found 0.3 (all values lie in 0 .. 1, as probabilities do: bring their `log`)"
    );
    let short = Tensor::zeros([1, 2, 2], (Kind::Double, Device::Cpu));
    assert_eq!(
        run("teacher_log_prob", short, true).unwrap_err(),
        "`teacher_log_prob`: expected [1, 2, 4], as `teacher_ids`, found [1, 2, 2]"
    );
    let flat = Tensor::zeros([1, 2], (Kind::Int64, Device::Cpu));
    assert_eq!(
        run("kept", flat, true).unwrap_err(),
        "`kept`: expected [1, 2, K], as `response_mask` is [1, 2], found [1, 2]"
    );
    let real = Tensor::zeros([1, 2, 2], (Kind::Float, Device::Cpu));
    assert_eq!(run("kept", real, true).unwrap_err(), "`kept`: expected int64 token ids, found f32");
    let trained =
        Tensor::full([1, 2, LISTED as i64], -1.0, (Kind::Double, Device::Cpu)).set_requires_grad(true);
    assert!(run("teacher_log_prob", trained, true).unwrap_err().contains("requires no gradient"));
}

#[test]
fn a_batch_without_the_field_is_told_which() {
    let case = sample(&smooth(Extent::exactly(1, 2, 6)), 1).remove(0);
    let text = "input missing: candidates id\nloss = token_mean(entropy(within = missing))";
    let batch = case.leaves(Kind::Double, Device::Cpu).batch;
    assert_eq!(
        session(text).forward(&batch).unwrap_err().to_string(),
        "the batch has no `missing`, which this program needs: expected int64 `[B, T, K]`: token ids for each token, padded with -1"
    );
    assert_eq!(values("mass(drop = 0)")(&case).len(), 2);
}

#[test]
fn a_list_of_banned_tokens_alone_is_refused() {
    let logits = Tensor::from_slice(&[f64::NEG_INFINITY, 1.0, 0.0]).view([1, 1, 3]);
    let batch = Batch::new()
        .with("logits", logits)
        .with("response_mask", Tensor::ones([1, 1], (Kind::Bool, Device::Cpu)))
        .with("kept", Tensor::from_slice(&[0i64, -1]).view([1, 1, 2]));
    let text = "input kept: candidates id\nloss = token_mean(entropy(within = kept))";
    assert_eq!(
        session(text).forward(&batch).unwrap_err().to_string(),
        "`logits` at [0, 0]: expected finite logits, or -inf for banned tokens, of which `kept` is not all made, \
         found NaN, +inf, or nothing but -inf (the entropy over the tokens in `kept` at temperature 1 is NaN)"
    );
}

#[test]
fn a_temperature_of_its_own_divides_before_the_list_is_taken() {
    for (call, plain) in [
        ("log_prob(within = kept, temperature = 0.5)", "log_prob(within = kept)"),
        ("entropy(within = kept, temperature = 0.5)", "entropy(within = kept)"),
        (
            "reverse_kl(within = teacher_ids, of = teacher_log_prob, rest = \"bucket\", temperature = 0.5)",
            "reverse_kl(within = teacher_ids, of = teacher_log_prob, rest = \"bucket\")",
        ),
        ("reverse_kl(temperature = 0.5)", "reverse_kl()"),
        ("forward_kl(temperature = 0.5)", "forward_kl()"),
        ("jensen_shannon(temperature = 0.5)", "jensen_shannon()"),
    ] {
        let own = session(&format!("{INPUTS}let a = {call}\nlet b = {plain}\nloss = token_mean(a + b)"));
        let file = session(&format!("{INPUTS}set temperature = 0.5\nlet a = {plain}\nloss = token_mean(a)"));
        for case in sample(&smooth(Extent { vocabulary: 6..=9, ..Extent::default() }), 6) {
            let batch = case.leaves(Kind::Double, Device::Cpu).batch;
            let [found, expected] =
                [&own, &file].map(|session| numbers(crate::named(&session.forward(&batch).unwrap(), "a")));
            assert_near(&found, &expected, 1e-12, call);
            gradient_matches_differences(&own, &case).unwrap_or_else(|error| panic!("{call}: {error}"));
        }
    }
}
