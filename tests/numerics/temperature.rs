//! `set temperature` from the batch and from coefficients, against formulas of logits that were divided beforehand.

use crate::reference::{self, Set, per_token, row};
use crate::{assert_fused_is_plain, assert_near, named, numbers, run, session};
use aent::testing::{Case, Extent, gradient_matches_differences, rough, sample, smooth};
use aent::{Batch, Kernels, Options, Session, compile};
use tch::{Device, Kind, Tensor};

const HEAT: &str = "input heat: token\nset temperature = heat\n";
const LISTS: &str =
    "input kept: candidates id\ninput teacher_ids: candidates id\ninput teacher_log_prob: candidates\n";

/// Everything that reads a row and does not care which multiple of the logits it sees, but for `heat`.
const READERS: [&str; 18] = [
    "log_prob",
    "log_prob()",
    "entropy()",
    "clamped_entropy(drop = 30%)",
    "clamped_entropy(top_k = 3)",
    "clamped_entropy(top_p = 0.8)",
    "clamped_entropy(min_p = 0.05)",
    "renyi_entropy(alpha = 2)",
    "varentropy()",
    "mass(top_p = 0.6)",
    "mass_entropy(top_k = 2)",
    "reverse_kl()",
    "forward_kl()",
    "jensen_shannon(beta = 0.3)",
    "z_loss()",
    "log_prob(within = kept)",
    "entropy(within = kept)",
    "forward_kl(within = teacher_ids, of = teacher_log_prob, rest = \"bucket\")",
];

/// The case with a temperature for each token, between 0.4 and 2.2.
fn hot(case: &Case) -> Case {
    let heat = (0..case.mask.len()).map(|at| 1.3 + 0.9 * (at as f64 * 1.7).sin()).collect();
    case.clone().with_token("heat", heat)
}

fn divided(case: &Case, at: usize) -> Vec<f64> {
    row(case, at).iter().map(|z| z / case.token("heat")[at]).collect()
}

/// Value and gradient of a call, of a batch that is poisoned where nothing counts.
fn of(inputs: &str, call: &str) -> String {
    let lists = if call.contains("within") { LISTS } else { "" };
    let unread = "# aent: allow-file(unused-input)\n";
    format!(
        "{unread}{inputs}{lists}let value = {call}\nloss = token_mean(value) + 0.1 * token_mean(entropy())"
    )
}

#[test]
fn statistics_of_tempered_rows_are_those_of_their_formulas() {
    let mut cases = sample(&smooth(Extent::default()), 20);
    cases.extend(sample(&rough(Extent::default()), 40));
    for case in cases.iter().map(hot) {
        let found = |call: &str| {
            let [value, _] = run(&of(HEAT, call), &case, Kind::Double, Options::default());
            value
        };
        let expected =
            per_token(&case, |at| reference::log_prob(&divided(&case, at), case.actions[at] as usize));
        let is_finite = expected.iter().all(|x| x.is_finite());
        if is_finite {
            assert_near(&found("log_prob"), &expected, 1e-10, "log_prob");
        }
        let expected = per_token(&case, |at| reference::entropy(&divided(&case, at), Set::All));
        if is_finite {
            assert_near(&found("entropy()"), &expected, 1e-10, "entropy");
        }
    }
}

/// The logits of policy and reference are divided by the host beforehand; its gradient is that of the division.
#[test]
fn every_reader_gives_what_divided_logits_give() {
    for case in sample(&smooth(Extent::exactly(2, 4, 9)), 6).iter().map(hot) {
        let leaves = case.leaves(Kind::Double, Device::Cpu);
        let mask = Tensor::from_slice(&case.mask).view([2, 4]);
        let heat = Tensor::from_slice(case.token("heat")).view([2, 4]).where_self(&mask, &Tensor::from(1.0));
        let by = heat.unsqueeze(-1);
        for call in READERS {
            let plain = session(&of("", call));
            let logits = leaves.logits.detach().set_requires_grad(true);
            let reference = Tensor::from_slice(&case.ref_logits).view([2, 4, 9]);
            let batch = leaves.batch.iter().filter(|(name, _)| *name != "heat");
            let batch = batch.fold(Batch::new(), |batch, (name, tensor)| batch.with(name, tensor.clone()));
            let batch = batch.with("logits", &logits / &by).with("ref_logits", reference / &by);
            let output = plain.forward(&batch).unwrap();
            output.backward().unwrap();
            for kernels in [Kernels::Auto, Kernels::Reference] {
                let options = Options { kernels, ..Options::default() };
                let [value, gradient] = run(&of(HEAT, call), &case, Kind::Double, options);
                assert_near(&value, &numbers(named(&output, "value")), 1e-10, call);
                assert_near(&gradient, &numbers(logits.grad()), 1e-10, &format!("the gradient of {call}"));
            }
        }
    }
}

