//! Steps whose numbers are known from the formulas.

#![expect(clippy::unwrap_used, reason = "what is unwrapped here is under test")]

use aent_oracle::{Batch, Noise, Numbers, Program, Session, Step};
use std::fs;

/// Two sequences of three tokens, of which the last of the second does not count, on a vocabulary of three.
fn batch() -> Batch {
    let logits = (0..18).map(|at| f64::from(at * 7 % 11) / 4.0 - 1.0).collect();
    let mask = vec![true, true, true, true, true, false];
    let reals = |of: &[f64]| Numbers::Reals(of.to_vec());
    Batch::new(2, mask)
        .with("logits", Numbers::Reals(logits))
        .with("actions", Numbers::Ids(vec![0, 1, 2, 2, 1, -100]))
        .with("old_log_prob", reals(&[-1.0, -0.5, -1.5, -0.7, -2.0, f64::NAN]))
        .with("advantages", reals(&[1.0, -1.0]))
        .with("values", reals(&[0.1, 0.2, 0.3, 0.4, 0.5, f64::INFINITY]))
        .with("returns", reals(&[1.0, 1.0, 0.0, 0.0, 2.0, f64::NAN]))
        .with("rewards", reals(&[1.0, 0.0]))
        .with("group", Numbers::Ids(vec![5, 5]))
}

fn step(text: &str, batch: &Batch) -> Step {
    Session::new(Program::parse(text).unwrap()).unwrap().step(batch, Noise::NONE).unwrap()
}

#[track_caller]
fn near(found: f64, expected: f64) {
    assert!(
        (found - expected).abs() <= 1e-12 * expected.abs().max(1.0),
        "expected {expected}, found {found}"
    );
}

#[test]
fn a_loss_of_values_is_the_formula() {
    let of = step("loss = token_mean((values - returns) ^ 2)\nmetric m = token_max(values)", &batch());
    near(of.loss, (0.81 + 0.64 + 0.09 + 0.16 + 2.25) / 5.0);
    near(of.metrics["m"], 0.5);
    let slopes = &of.gradients["values"];
    near(slopes[0], 2.0 * (0.1 - 1.0) / 5.0);
    near(slopes[5], 0.0);
}

#[test]
fn precedence_is_that_of_the_reference() {
    let of = |formula: &str| step(&format!("loss = token_mean(values)\nmetric m = {formula}"), &batch());
    near(of("-2 ^ 2").metrics["m"], -4.0);
    near(of("2 ^ 3 ^ 2").metrics["m"], 512.0);
    near(of("2 ^ -1").metrics["m"], 0.5);
    near(of("8 / 4 / 2 - 1 - 1").metrics["m"], -1.0);
    near(of("where(not 1 < 2 or 3 < 4 and true, 7, 8)").metrics["m"], 7.0);
}

#[test]
fn gradients_are_the_differences_of_the_loss() {
    for text in [
        "loss = token_mean(clip_ppo(low = 0.1, high = 0.3)) - 0.1 * token_mean(entropy)",
        "set temperature = 0.7\nloss = token_mean(varentropy() + z_loss() + renyi_entropy(alpha = 2))",
        "loss = token_mean(mass_entropy(top_k = 2) * clamped_entropy(top_k = 2) + tsallis_entropy(q = 0.5))",
        "loss = batch_mean(gmpo()) + batch_mean(seq_std(log_prob) * group_std(seq_sum(values * log_prob)))",
        "import \"std/surrogates.aent\"\nloss = token_mean(sapo() + cfpo()) + token_mean(gspo(level = \"token\"))",
    ] {
        let of = step(text, &batch());
        for field in ["logits", "values"] {
            let Some(slopes) = of.gradients.get(field) else { continue };
            for (at, slope) in slopes.iter().enumerate() {
                let moved = |by: f64| {
                    let mut batch = batch();
                    if let Some(Numbers::Reals(x)) = batch.fields.get_mut(field) {
                        x[at] += by;
                    }
                    step(text, &batch).loss
                };
                let difference = (moved(1e-6) - moved(-1e-6)) / 2e-6;
                if difference.is_finite() {
                    assert!(
                        (slope - difference).abs() < 1e-7,
                        "{text}: {field} at {at}: {slope}, {difference}"
                    );
                }
            }
        }
    }
}

#[test]
fn coefficients_move_between_steps() {
    let text = "controller c = linear(from = 1, to = 0, steps = 4)\nloss = c * token_mean(values)";
    let mut session = Session::new(Program::parse(text).unwrap()).unwrap();
    for expected in [1.0, 0.75, 0.5, 0.25, 0.0, 0.0] {
        near(session.coefficients()["c"], expected);
        let step = session.step(&batch(), Noise::NONE).unwrap();
        near(step.loss, expected * 0.3);
        session.update(&step);
    }
}

#[test]
fn a_packed_batch_is_the_padded_one() {
    let fields =
        [("values", vec![0.1, 0.2, 0.3, 0.4, 0.5])].map(|(name, x)| (name.to_owned(), Numbers::Reals(x)));
    let packed = Batch::unpacked(&[0, 3, 5], &[true; 5], fields.into(), &["values"]);
    assert_eq!(packed.mask, batch().mask);
    near(step("loss = seq_mean_token_mean(values)", &packed).loss, 0.325);
}

#[test]
fn every_recipe_is_read() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/recipes");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|of| of == "aent") {
            let program = Program::parse(&fs::read_to_string(&path).unwrap());
            program.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            count += 1;
        }
    }
    assert!(count > 50, "{count}");
}
