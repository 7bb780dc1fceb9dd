//! The identity of a program, as a list of named facts that can be compared.

use super::{Object, Program};
use crate::plugin::Plugin;

impl Program {
    /// Everything that a step depends on: parameters, plugins and their versions, controllers, formulas. Comments, layout
    /// and the names of values do not matter. Ranks compare it; a saved state of format 1 contains it.
    pub fn identity(&self) -> Vec<(String, String)> {
        let mut parts = Vec::new();
        for param in &self.params {
            parts.push((format!("`param {}`", param.name), param.value.to_string()));
        }
        parts.push(("the temperature".to_owned(), self.temperature_text()));
        self.terms.iter().for_each(|object| parts.push(plugin(object)));
        self.reductions.iter().for_each(|object| parts.push(plugin(object)));
        for controller in &self.controllers {
            parts.push(plugin(&controller.object));
            let args = controller.object.args();
            let on = controller.signal.map(|id| format!(" on {id}")).unwrap_or_default();
            parts.push((
                format!("`controller {}`", controller.name),
                format!("{}({args}){on}", controller.object.name()),
            ));
        }
        for (index, node) in self.nodes.iter().enumerate() {
            parts.push((format!("value %{index}"), self.describe(&node.op)));
        }
        parts.push(("the loss".to_owned(), self.loss.to_string()));
        parts.sort();
        parts.dedup();
        parts
    }
}

fn plugin<T: ?Sized + Plugin>(object: &Object<T>) -> (String, String) {
    (format!("`{}`", object.name()), format!("{} {}", object.owner(), object.version()))
}
