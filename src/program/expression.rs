//! The formula of one value as text, independent of node numbers and of the rest of its program.

use super::moving::MOVING;
use super::{BinaryFn, NodeId, Object, Op, Program, TemperatureOf, UnaryFn};
use crate::plugin::{Input, InputDefault, Parameter, Plugin};
use crate::rows::{RowStatistic, Statistic};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;

/// The text of a value, and whether it needs no parentheses beside an operator.
#[derive(Clone)]
struct Text {
    text: String,
    atomic: bool,
}

impl Text {
    fn atom(text: impl Into<String>) -> Self {
        Self { text: text.into(), atomic: true }
    }

    fn operand(&self) -> String {
        if self.atomic { self.text.clone() } else { format!("({})", self.text) }
    }
}

impl Program {
    /// The formula of a value, close to how it is written in a file. Programs that compute the value alike give the same
    /// text: default arguments and inputs are left out, so that a plugin may add one. Values used more than once come
    /// first, as `let v1 = ...`.
    pub fn expression(&self, of: NodeId) -> String {
        let (order, uses) = self.visit(of);
        let mut texts: HashMap<NodeId, Text> = HashMap::new();
        let mut result = String::new();
        let mut named = 0;
        for id in order {
            let text = self.text_of(id, &texts);
            let shared = uses[&id] > 1 && !self.operands_by_name(id).is_empty();
            let text = if shared {
                named += 1;
                // Writing to a string cannot fail.
                let _ = write!(result, "let v{named} = {} ", text.text);
                Text::atom(format!("v{named}"))
            } else {
                text
            };
            texts.insert(id, text);
        }
        result + &texts[&of].text
    }

    /// The nodes of a value's formula in the order in which its text names them, and how often each is used. Row
    /// statistics are left out, since they follow from their term.
    fn visit(&self, of: NodeId) -> (Vec<NodeId>, HashMap<NodeId, usize>) {
        let mut uses = HashMap::from([(of, 1)]);
        let mut order = Vec::new();
        let mut seen = HashSet::new();
        let mut open = vec![(of, false)];
        while let Some((id, done)) = open.pop() {
            if done {
                order.push(id);
            } else if seen.insert(id) {
                open.push((id, true));
                for operand in self.operands_by_name(id).into_iter().rev() {
                    *uses.entry(operand).or_insert(0) += 1;
                    open.push((operand, false));
                }
            }
        }
        (order, uses)
    }

    fn operands_by_name(&self, id: NodeId) -> Vec<NodeId> {
        match &self.node(id).op {
            Op::Term { object, inputs, .. } => {
                let names = &self.terms[*object].signature.inputs;
                self.given(names, inputs).into_iter().map(|(_, id)| id).collect()
            }
            Op::Reduce { object, operand, inputs, .. } => {
                let names = &self.reductions[*object].signature.inputs;
                let given = self.given(names, inputs).into_iter().map(|(_, id)| id);
                std::iter::once(*operand).chain(given).collect()
            }
            op => op.operands(),
        }
    }

    /// The inputs of a call that differ from their defaults.
    fn given(&self, names: &[Input], inputs: &[NodeId]) -> Vec<(&'static str, NodeId)> {
        let is_default = |input: &Input, id: NodeId| match (input.default, &self.node(id).op) {
            (InputDefault::Field, Op::Field(name)) => name == input.name,
            (InputDefault::Field, Op::Pooled(field)) => self.node(*field).op.fields() == [input.name],
            (InputDefault::Field, Op::LogProb(_)) => input.name == "log_prob",
            (InputDefault::Constant(default), Op::Constant(value)) => default.to_bits() == value.to_bits(),
            _ => false,
        };
        let pairs = names.iter().zip(inputs);
        pairs.filter(|(input, id)| !is_default(input, **id)).map(|(input, id)| (input.name, *id)).collect()
    }

