//! The terms that a program calls, with what they read and their arguments.

use super::{Op, Program};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// A call of a term.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Call {
    /// The term's registered name.
    pub name: &'static str,
    /// The formula of each input by its name there: `advantages` of `clip_ppo()` is the batch field `advantages`.
    pub reads: BTreeMap<&'static str, String>,
    /// Its arguments as JSON, with the defaults of those that are not given. One that moves is an object with its formula
    /// under `moving`.
    pub args: Value,
}

impl Program {
    /// The terms that the loss, the metrics, the signals and the assertions call, each formula once.
    pub fn calls(&self) -> Vec<Call> {
        let of = |op: &Op| {
            let Op::Term { object, inputs, .. } = op else { return None };
            let term = &self.terms[*object];
            let names = term.signature.inputs.iter().map(|input| input.name);
            let reads = names.zip(inputs).map(|(name, id)| (name, self.expression(*id))).collect();
            Some(Call { name: term.name(), reads, args: term.args() })
        };
        self.nodes.iter().filter_map(|node| of(&node.op)).collect()
    }
}
