//! Chooses how tasks measure clamped entropy: like the first spec that clamps.

use aent::program::Program;
use aent::rows::TokenSet;
use serde_json::Value;

use crate::tasks::Probe;

/// The probe for the specs of a run.
pub(super) fn probe(programs: &[Program]) -> Probe {
    let kept = programs.iter().find_map(kept).unwrap_or(TokenSet::All);
    Probe { kept, band: programs.iter().find_map(band) }
}

/// The token set of the spec's first `clamped_entropy`.
fn kept(program: &Program) -> Option<TokenSet> {
    let args = program.terms.iter().find(|term| term.name() == "clamped_entropy")?.args();
    let number = |name: &str| args.get(name).and_then(Value::as_f64);
    number("drop")
        .map(TokenSet::Drop)
        .or_else(|| args.get("top_k").and_then(Value::as_i64).map(TokenSet::TopK))
        .or_else(|| number("top_p").map(TokenSet::TopP))
        .or_else(|| number("min_p").map(TokenSet::MinP))
}

/// The target of the spec's first `band`.
fn band(program: &Program) -> Option<[f64; 2]> {
    let controller = program.controllers.iter().find(|controller| controller.object.name() == "band")?;
    serde_json::from_value(controller.object.args().get("target")?.clone()).ok()
}