    fn text_of(&self, id: NodeId, texts: &HashMap<NodeId, Text>) -> Text {
        let text = |id: &NodeId| texts[id].text.as_str();
        let operand = |id: &NodeId| texts[id].operand();
        let inputs = |names: &[Input], inputs: &[NodeId]| {
            let given = self.given(names, inputs).into_iter();
            given.map(|(name, id)| format!("{name} = {}", texts[&id].text)).collect::<Vec<_>>()
        };
        match &self.node(id).op {
            Op::Constant(value) => Text { text: value.to_string(), atomic: value.is_sign_positive() },
            Op::Pooled(x) => Text { text: text(x).to_owned(), atomic: texts[x].atomic },
            Op::LogProb(row) => Text::atom(format!("log_prob{}", self.heat(row))),
            Op::Unary(UnaryFn::Neg, x) => Text { text: format!("-{}", operand(x)), atomic: false },
            Op::Unary(UnaryFn::Not, x) => Text { text: format!("not {}", operand(x)), atomic: false },
            Op::Unary(function, x) => Text::atom(format!("{}({})", function.as_str(), text(x))),
            Op::Binary(function @ (BinaryFn::Min | BinaryFn::Max), a, b) => {
                Text::atom(format!("{}({}, {})", function.as_str(), text(a), text(b)))
            }
            Op::Binary(function, a, b) => {
                let text = format!("{} {} {}", operand(a), function.as_str(), operand(b));
                Text { text, atomic: false }
            }
            Op::Where(condition, a, b) => {
                Text::atom(format!("where({}, {}, {})", text(condition), text(a), text(b)))
            }
            Op::Clamp(x, lo, hi) => Text::atom(format!("clamp({}, {}, {})", text(x), text(lo), text(hi))),
            Op::Quantile(x, q) => Text::atom(format!("quantile({}, {})", text(x), text(q))),
            Op::TopFraction(x, p) => Text::atom(format!("top_fraction({}, {})", text(x), text(p))),
            Op::Extra { term, name } => Text::atom(format!("{}.{name}", operand(term))),
            Op::Term { object, inputs: of, rows, .. } => {
                let object = &self.terms[*object];
                let operands = inputs(&object.signature.inputs, of);
                // A temperature of its own is among the arguments.
                let is_own = object.args().get("temperature").is_some_and(|own| !own.is_null());
                let row = rows.first().filter(|_| !is_own).and_then(|row| self.tempered(*row));
                let at = row.map_or_else(String::new, |row| self.heat(&row));
                Text::atom(format!("{}{at}", object.call(operands)))
            }
            Op::Reduce { object, operand, inputs: of, .. } => {
                let object = &self.reductions[*object];
                let mut operands = vec![text(operand).to_owned()];
                operands.extend(inputs(&object.signature.inputs, of));
                Text::atom(object.call(operands))
            }
            op @ (Op::Boolean(_) | Op::Field(_) | Op::Row(_) | Op::Controller(_) | Op::Step) => {
                Text::atom(self.describe(op))
            }
        }
    }

    /// The row statistic whose temperature a term's text names. The logit of the action has the file's.
    fn tempered(&self, row: NodeId) -> Option<RowStatistic> {
        let (temperature, divisor) = (self.temperature, self.temperature_of.field());
        match &self.node(row).op {
            Op::LogProb(row) | Op::Row(row) if row.statistic == Statistic::ActionLogit => {
                Some(RowStatistic { temperature, divisor, ..*row })
            }
            Op::LogProb(row) | Op::Row(row) => Some(*row),
            _ => None,
        }
    }

    /// ` at temperature 0.7`: a number other than 1, the field with that of each row, or the formula that it moves by.
    fn heat(&self, row: &RowStatistic) -> String {
        #[expect(clippy::float_cmp, reason = "1 is what a file without a temperature has")]
        let plain = row.temperature == 1.0 && row.divisor.is_none();
        match &self.temperature_of {
            TemperatureOf::Step { formula, .. } => format!(" at temperature {formula}"),
            _ if plain => String::new(),
            _ => format!(" at temperature {}", row.temperature_in_words()),
        }
    }
}

impl<T: ?Sized + Plugin> Object<T> {
    /// A call with the arguments that differ from their defaults.
    fn call(&self, mut operands: Vec<String>) -> String {
        let given = self.given_args().into_iter();
        operands.extend(given.map(|(name, value)| format!("{name} = {}", argument(&value))));
        let version =
            if self.is_hosted() { format!(" of version {}", self.version()) } else { String::new() };
        format!("{}({}){version}", self.name(), operands.join(", "))
    }

    /// The arguments that differ from their defaults.
    fn given_args(&self) -> BTreeMap<String, Value> {
        let is_default = |name: &str, value: &Value| {
            let parameter = self.declaration().parameter(name);
            parameter.and_then(Parameter::default_value).is_some_and(|default| default.equals(value))
        };
        entries(&self.args()).into_iter().filter(|(name, value)| !is_default(name, value)).collect()
    }
}

/// The arguments, sorted by name.
fn entries(args: &Value) -> BTreeMap<String, Value> {
    let args = args.as_object().into_iter().flatten();
    args.filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// An argument's value as written in a file, or its formula if it moves.
pub fn argument(value: &Value) -> String {
    match value {
        Value::Array(ends) if ends.len() == 2 => format!("{} .. {}", argument(&ends[0]), argument(&ends[1])),
        Value::Object(moving) => match moving.get(MOVING).and_then(Value::as_str) {
            Some(formula) => formula.to_owned(),
            None => value.to_string(),
        },
        value => value.to_string(),
    }
}
