//! `aent explain`: what a file compiles to and costs, and what a diagnostic means.

mod cost;
mod memory;
mod pages;

use super::input;
use crate::arguments::Explain;
use crate::{Outcome, Status, stream};
use aent::diag::codes;
use aent::near::nearest;
use aent::plan::{FirstPass, Plan};
use aent::{Compiler, Program};
use cost::Cost;
use memory::Size;
use std::fmt::Write as _;
use std::path::Path;

/// Explains every diagnostic, one diagnostic, or a file.
pub(crate) fn run(arguments: &Explain) -> Outcome {
    let Some(target) = arguments.target.as_deref() else {
        stream::print(&pages::all());
        return Ok(Status::Done);
    };
    if let Some(code) = codes::find(target) {
        stream::print(&pages::page(code));
        return Ok(Status::Done);
    }
    if looks_like_an_id(target) {
        let ids = codes::CODES.iter().map(|code| code.id);
        let hint = nearest(target, ids).map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        return Err(format!("there is neither a diagnostic nor a file `{target}`{hint}"));
    }
    let mut compiler = Compiler::new();
    for (name, value) in &arguments.set {
        compiler = compiler.set(name, *value);
    }
    match input::program(&compiler, Path::new(target))? {
        Ok(program) => {
            stream::print(&explain(&program, arguments.into()));
            Ok(Status::Done)
        }
        Err(status) => Ok(status),
    }
}

/// Ids are words with hyphens; what has a dot or a slash, or exists, is a file.
fn looks_like_an_id(target: &str) -> bool {
    target != input::STDIN && !target.contains(['.', '/', '\\']) && !Path::new(target).exists()
}

fn explain(program: &Program, size: Size) -> String {
    let cost = Cost::of(program);
    let mut out = String::new();
    // Writing into a string cannot fail.
    let _ = write!(out, "# Typed program\n\n{program}\n# Row statistics of the logits\n\n");
    for statistic in &cost.statistics {
        let _ = writeln!(out, "{statistic}");
    }
    if cost.statistics.is_empty() {
        out.push_str("none: the logits are not read\n");
    }
    let _ = write!(out, "\n# Passes over the logits\n\n{}", cost.passes());
    let _ = write!(out, "\n# Micro-batches\n\n{}\n", first_pass(Plan::new(program, false).first_pass));
    let _ = write!(out, "\n{}", memory::explained(&cost, size));
    out
}

/// What has to be seen of all parts of a step before the first of them can give its gradient.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_ids_are_told_apart() {
        assert!(looks_like_an_id("unknown-nam"));
        assert!(!looks_like_an_id("grpo.aent"));
        assert!(!looks_like_an_id("specs/grpo"));
        assert!(!looks_like_an_id("-"));
    }
}
