//! Explains what a file compiles to and costs.

mod batch;
mod cost;
mod memory;

pub use memory::Size;

use aent::Program;
use aent::plan::FirstPass;
use aent::program::TemperatureOf;
use cost::Cost;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// A program and the cost of its step, as Markdown: what the batch brings, the params, the typed program, its row
/// statistics, how often the logits are read, how a step is cut, and memory.
pub fn explain(program: &Program, size: Size) -> String {
    let cost = Cost::of(program);
    let mut out = batch::explained(program);
    // Writing into a string cannot fail.
    let _ = write!(out, "\n# Typed program\n\n{program}\n# Row statistics of the logits\n\n");
    for statistic in &cost.statistics {
        let _ = writeln!(out, "{statistic}");
    }
    if cost.statistics.is_empty() {
        out.push_str("none: the logits are not read\n");
    }
    let _ = write!(out, "\n# Passes over the logits\n\n{}", cost.passes());
    let _ = write!(out, "\n# Micro-batches\n\n{}\n{}", first_pass(cost.first_pass), required(program));
    let _ = write!(out, "\n{}", memory::explained(&cost, size));
    out
}

/// What a step costs, on one line: row statistics, passes over the logits, and memory at its peak for logits in bf16.
pub fn one_line(program: &Program, size: Size) -> String {
    let cost = Cost::of(program);
    let passes = match (cost.statistics.len(), cost.gradient) {
        (0, _) => "the logits are not read".to_owned(),
        (1, gradient) => format!("1 row statistic, {}", cost::read(gradient)),
        (count, gradient) => format!("{count} row statistics, {}", cost::read(gradient)),
    };
    format!("{passes}; {}", memory::one_line(&cost, size))
}

/// The same for programs.
pub fn explain_json(program: &Program, size: Size) -> Value {
    let cost = Cost::of(program);
    let names = |of: &[(String, aent::program::NodeId)]| -> Vec<String> {
        of.iter().map(|(name, _)| name.clone()).collect()
    };
    json!({
        "fields": batch::json_fields(program),
        "params": batch::json_params(program),
        "functions": batch::json_functions(program),
        "temperature": temperature(program),
        "controllers": program.controllers.iter().map(|of| of.name.as_str()).collect::<Vec<_>>(),
        "losses": names(&program.losses),
        "metrics": names(&program.metrics),
        "assertions": program.assertions.iter().map(|of| of.formula.as_str()).collect::<Vec<_>>(),
        "lets": names(&program.lets),
        "program": program.to_string(),
        "row_statistics": cost.statistics.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "reads_logits": !cost.statistics.is_empty(),
        "writes_gradient": cost.gradient,
        "first_pass": cost.first_pass.as_str(),
        "requires": json_required(program),
        "memory": memory::json(&cost, size),
    })
}

/// A number, or the field or formula that gives it.
fn temperature(program: &Program) -> Value {
    match program.temperature_of {
        TemperatureOf::File => json!(program.temperature),
        TemperatureOf::Row(_) | TemperatureOf::Step { .. } => json!(program.temperature_text()),
    }
}

/// What an engine must know of the step to ask for the loss of a micro-batch at once, a line each.
fn required(program: &Program) -> String {
    let mut lines = String::new();
    for of in program.requires() {
        let formula = program.source_of(of.span).map(|text| format!(" for `{text}`")).unwrap_or_default();
        let place = program.place_of(of.span).map(|place| format!(", {place}")).unwrap_or_default();
        // Writing into a string cannot fail.
        let _ = writeln!(lines, "needs `{}`{formula}{place}", of.need.as_str());
    }
    if lines.is_empty() { lines } else { format!("\n{lines}") }
}

fn json_required(program: &Program) -> Vec<Value> {
    let each = program.requires().into_iter().map(|of| {
        json!({
            "need": of.need.as_str(),
            "formula": program.source_of(of.span),
            "place": program.place_of(of.span),
            "field": of.field,
        })
    });
    each.collect()
}

/// What must be known of all parts of a step before the first one can give its gradient.
fn first_pass(of: FirstPass) -> &'static str {
    match of {
        FirstPass::Counts => {
            "A step may be cut into parts. Their masks are counted first, or the caller gives the counts."
        }
        FirstPass::Fields => {
            "A step may be cut into parts. Their batch fields are read first, because something spans the batch; the model runs once."
        }
        FirstPass::Model => {
            "A step may be cut into parts. The model runs on each of them twice, because the loss is no sum over the parts."
        }
    }
}
