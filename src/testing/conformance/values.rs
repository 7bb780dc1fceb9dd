//! Terms and reductions: values, gradients, masks, kinds, parts of a step, saving and restoring.

use super::Conformance;
use crate::Session;
use crate::plugin::{AnyEntry, Term};
use crate::program::Program;
use crate::testing::{Case, Extent, Outcome, gradient_matches_differences, rough, smooth};
use crate::types::{Kind as Values, Shape, Type};
use tch::Kind;

/// What is wrong with a term or a reduction.
pub(super) fn check(suite: &Conformance, entry: AnyEntry) -> Vec<String> {
    let statements = match spec(suite, entry) {
        Ok(statements) => statements,
        Err(finding) => return vec![finding],
    };
    let checks: [(&str, fn(&Conformance, &str) -> Result<(), String>); 7] = [
        ("saving and restoring", restores),
        ("finite differences", differentiates),
        ("masked-out values", ignores_what_is_masked),
        ("f32 against f64", keeps_digits),
        ("bf16 and f16", takes_low_precision),
        ("micro-batches", adds_up),
        ("a batch without a token that counts", survives_an_empty_batch),
    ];
    let run = |(title, check): (&str, fn(&Conformance, &str) -> Result<(), String>)| {
        check(suite, &statements).err().map(|finding| format!("{title}: {finding}"))
    };
    checks.into_iter().filter_map(run).collect()
}

/// A program that reads the example's value and extras, and whose loss reaches the policy in any case.
fn spec(suite: &Conformance, entry: AnyEntry) -> Result<String, String> {
    let example = entry.info().example;
    let probe = suite.program(&format!("let value = {example}\nloss = token_mean(log_prob)"))?;
    let Some((_, id)) = probe.lets.first() else {
        return Err("the example is a value".to_owned());
    };
    let ty = probe.node(*id).ty;
    let mut text = format!("let value = {example}\n");
    let value = scalar("value", ty);
    if ty.kind == Values::Real {
        text += &format!("loss = token_mean(log_prob) + {value}\n");
    } else {
        text += "loss = token_mean(log_prob)\n";
    }
    text += &format!("metric result = {value}\n");
    if let AnyEntry::Term(_) = entry {
        for extra in own_term(&probe, entry).map(|term| term.signature().extras).unwrap_or_default() {
            let value = scalar(&format!("value.{}", extra.name), extra.ty);
            text += &format!("metric result_{} = {value}\n", extra.name);
        }
    }
    Ok(text)
}

fn own_term(program: &Program, entry: AnyEntry) -> Option<&dyn Term> {
    let own = program.terms.iter().find(|term| term.name == entry.info().name)?;
    Some(own.value.as_ref())
}

fn scalar(value: &str, ty: Type) -> String {
    match ty.shape {
        Shape::Token => format!("token_mean({value})"),
        Shape::Seq => format!("batch_mean({value})"),
        Shape::Scalar => value.to_owned(),
    }
}

fn restores(suite: &Conformance, statements: &str) -> Result<(), String> {
    let program = suite.program(statements)?;
    let shown = program.to_string();
    let saved = serde_json::to_string(&program).map_err(|error| error.to_string())?;
    let restored: Program = serde_json::from_str(&saved).map_err(|error| error.to_string())?;
    if restored.to_string() != shown {
        return Err(format!("a restored program is another one:\n{restored}\ninstead of\n{shown}"));
    }
    let again = serde_json::to_string(&restored).map_err(|error| error.to_string())?;
    if again != saved {
        return Err(format!("a restored program is saved in another way:\n{again}\ninstead of\n{saved}"));
    }
    let Some(case) = suite.smooth_case() else { return Ok(()) };
    let before = outcome(&Session::new(program), &case, Kind::Double)?;
    let after = outcome(&Session::new(restored), &case, Kind::Double)?;
    equal(&after, &before, 0.0, "after restoring")
}