#[test]
fn gradients_are_those_of_small_steps() {
    for call in READERS {
        let session = session(&of(HEAT, call));
        for case in sample(&smooth(Extent { sequences: 1..=3, width: 1..=3, vocabulary: 6..=9 }), 5) {
            gradient_matches_differences(&session, &hot(&case))
                .unwrap_or_else(|error| panic!("{call}: {error}"));
        }
    }
}

#[test]
fn fused_kernels_find_what_plain_operations_do_in_every_kind() {
    let cases: Vec<Case> = sample(&smooth(Extent::exactly(2, 3, 40)), 2).iter().map(hot).collect();
    for call in READERS {
        assert_fused_is_plain(&of(HEAT, call), &cases, call);
    }
}

#[test]
fn a_temperature_of_its_own_wins() {
    for case in sample(&smooth(Extent::default()), 6).iter().map(hot) {
        for call in ["entropy(temperature = 1)", "log_prob(temperature = 0.5)", "reverse_kl(temperature = 2)"]
        {
            let text = |inputs: &str| {
                format!(
                    "# aent: allow-file(unused-input)\n{inputs}let value = {call}\nloss = token_mean(value)"
                )
            };
            let [own, plain] = [HEAT, "input heat: token\n"]
                .map(|inputs| run(&text(inputs), &case, Kind::Double, Options::default()));
            assert_near(&own[0], &plain[0], 0.0, call);
            assert_near(&own[1], &plain[1], 0.0, call);
        }
    }
}

#[test]
fn one_for_each_sequence_is_one_for_each_of_its_tokens() {
    let text = of(HEAT, "reverse_kl()").replace("heat: token", "heat: seq");
    for case in sample(&smooth(Extent::exactly(3, 4, 9)), 3) {
        let of_sequences = [0.5, 1.0, 2.0];
        let of_tokens = (0..12).map(|at| of_sequences[at / 4]).collect();
        let expected =
            run(&text, &case.clone().with_token("heat", of_tokens), Kind::Double, Options::default());
        let leaves = case.poisoned().leaves(Kind::Double, Device::Cpu);
        let heat: Vec<f64> =
            (0..3).map(|row| if case.is_valid(row) { of_sequences[row] } else { f64::NAN }).collect();
        let output = session(&text).forward(&leaves.batch.with("heat", Tensor::from_slice(&heat))).unwrap();
        output.backward().unwrap();
        assert_near(&numbers(named(&output, "value")), &expected[0], 0.0, "value");
        assert_near(&numbers(leaves.logits.grad()), &expected[1], 0.0, "gradient");
    }
}

#[test]
fn hidden_states_and_logits_that_are_overwritten_give_the_same() {
    let text = of(HEAT, "jensen_shannon() + clamped_entropy(top_p = 0.7) - log_prob");
    for case in sample(&smooth(Extent::exactly(3, 4, 9)), 4).iter().map(hot) {
        let [_, gradient] = run(&text, &case, Kind::Double, Options::default());
        let leaves = case.leaves(Kind::Double, Device::Cpu);
        // With the identity as the output layer, hidden states are the logits.
        let hidden = leaves.logits.detach().copy().set_requires_grad(true);
        let eye = Tensor::eye(9, (Kind::Double, Device::Cpu));
        let rest = leaves.batch.iter().filter(|(name, _)| *name != "logits");
        let batch = rest.fold(Batch::new(), |batch, (name, tensor)| batch.with(name, tensor.clone()));
        let batch = batch.with("hidden", hidden.shallow_clone()).with("lm_head", eye);
        let chunked = Options { chunk_bytes: 2 * 8 * 9, ..Options::default() };
        let reference = Tensor::from_slice(&case.ref_logits).view([3, 4, 9]);
        let rest = batch.iter().filter(|(name, _)| *name != "ref_logits");
        let batch = rest.fold(Batch::new(), |batch, (name, tensor)| batch.with(name, tensor.clone()));
        let eye = Tensor::eye(9, (Kind::Double, Device::Cpu));
        let batch = batch.with("ref_hidden", reference).with("ref_lm_head", eye);
        Session::with(compile(&text).unwrap(), chunked).forward(&batch).unwrap().backward().unwrap();
        assert_near(&numbers(hidden.grad()), &gradient, 1e-12, "the gradient of hidden states");
        let over = case.leaves(Kind::Double, Device::Cpu);
        let logits = over.logits.detach().copy().set_requires_grad(true);
        let batch = over.batch.with("logits", &logits * 1.0);
        let overwritten = Options { overwrite_logits: true, ..Options::default() };
        Session::with(compile(&text).unwrap(), overwritten).forward(&batch).unwrap().backward().unwrap();
        assert_near(&numbers(logits.grad()), &gradient, 1e-12, "the gradient over the logits");
    }
}

