//! Constant arguments that do not stay: a coefficient, or a formula of coefficients, where a number could stand. They hold
//! during a step; before the next one the program's objects are made anew.

use super::{BinaryFn, Node, NodeId, Object, Op, Program};
use crate::plugin::{Parameter, ParameterType, Plugin};
use crate::rows::RowStatistic;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The key under which saved arguments have the formula of one that moves.
pub(super) const MOVING: &str = "moving";

/// An argument of an object that moves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moving {
    /// The argument's name.
    pub argument: String,
    /// Which end of a range; none where the whole argument is one number.
    pub end: Option<End>,
    /// The formula as written.
    pub formula: String,
}

/// An end of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The lower end.
    Low,
    /// The upper end.
    High,
}

impl Moving {
    /// Puts a number, or what stands for it, into the object's saved arguments.
    pub(super) fn put(&self, args: &mut Value, value: Value) {
        match (self.end, &mut args[self.argument.as_str()]) {
            (Some(End::Low), Value::Array(ends)) if ends.len() == 2 => ends[0] = value,
            (Some(End::High), Value::Array(ends)) if ends.len() == 2 => ends[1] = value,
            (_, argument) => *argument = value,
        }
    }
}

/// A number as a parameter takes it: a whole one is rounded.
pub(crate) fn fitted(parameter: Option<&Parameter>, value: f64) -> f64 {
    match parameter.map(|parameter| parameter.ty) {
        Some(ParameterType::Whole) => value.round(),
        _ => value,
    }
}

/// The value of a node that is fixed during a step: numbers, coefficients, the step count and formulas of them; none for
/// any other node.
pub(crate) fn fixed(nodes: &[Node], id: NodeId, coefficients: &[f64], steps: f64) -> Option<f64> {
    let of = |id: &NodeId| fixed(nodes, *id, coefficients, steps);
    Some(match &nodes[id.index()].op {
        Op::Constant(value) => *value,
        Op::Boolean(value) => f64::from(*value),
        Op::Controller(index) => *coefficients.get(*index)?,
        Op::Step => steps,
        Op::Unary(function, x) => function.apply(of(x)?),
        Op::Binary(function, a, b) => function.apply(of(a)?, of(b)?),
        Op::Where(condition, a, b) => of(if of(condition)? == 0.0 { b } else { a })?,
        Op::Clamp(x, lo, hi) => BinaryFn::clamp(of(x)?, of(lo)?, of(hi)?),
        _ => return None,
    })
}

impl Program {
    /// Whether anything in it moves that could be a constant.
    pub fn moves(&self) -> bool {
        let terms = self.terms.iter().any(|object| !object.moving.is_empty());
        let reductions = self.reductions.iter().any(|object| !object.moving.is_empty());
        let temperature = self.temperature_of.node().is_some();
        temperature || terms || reductions || self.controllers.iter().any(|of| !of.object.moving.is_empty())
    }

    /// The program of a step with these coefficients after `steps` others: every object has the arguments that hold in it.
    /// The error names an object that refuses its arguments.
    pub(crate) fn at(&self, coefficients: &[f64], steps: f64) -> Result<Program, String> {
        let mut program = self.clone();
        let values = |ids: &[NodeId]| -> Vec<f64> {
            let value = |id: &NodeId| fixed(&self.nodes, *id, coefficients, steps).unwrap_or(f64::NAN);
            ids.iter().map(value).collect()
        };
        if let Some(node) = self.temperature_of.node() {
            program.temperature = values(&[node])[0];
            if !(program.temperature > 0.0 && program.temperature.is_finite()) {
                return Err(format!("`set temperature`: expected above 0, found {}", program.temperature));
            }
        }
        let (temperature, field) = (program.temperature, self.temperature_of.field());
        let is_hotter = temperature.to_bits() != self.temperature.to_bits();
        for (index, node) in self.nodes.iter().enumerate() {
            match &node.op {
                Op::LogProb(row) => {
                    program.nodes[index].op = Op::LogProb(RowStatistic { temperature, ..*row });
                }
                Op::Term { object, rows, moving, .. } if is_hotter || !moving.is_empty() => {
                    let term = if moving.is_empty() {
                        self.terms[*object].clone()
                    } else {
                        self.terms[*object].at(&values(moving))?
                    };
                    for (row, id) in term.signature.rows.iter().zip(rows) {
                        // What is read from the batch stays.
                        if let op @ Op::Row(_) = &mut program.nodes[id.index()].op {
                            *op = Op::Row(row.at(temperature, field));
                        }
                    }
                    program.terms[*object] = term;
                }
                Op::Reduce { object, moving, .. } if !moving.is_empty() => {
                    program.reductions[*object] = self.reductions[*object].at(&values(moving))?;
                }
                _ => {}
            }
        }
        for (here, of) in self.controllers.iter().zip(&mut program.controllers) {
            if !here.moving.is_empty() {
                of.object = here.object.at(&values(&here.moving))?;
            }
        }
        Ok(program)
    }
}

impl<T: ?Sized + Plugin> Object<T> {
    /// The same object with other numbers for its moving arguments, in their order.
    fn at(&self, values: &[f64]) -> Result<Self, String> {
        let mut args = self.value_args();
        for (moving, value) in self.moving.iter().zip(values) {
            let value = fitted(self.declaration().parameter(&moving.argument), *value);
            moving.put(&mut args, json!(value));
        }
        self.with_args(&args)
    }
}
