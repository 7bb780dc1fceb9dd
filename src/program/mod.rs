//! A typed program: every value once, in the order of evaluation.
//!
//! A program is data. It holds no tensors, can be saved and loaded with its plugin objects, and prints the same text on
//! every run.

mod build;
mod calls;
mod display;
mod expression;
mod identity;
mod infer;
mod key;
mod moving;
mod node;
mod object;
mod param;
mod prune;
mod reads;

pub use build::Builder;
pub use calls::Call;
pub use expression::argument;
pub use moving::{End, Moving};
pub(crate) use moving::{fitted, fixed};
pub use node::{BinaryFn, Node, NodeId, Op, UnaryFn};
pub use object::Object;
pub use param::{Param, ParamRange, ParamValue};
pub(crate) use prune::prune;
pub use reads::Reads;

use crate::diag::Diagnostics;
use crate::fields::LogitFields;
use crate::plugin::{Controller, Reduction, Term};
use crate::rows::FieldName;
use crate::source::Sources;
use crate::span::Span;
use crate::types::{FieldSort, InputType};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A checked program with everything it needs to run.
#[derive(Clone, Debug, Serialize, Deserialize)]
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
    /// The temperature that divides the logits: that of this step, if it moves, and 1 if the batch has that of each row.
    pub temperature: f64,
    /// What the temperature is of.
    #[serde(default, skip_serializing_if = "TemperatureOf::is_of_file")]
    pub temperature_of: TemperatureOf,
    /// The loss; of several, their sum.
    pub loss: NodeId,
    /// The losses by name, where the file has several.
    #[serde(default)]
    pub losses: Vec<(String, NodeId)>,
    /// The metrics, by name.
    pub metrics: Vec<(String, NodeId)>,
    /// What has to hold in every step.
    #[serde(default)]
    pub assertions: Vec<Assertion>,
    /// Every `let` that is a value, by name.
    pub lets: Vec<(String, NodeId)>,
    /// Lints that were not silenced.
    #[serde(skip)]
    pub(crate) warnings: Diagnostics,
    /// The sources it was compiled from.
    #[serde(skip)]
    pub(crate) sources: Arc<Sources>,
}

/// What `set temperature` names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TemperatureOf {
    /// A number.
    #[default]
    File,
    /// A batch field with that of each row.
    Row(FieldName),
    /// A value that holds during a step.
    Step {
        /// The value.
        node: NodeId,
        /// As it is written.
        formula: String,
    },
}

/// A `controller` statement.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ControllerDecl {
    /// The coefficient's name.
    pub name: String,
    /// The rule.
    pub object: Object<dyn Controller>,
    /// The signal it observes.
    pub signal: Option<NodeId>,
    /// The values of the rule's moving arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moving: Vec<NodeId>,
}

/// An `assert` statement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Assertion {
    /// The truth value that has to hold.
    pub condition: NodeId,
    /// The number that the condition compares, if it is a comparison.
    pub compared: Option<NodeId>,
    /// The condition as written.
    pub formula: String,
    /// What it means if it does not hold.
    pub message: String,
    /// Where it is written.
    pub span: Span,
}

/// An `input` statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputDecl {
    /// The batch field.
    pub name: String,
    /// Its type.
    pub ty: InputType,
    /// Whether gradient flows to it.
    #[serde(default)]
    pub gradient: bool,
}

impl InputDecl {
    /// The fields that bring logits, if it declares them.
    pub fn logits(&self) -> Option<LogitFields> {
        let is_logits = self.ty == InputType::Field(FieldSort::Logits);
        is_logits.then(|| LogitFields::of_reference(Some(FieldName::new(&self.name))))
    }

    /// The names under which a batch may bring it.
    pub fn names(&self) -> Vec<&str> {
        self.logits().map_or_else(|| vec![self.name.as_str()], |of| of.names().to_vec())
    }
}

impl TemperatureOf {
    fn is_of_file(&self) -> bool {
        *self == Self::File
    }

    /// The batch field, if it names one.
    pub(crate) fn field(&self) -> Option<FieldName> {
        match self {
            Self::Row(field) => Some(*field),
            Self::File | Self::Step { .. } => None,
        }
    }

    /// The value that it moves by, if it moves.
    pub(crate) fn node(&self) -> Option<NodeId> {
        match self {
            Self::Step { node, .. } => Some(*node),
            Self::File | Self::Row(_) => None,
        }
    }
}

impl Assertion {
    /// What a step computes for it.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = NodeId> + use<> {
        std::iter::once(self.condition).chain(self.compared)
    }
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

    /// The text under a span, in one line; `None` for a deserialised program.
    pub fn source_of(&self, span: Span) -> Option<String> {
        self.sources.iter().find(|(source, _)| *source == span.source)?;
        Some(self.sources.text(span).split_whitespace().collect::<Vec<_>>().join(" "))
    }

    /// File, line and column of a span; `None` for a deserialised program.
    pub fn place_of(&self, span: Span) -> Option<String> {
        let (_, source) = self.sources.iter().find(|(source, _)| *source == span.source)?;
        let (line, column) = source.line_column(span.start as usize);
        Some(format!("{}:{line}:{column}", source.name()))
    }

    /// The temperature as `set temperature` names it: a number, a batch field or a formula.
    pub fn temperature_text(&self) -> String {
        match &self.temperature_of {
            TemperatureOf::File => self.temperature.to_string(),
            TemperatureOf::Row(field) => field.to_string(),
            TemperatureOf::Step { formula, .. } => formula.clone(),
        }
    }

    /// The batch fields that it reads by name, without those that statistics of the policy's logits need.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().flat_map(|node| node.op.fields())
    }

    /// The nodes of the losses, the temperature, the signals and moving arguments of controllers, the metrics, the assertions and, last, the named values.
    pub fn roots(&self) -> impl Iterator<Item = NodeId> {
        let signals = self.controllers.iter().flat_map(|of| of.signal.iter().chain(&of.moving)).copied();
        let named = self.losses.iter().chain(&self.metrics).map(|(_, id)| *id);
        let asserted = self.assertions.iter().flat_map(Assertion::nodes);
        let lets = self.lets.iter().map(|(_, id)| *id);
        std::iter::once(self.loss)
            .chain(self.temperature_of.node())
            .chain(signals)
            .chain(named)
            .chain(asserted)
            .chain(lets)
    }
}