#[test]
fn a_temperature_that_is_none_is_refused_by_name() {
    let text = of(HEAT, "clamped_entropy(top_p = 0.7)");
    let mut case = sample(&smooth(Extent::exactly(1, 2, 6)), 1).remove(0);
    case.mask = vec![true; 2];
    let run = |heat: Tensor, options: Options| {
        let batch = case.leaves(Kind::Double, Device::Cpu).batch.with("heat", heat);
        let output = Session::with(compile(&text).unwrap(), options).forward(&batch);
        output.map(|output| numbers(output.loss())[0]).map_err(|error| error.to_string())
    };
    for (wrong, found) in [(0.0, "0"), (-1.0, "-1"), (f64::NAN, "NaN"), (f64::INFINITY, "inf")] {
        let heat = || Tensor::from_slice(&[0.5, wrong]).view([1, 2]);
        assert_eq!(
            run(heat(), Options::default()).unwrap_err(),
            format!("`heat` at [0, 1]: expected a temperature above zero and finite, found {found}")
        );
        for kernels in [Kernels::Auto, Kernels::Reference] {
            let unchecked = Options { validate: false, kernels, ..Options::default() };
            assert!(run(heat(), unchecked).unwrap().is_nan(), "{wrong} with {kernels}");
        }
    }
    // What is far out is computed somehow, and safely.
    for far in [1e-300, 5e-324, 1e300] {
        let heat = Tensor::from_slice(&[0.5, far]).view([1, 2]);
        let _any = run(heat, Options { validate: false, ..Options::default() });
    }
    let refused = |heat: Tensor| run(heat, Options::default()).unwrap_err();
    assert_eq!(
        refused(Tensor::ones([3], (Kind::Double, Device::Cpu))),
        "`heat`: expected [1] or [1, 2], as `response_mask`, found [3]"
    );
    assert_eq!(
        refused(Tensor::ones([1, 2], (Kind::Int64, Device::Cpu))),
        "`heat`: expected real numbers, found i64"
    );
    let trained = Tensor::ones([1, 2], (Kind::Double, Device::Cpu)).set_requires_grad(true);
    assert!(refused(trained).contains("requires no gradient"));
    let none = session(&text).forward(&case.leaves(Kind::Double, Device::Cpu).batch).unwrap_err();
    assert!(
        none.to_string().contains("`heat`") && none.to_string().contains("the temperature of each row"),
        "{none}"
    );
}

#[test]
fn a_temperature_that_moves_is_that_of_each_step() {
    let steps = "set temperature = clamp(0.5 * heat, 0.1, 2)\ncontroller heat = linear(from = 1, to = 3, steps = 2)\n";
    let half = "let value = entropy()\nlet own = entropy(temperature = 0.5)\nlet log = log_prob\nlet wide = renyi_entropy(alpha = 2)\n\
                let moved = log_prob(temperature = 2 * heat)\nloss = token_mean(value - own + log + wide + moved)";
    for case in sample(&smooth(Extent::default()), 8) {
        let mut session = session(&format!("{steps}{half}"));
        let batch = case.leaves(Kind::Double, Device::Cpu).batch;
        for temperature in [0.5, 1.0, 1.5] {
            let output = session.forward(&batch).unwrap();
            let at = |by: f64| move |z: &f64| z / by;
            let tempered = |place: usize, by: f64| row(&case, place).iter().map(at(by)).collect::<Vec<f64>>();
            let entropy =
                |by: f64| per_token(&case, |place| reference::entropy(&tempered(place, by), Set::All));
            let log_prob = |by: f64| {
                per_token(&case, |place| {
                    reference::log_prob(&tempered(place, by), case.actions[place] as usize)
                })
            };
            let powers = per_token(&case, |place| {
                let z = tempered(place, temperature);
                let log = |power: f64| z.iter().map(|z| (power * z).exp()).sum::<f64>().ln();
                2.0 * log(1.0) - log(2.0)
            });
            let found = |name: &str| numbers(named(&output, name));
            assert_near(&found("value"), &entropy(temperature), 1e-11, "entropy");
            assert_near(&found("own"), &entropy(0.5), 1e-11, "an own temperature stays");
            assert_near(&found("log"), &log_prob(temperature), 1e-11, "log_prob");
            assert_near(&found("wide"), &powers, 1e-11, "renyi_entropy");
            assert_near(&found("moved"), &log_prob(4.0 * temperature), 1e-11, "a moving one of its own");
            session.update(&output).unwrap();
        }
        // A saved state fits the file again, wherever the temperature is.
        let state = session.state();
        let mut again = crate::session(&format!("{steps}{half}"));
        again.restore(state).unwrap();
        let [a, b] = [&session, &again].map(|session| numbers(session.forward(&batch).unwrap().loss()));
        assert_near(&a, &b, 0.0, "a restored session");
    }
}
