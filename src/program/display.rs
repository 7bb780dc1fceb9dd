//! The canonical text of a program: one line per value.

use super::expression::argument;
use super::{BinaryFn, NodeId, Object, Op, Program, UnaryFn};
use crate::plugin::Plugin;
use std::fmt;

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "%{}", self.0)
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for param in &self.params {
            writeln!(f, "param {} = {}", param.name, param.value)?;
        }
        writeln!(f, "set temperature = {}", self.temperature_text())?;
        for (index, node) in self.nodes.iter().enumerate() {
            let gradient = if node.gradient { " grad" } else { "" };
            writeln!(f, "%{index}: {}{gradient} = {}", node.ty, self.describe(&node.op))?;
        }
        for controller in &self.controllers {
            let call = call(&controller.object, &[], &controller.moving);
            write!(f, "controller {} = {call}", controller.name)?;
            match controller.signal {
                Some(signal) => writeln!(f, " on {signal}")?,
                None => writeln!(f)?,
            }
        }
        for (name, id) in &self.lets {
            writeln!(f, "let {name} = {id}")?;
        }
        for (name, id) in &self.metrics {
            writeln!(f, "metric {name} = {id}")?;
        }
        for assertion in &self.assertions {
            writeln!(f, "assert {}, {:?}", assertion.condition, assertion.message)?;
        }
        for (name, id) in &self.losses {
            writeln!(f, "loss {name} = {id}")?;
        }
        writeln!(f, "loss = {}", self.loss)
    }
}

impl Program {
    /// One operation as text.
    pub fn describe(&self, op: &Op) -> String {
        match op {
            Op::Constant(value) => value.to_string(),
            Op::Boolean(value) => value.to_string(),
            Op::Field(name) => name.clone(),
            Op::LogProb(row) => format!("log_prob at temperature {}", row.temperature_in_words()),
            Op::Row(row) => row.to_string(),
            Op::Controller(index) => {
                self.controllers.get(*index).map_or("?", |of| of.name.as_str()).to_owned()
            }
            Op::Step => "step".to_owned(),
            Op::Pooled(x) => format!("pooled({x})"),
            Op::Unary(UnaryFn::Neg, x) => format!("-{x}"),
            Op::Unary(function, x) => format!("{}({x})", function.as_str()),
            Op::Binary(function @ (BinaryFn::Min | BinaryFn::Max), a, b) => {
                format!("{}({a}, {b})", function.as_str())
            }
            Op::Binary(function, a, b) => format!("{a} {} {b}", function.as_str()),
            Op::Where(condition, a, b) => format!("where({condition}, {a}, {b})"),
            Op::Clamp(x, lo, hi) => format!("clamp({x}, {lo}, {hi})"),
            Op::Quantile(x, q) => format!("quantile({x}, {q})"),
            Op::TopFraction(x, p) => format!("top_fraction({x}, {p})"),
            Op::Term { object, inputs, rows, moving } => {
                let operands: Vec<NodeId> = inputs.iter().chain(rows).copied().collect();
                call(&self.terms[*object], &operands, moving)
            }
            Op::Extra { term, name } => format!("{term}.{name}"),
            Op::Reduce { object, operand, inputs, moving } => {
                let operands: Vec<NodeId> = std::iter::once(operand).chain(inputs).copied().collect();
                call(&self.reductions[*object], &operands, moving)
            }
        }
    }
}

fn call<T: ?Sized + Plugin>(object: &Object<T>, operands: &[NodeId], moving: &[NodeId]) -> String {
    let (name, args) = (object.name(), object.args_with(moving));
    let operands = operands.iter().map(ToString::to_string);
    let args = args.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    let args = args.map(|(name, value)| format!("{name} = {}", argument(value)));
    format!("{name}({})", operands.chain(args).collect::<Vec<_>>().join(", "))
}