fn differentiates(suite: &Conformance, statements: &str) -> Result<(), String> {
    if !suite.differentiable {
        return Ok(());
    }
    let session = suite.session(statements)?;
    for case in suite.cases(&smooth(Extent { vocabulary: 2..=6, ..Extent::default() }), 6) {
        gradient_matches_differences(&session, &case)?;
    }
    Ok(())
}

fn ignores_what_is_masked(suite: &Conformance, statements: &str) -> Result<(), String> {
    let session = suite.session(statements)?;
    for case in suite.cases(&rough(Extent::default()), 24) {
        for kind in [Kind::Double, Kind::Float] {
            let clean = outcome(&session, &case, kind)?;
            let poisoned = outcome(&session, &case.poisoned(), kind)?;
            equal(&poisoned, &clean, 0.0, "with NaN, infinities and foreign ids where the mask is 0")?;
        }
    }
    Ok(())
}

fn keeps_digits(suite: &Conformance, statements: &str) -> Result<(), String> {
    let session = suite.session(statements)?;
    for case in suite.cases(&smooth(Extent::default()), 24) {
        let wide = outcome(&session, &case, Kind::Double)?;
        let single = outcome(&session, &case, Kind::Float)?;
        equal(&single, &wide, 1e-5, "in f32 instead of f64")?;
    }
    Ok(())
}

fn takes_low_precision(suite: &Conformance, statements: &str) -> Result<(), String> {
    let session = suite.session(statements)?;
    for case in suite.cases(&smooth(Extent::default()), 12) {
        for (kind, digits) in [(Kind::BFloat16, 1e-2), (Kind::Half, 1e-3)] {
            let case = case.rounded(kind);
            let single = outcome(&session, &case, Kind::Float)?;
            let low = outcome(&session, &case, kind)?;
            // Values accumulate in f32; the gradient of the logits comes back in their own kind.
            let what = format!("in {kind:?} instead of f32");
            equal(
                &Outcome { logits_gradient: single.logits_gradient.clone(), ..low.clone() },
                &single,
                1e-6,
                &what,
            )?;
            equal(&low, &single, digits, &what)?;
        }
    }
    Ok(())
}

fn adds_up(suite: &Conformance, statements: &str) -> Result<(), String> {
    let session = suite.session(statements)?;
    for case in suite.cases(&rough(Extent { sequences: 2..=5, ..Extent::default() }), 16) {
        let whole = outcome(&session, &case, Kind::Double)?;
        let halves = vec![case.sequences / 2];
        let singles = (1..case.sequences).collect();
        for cuts in [halves, singles] {
            let parts =
                Outcome::of_parts(&session, &case, &cuts, Kind::Double).map_err(|error| error.to_string())?;
            equal(&parts, &whole, 1e-12, &format!("cut before the sequences {cuts:?}"))?;
        }
    }
    Ok(())
}

fn survives_an_empty_batch(suite: &Conformance, statements: &str) -> Result<(), String> {
    let session = suite.session(statements)?;
    let Some(mut case) = suite.smooth_case() else { return Ok(()) };
    case.mask.fill(false);
    let empty = outcome(&session, &case.poisoned(), Kind::Float)?;
    let gradients = empty.logits_gradient.iter().chain(&empty.values_gradient);
    if gradients.copied().any(|number| number != 0.0) || !empty.loss.is_finite() {
        return Err(format!("expected a finite loss and zero gradients, found {empty:?}"));
    }
    Ok(())
}

fn outcome(session: &Session, case: &Case, kind: Kind) -> Result<Outcome, String> {
    Outcome::of(session, case, kind).map_err(|error| format!("{error}\non {case:?}"))
}

fn equal(found: &Outcome, expected: &Outcome, tolerance: f64, what: &str) -> Result<(), String> {
    let distance = found.distance(expected);
    if distance <= tolerance {
        return Ok(());
    }
    Err(format!(
        "{what} the result is off by {distance:e}, more than {tolerance:e}: {found:?} instead of {expected:?}"
    ))
}
