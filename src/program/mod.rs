//! A typed program: every value once, in the order of evaluation.
//!
//! A program is data. It holds no tensors, can be saved and loaded with its plugin objects, and prints the same text on
//! every run.

mod build;
mod display;
mod expression;
mod identity;
mod infer;
mod key;
mod node;
mod object;
mod prune;
mod reads;

pub use build::Builder;
pub use expression::argument;
pub use node::{BinaryFn, Node, NodeId, Op, UnaryFn};
pub use object::Object;
pub(crate) use prune::prune;
pub use reads::Reads;

use crate::diag::Diagnostics;
use crate::interval::Interval;
use crate::plugin::{Controller, Reduction, Term};
use crate::source::Sources;
use crate::types::Type;
use serde::{Deserialize, Serialize};

/// A checked program with everything it needs to run.
#[derive(Debug, Serialize, Deserialize)]
pub struct Program {
    /// All values; operands come before their users.
    pub nodes: Vec<Node>,
    /// The terms called.
    pub terms: Vec<Object<dyn Term>>,
    /// The reductions called.
    pub reductions: Vec<Object<dyn Reduction>>,
    /// The coefficients.
    pub controllers: Vec<ControllerDecl>,
    /// The constants the host may override.
    pub params: Vec<Param>,
    /// The extra batch fields the program declares.
    pub inputs: Vec<InputDecl>,
    /// The temperature that divides the logits.
    pub temperature: f64,
    /// The loss.
    pub loss: NodeId,
    /// The metrics, by name.
    pub metrics: Vec<(String, NodeId)>,
    /// Every `let` that is a value, by name.
    pub lets: Vec<(String, NodeId)>,
    /// Lints that were not silenced.
    #[serde(skip)]
    pub(crate) warnings: Diagnostics,
    /// The sources it was compiled from.
    #[serde(skip)]
    pub(crate) sources: Sources,
}

/// A `controller` statement.
#[derive(Debug, Serialize, Deserialize)]
pub struct ControllerDecl {
    /// The coefficient's name.
    pub name: String,
    /// The rule.
    pub object: Object<dyn Controller>,
    /// The signal it observes.
    pub signal: Option<NodeId>,
}

/// A `param` statement and its current value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Param {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: f64,
    /// The value written in the file.
    pub default: f64,
    /// The values it may be set to.
    pub range: Option<Interval>,
}

/// An `input` statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputDecl {
    /// The batch field.
    pub name: String,
    /// Its type.
    pub ty: Type,
    /// Whether gradient flows to it.
    #[serde(default)]
    pub gradient: bool,
}

impl Program {
    /// The node with that id.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// The lints that were found and not silenced.
    pub fn warnings(&self) -> &Diagnostics {
        &self.warnings
    }

    /// The sources it was compiled from; empty for a deserialised program.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// The batch fields that it reads by name, without those that statistics of the policy's logits need.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().filter_map(|node| node.op.field())
    }

    /// The nodes of the loss, the signals, the metrics and the named values.
    pub fn roots(&self) -> impl Iterator<Item = NodeId> {
        let signals = self.controllers.iter().filter_map(|controller| controller.signal);
        let named = self.metrics.iter().chain(&self.lets).map(|(_, id)| *id);
        std::iter::once(self.loss).chain(signals).chain(named)
    }
}
