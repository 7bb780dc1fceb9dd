//! Terms and reductions: values, gradients, masks, kinds, parts of a step, saving and restoring.

use super::Conformance;
use crate::interval::Interval;
use crate::plugin::{AnyEntry, TermEntry};
use crate::program::Program;
use crate::testing::{Case, Extent, Outcome, gradient_matches_differences, rough, smooth};
use crate::types::{Kind as Values, Shape, Type};
use crate::{Options, Session};
use tch::{Device, Kind};

/// A check of one entry, by the statements of its program.
type Check = fn(&Conformance, &str) -> Result<(), String>;

/// What is wrong with a term or a reduction.
pub(super) fn check(suite: &Conformance, entry: AnyEntry) -> Vec<String> {
    let statements = match spec(suite, entry) {
        Ok(statements) => statements,
        Err(finding) => return vec![finding],
    };
    let checks: [(&str, Check); 9] = [
        ("saving and restoring", restores),
        ("the signature's interval", keeps_its_interval),
        ("finite differences", differentiates),
        ("masked-out values", ignores_what_is_masked),
        ("f32 against f64", keeps_digits),
        ("bf16 and f16", takes_low_precision),
        ("micro-batches", adds_up),
        ("many processes", spreads_out),
        ("a batch without a token that counts", survives_an_empty_batch),
    ];
    let run = |(title, check): (&str, Check)| {
        check(suite, &statements).err().map(|finding| format!("{title}: {finding}"))
    };
    checks.into_iter().filter_map(run).collect()
}

/// A program that reads the example's value and extras, and whose loss always depends on the policy.
fn spec(suite: &Conformance, entry: AnyEntry) -> Result<String, String> {
    let example = entry.declaration().example;
    let probe = suite.program(&format!("let value = {example}\nloss = token_mean(log_prob)"))?;
    let Some((_, id)) = probe.lets.first() else {
        return Err("the example is a value".to_owned());
    };
    let ty = probe.node(*id).ty;
    let value = scalar("value", ty);
    let share = if ty.kind == Values::Real { format!(" + {value}") } else { String::new() };
    let mut lines = vec![
        format!("let value = {example}"),
        format!("loss = token_mean(log_prob){share}"),
        format!("metric result = {value}"),
    ];
    if let AnyEntry::Term(entry) = entry {
        resolves(&probe, entry)?;
        for extra in &entry.signature().extras {
            let value = scalar(&format!("value.{}", extra.name), extra.ty);
            lines.push(format!("metric result_{} = {value}", extra.name));
        }
    }
    Ok(lines.join("\n"))
}

/// Arguments may narrow a signature; inputs, extras, types and the number of row statistics must stay as declared.
fn resolves(program: &Program, entry: &TermEntry) -> Result<(), String> {
    let declared = entry.signature();
    for term in program.terms.iter().filter(|term| term.name() == entry.declaration.name) {
        let found = &term.signature;
        let same = found.inputs == declared.inputs
            && found.extras == declared.extras
            && found.result == declared.result
            && found.gradient == declared.gradient
            && found.rows.len() == declared.rows.len();
        if !same {
            return Err(format!(
                "`resolve` changes inputs, extras, types or the number of row statistics: declared {declared:?}, found {found:?}"
            ));
        }
        if found.reach > declared.reach {
            return Err(format!(
                "`resolve` widens the reach: declared {}, found {}",
                declared.reach.as_str(),
                found.reach.as_str()
            ));
        }
    }
    Ok(())
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

/// The checker relies on the intervals of signatures, so values must be in them.
fn keeps_its_interval(suite: &Conformance, statements: &str) -> Result<(), String> {
    let program = suite.program(statements)?;
    let Some(interval) = program.lets.first().map(|(_, id)| program.node(*id).interval) else {
        return Ok(());
    };
    let room = Interval::new(interval.lo - 1e-9, interval.hi + 1e-9);
    let session = Session::with(program, Options { lets: true, ..Options::default() });
    for case in suite.cases(&rough(Extent::default()), 12) {
        let batch = case.leaves(Kind::Double, Device::Cpu).batch;
        let output = session.forward(&batch).map_err(|error| error.to_string())?;
        let Some((_, value)) = output.lets().next() else { continue };
        // Without a valid token the value is 0, whatever the interval.
        let numbers = value.to_f64s().map_err(|error| error.to_string())?;
        let found = numbers.into_iter().find(|value| *value != 0.0 && !room.contains(*value));
        if let Some(found) = found {
            return Err(format!("expected values in {interval}, found {found}"));
        }
    }
    Ok(())
}

fn differentiates(suite: &Conformance, statements: &str) -> Result<(), String> {
    if !suite.differentiable {
        return Ok(());
    }
    let session = suite.session(statements)?;
    for case in suite.cases(&smooth(Extent { sequences: 1..=3, width: 1..=3, vocabulary: 2..=5 }), 5) {
        gradient_matches_differences(&session, &case)?;
    }
    Ok(())
}

fn ignores_what_is_masked(suite: &Conformance, statements: &str) -> Result<(), String> {
    let session = suite.session(statements)?;
    for case in suite.cases(&rough(Extent::default()), 12) {
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
    for case in suite.cases(&smooth(Extent::default()), 12) {
        let wide = outcome(&session, &case, Kind::Double)?;
        for device in devices() {
            let single =
                Outcome::on(device, &session, &case, Kind::Float).map_err(|error| error.to_string())?;
            equal(&single, &wide, 1e-5, &format!("in f32 on {device:?} instead of f64"))?;
        }
    }
    Ok(())
}

/// The CPU, and the GPU where there is one.
fn devices() -> Vec<Device> {
    let gpu = tch::Cuda::is_available().then_some(Device::Cuda(0));
    [Some(Device::Cpu), gpu].into_iter().flatten().collect()
}

fn takes_low_precision(suite: &Conformance, statements: &str) -> Result<(), String> {
    let session = suite.session(statements)?;
    for case in suite.cases(&smooth(Extent::default()), 6) {
        for (kind, digits) in [(Kind::BFloat16, 1e-2), (Kind::Half, 1e-3)] {
            let case = case.rounded(kind);
            let single = outcome(&session, &case, Kind::Float)?;
            let low = outcome(&session, &case, kind)?;
            // Values accumulate in f32; the gradient of the logits is in their own kind.
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
    for case in suite.cases(&rough(Extent { sequences: 2..=5, ..Extent::default() }), 8) {
        let case = case.trimmed();
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

/// Each layout of parts over ranks takes a different path through a step.
fn spreads_out(suite: &Conformance, statements: &str) -> Result<(), String> {
    let session = suite.session(statements)?;
    for case in suite.cases(&rough(Extent { sequences: 4..=5, ..Extent::default() }), 3) {
        let case = case.trimmed();
        let whole = outcome(&session, &case, Kind::Double)?;
        let all = case.sequences;
        for ranks in
            [vec![vec![1], vec![all]], vec![vec![2], vec![3], vec![all]], vec![vec![1, 3], vec![all]]]
        {
            let spread = Outcome::of_ranks(&session, &case, &ranks, Kind::Double)
                .map_err(|error| error.to_string())?;
            equal(&spread, &whole, 1e-12, &format!("with ranks whose parts end at {ranks:?}"))?;
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
