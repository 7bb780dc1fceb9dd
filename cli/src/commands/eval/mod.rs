//! `aent eval`: runs one step of a spec on a batch from a file.

mod finite;
mod memory;
mod outputs;
mod read;
mod step;
mod write;

use super::{device, input};
use crate::arguments::Eval;
use crate::{Outcome, Status, render, stream};
use aent::kernels::fallback_reason;
use aent::tensor::Host;
use aent::{Options, Session, SessionState};
use finite::Findings;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use step::{Batches, Seconds};

/// Runs the step and prints its numbers as one JSON object.
pub(crate) fn run(arguments: &Eval, host: &'static dyn Host) -> Outcome {
    let compiler = input::compiler(&arguments.set, &arguments.allow_import);
    let program = match input::program(&compiler, &arguments.file)? {
        Ok(program) => program,
        Err(status) => return Ok(status),
    };
    if let Err(sentence) = outputs::check(arguments, &program) {
        stream::complain(&render::sentence(&sentence));
        return Ok(Status::Usage);
    }
    let device = device::find(arguments.device, host)?;
    if let Some(reason) = fallback_reason(host, device) {
        let plain = "row statistics are computed in plain torch operations";
        stream::complain(&render::remark(&format!("{plain}: {reason}")));
    }
    let options =
        Options { kernels: arguments.kernels.into(), lets: arguments.out.is_some(), ..Options::default() };
    let mut session = Session::with(program, options);
    if let Some(path) = &arguments.state {
        take_up(&mut session, path).map_err(|error| error.to_string())?;
    }
    let fields = read::batch(host, &arguments.batch, arguments.dtype.map(Into::into), device)?;
    let batches = Batches::new(fields, arguments.microbatches);
    let (result, findings) =
        evaluate(arguments, &mut session, &batches).map_err(|error| error.to_string())?;
    stream::print(&format!("{result:#}\n"))?;
    for sentence in &findings.remarks {
        stream::complain(&render::remark(sentence));
    }
    for sentence in &findings.errors {
        stream::complain(&render::sentence(sentence));
    }
    Ok(if findings.errors.is_empty() { Status::Done } else { Status::Wrong })
}

/// Restores the state in a file. A misfit is refused with a message for users of the command line.
fn take_up(session: &mut Session, path: &Path) -> aent::Result<()> {
    let state = SessionState::read(path)?;
    if let Some(refusal) = session.fit(&state)?.refusal("without `--state` all controllers begin anew") {
        return Err(aent::Error::State(format!("`{}`: {refusal}", path.display())));
    }
    session.restore(state)
}

fn evaluate(arguments: &Eval, session: &mut Session, batches: &Batches) -> aent::Result<(Value, Findings)> {
    let repeat = arguments.repeat.unwrap_or(0);
    let needs_gradient = arguments.out.is_some() || repeat > 0;
    let mut done = step::run(session, batches, needs_gradient)?;
    let mut timed = Vec::new();
    for _ in 0..repeat {
        // Frees the memory of the previous step first, as a training loop would.
        drop(done);
        done = step::run(session, batches, true)?;
        timed.push(done.seconds);
    }
    let findings = finite::look(session, batches, &done)?;
    // With the coefficients of this step.
    let diagnosis = arguments.diagnose.then(|| session.diagnose(batches.whole())).transpose()?;
    let before = session.coefficients();
    session.update(&done.output)?;
    if let Some(path) = &arguments.out {
        write::results(path, session.program(), &done)?;
    }
    // After a step that nobody may train on, the saved controllers stay unchanged.
    if let Some(path) = arguments.save_state.as_ref().filter(|_| findings.errors.is_empty()) {
        session.save(path)?;
    }
    let mut result = Map::new();
    let loss = done.output.total()?;
    result.insert("loss".to_owned(), json!(loss));
    let losses = done.output.totals()?;
    if !losses.is_empty() {
        result.insert("losses".to_owned(), json!(losses));
    }
    result.insert("metrics".to_owned(), json!(done.output.metrics()?));
    result.insert(
        "controllers".to_owned(),
        controllers(&before, &done.output.signals()?, &session.coefficients()),
    );
    if let Some(diagnosis) = diagnosis {
        result.insert("diagnosis".to_owned(), json!(diagnosis));
    }
    if repeat > 0 {
        let median = Seconds::median(&timed);
        result
            .insert("seconds".to_owned(), json!({ "forward": median.forward, "backward": median.backward }));
        result.insert("peak_rss_bytes".to_owned(), json!(memory::peak()));
    }
    Ok((Value::Object(result), findings))
}

/// Every controller's coefficient in this step, its signal, and its coefficient in the next step.
fn controllers(
    before: &BTreeMap<String, f64>,
    signals: &BTreeMap<String, f64>,
    after: &BTreeMap<String, f64>,
) -> Value {
    let one = |(name, value): (&String, &f64)| {
        let (signal, next) = (signals.get(name), after.get(name));
        (name.clone(), json!({ "value": value, "signal": signal, "next": next }))
    };
    before.iter().map(one).collect::<Map<_, _>>().into()
}
