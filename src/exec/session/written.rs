//! How a node was written in its file.

use crate::program::{NodeId, Program};

/// The formula as written, on one line, and its file, line and column.
pub(super) fn written(program: &Program, id: NodeId) -> (String, Option<String>) {
    let node = program.node(id);
    let Some(place) = program.place_of(node.span) else { return (program.describe(&node.op), None) };
    let text = program.sources().text(node.span);
    let code = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    let words: Vec<&str> = code.flat_map(str::split_whitespace).collect();
    (words.join(" "), Some(place))
}

/// The `let` or `metric` that names a formula.
pub(super) fn named(program: &Program, id: NodeId) -> Option<String> {
    let named = |(name, of): &(String, NodeId)| (*of == id).then(|| name.clone());
    let lets = program.lets.iter().find_map(named).map(|name| format!("let {name}"));
    lets.or_else(|| program.metrics.iter().find_map(named).map(|name| format!("metric {name}")))
}
