//! Computes the nodes of a program on the tensors of a part, or of a whole step.

use super::error::{Error, Result};
use super::part::Part;
use super::value::{self, Like, Presets, Value};
use crate::panic::panic_text;
use crate::plan::{Leaf, Plan, grouped};
use crate::plugin::{EvalError, Frame, Input, Lazy, StepCounts, TermContext};
use crate::program::{Node, NodeId, Op, Program};
use crate::tensor::{DType, Tensor};
use crate::types::{Kind, Shape, Type};
use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// One evaluation.
pub(super) struct Evaluation<'a> {
    pub program: &'a Program,
    pub plan: &'a Plan,
    pub part: &'a Part,
    pub frame: &'a Frame,
    /// The current coefficients, by controller.
    pub coefficients: &'a [f64],
    /// The number of steps before this one.
    pub steps: u64,
    /// Values of the whole step that this part cannot compute.
    pub presets: &'a Presets,
    /// The number of groups in the whole step by the field that tells them apart, where the caller gave it.
    pub groups: &'a BTreeMap<String, i64>,
}

/// The values of all nodes that were computed, and the extras of terms.
pub(super) struct Values {
    of_nodes: Vec<Option<Value>>,
    extras: HashMap<(usize, String), Tensor>,
}

impl Values {
    /// The value of a node as a tensor of the computation's kind.
    pub(super) fn tensor(&self, id: NodeId, like: Like<'_>) -> Tensor {
        self.get(id).to_tensor(like)
    }

    /// An extra of a term, if it was computed.
    pub(super) fn extra(&self, term: usize, name: &str) -> Option<&Tensor> {
        self.extras.get(&(term, name.to_owned()))
    }

    fn get(&self, id: NodeId) -> &Value {
        self.of_nodes[id.index()].as_ref().expect("operands are computed before what uses them")
    }
}

/// The shared tensors of a part; `counts` are those of the whole step.
pub(super) fn frame(part: &Part, counts: StepCounts) -> Frame {
    let (mask, dtype) = (part.mask.clone(), part.kind);
    Frame { lengths: Lazy::new(Box::new(move || mask.lengths(dtype))), mask: part.mask.clone(), counts }
}

impl Evaluation<'_> {
    /// Computes every node marked in `wanted`; with `gradient`, the tracked ones under autograd.
    pub(super) fn run(&self, wanted: &[bool], gradient: bool) -> Result<Values> {
        let of_nodes = Vec::with_capacity(self.program.nodes.len());
        let mut values = Values { of_nodes, extras: HashMap::new() };
        for (index, &wanted) in wanted.iter().enumerate() {
            let value = if !wanted {
                None
            } else if let Some(preset) = self.presets.get(&index) {
                Some(Value::Tensor(preset.clone()))
            } else if let Some(count) = self.counted_groups(index) {
                Some(Value::Number(count as f64))
            } else if self.program.nodes[index].op.is_at_hand()
                || (gradient && self.plan.nodes[index].tracked)
            {
                Some(self.node(index, &mut values)?)
            } else {
                let _untracked = self.part.mask.tokens.no_grad();
                Some(self.node(index, &mut values)?)
            };
            values.of_nodes.push(value.map(Value::ok).transpose()?);
        }
        Ok(values)
    }

    /// The number of groups, if the node is one that the caller gave.
    fn counted_groups(&self, index: usize) -> Option<i64> {
        let of = grouped(self.program, index).filter(|of| of.counts && !self.groups.is_empty())?;
        self.groups.get(of.field).copied()
    }

    fn node(&self, index: usize, values: &mut Values) -> Result<Value> {
        let node = &self.program.nodes[index];
        let like = self.like();
        Ok(match &node.op {
            Op::Constant(number) => Value::Number(*number),
            Op::Boolean(truth) => Value::Number(f64::from(*truth)),
            Op::Controller(number) => Value::Number(self.coefficients[*number]),
            Op::Step => Value::Number(self.steps as f64),
            Op::Field(_) | Op::LogProb(_) | Op::Row(_) => Value::Tensor(self.leaf(index).clone()),
            Op::Pooled(x) => Value::Tensor(values.tensor(*x, like) * self.part.weight(&self.frame.counts)),
            Op::Unary(function, x) => value::unary(*function, &self.operand(values, *x, node.ty.shape)),
            Op::Binary(function, a, b) => {
                let a = self.operand(values, *a, node.ty.shape);
                let b = self.operand(values, *b, node.ty.shape);
                value::binary(*function, &a, &b)
            }
            Op::Where(condition, a, b) => self.select(values, node, [*condition, *a, *b]),
            Op::Clamp(x, lo, hi) => {
                let x = self.operand(values, *x, node.ty.shape);
                let lo = self.operand(values, *lo, node.ty.shape);
                let hi = self.operand(values, *hi, node.ty.shape);
                value::clamp(&x, &lo, &hi, like)
            }
            Op::Quantile(x, q) => {
                let (x, valid) = self.collection(values, *x);
                Value::Tensor(value::quantile(&x, valid, values.get(*q).number()?))
            }
            Op::TopFraction(x, p) => {
                let (x, valid) = self.collection(values, *x);
                Value::Tensor(value::top_fraction(&x, valid, values.get(*p).number()?)?)
            }
            Op::Term { object, inputs, rows, .. } => {
                let term = &self.program.terms[*object];
                let signature = &term.signature;
                let rows = rows.iter().map(|id| match values.get(*id) {
                    Value::Tensor(tensor) => tensor,
                    Value::Number(_) => unreachable!("row statistics are tensors"),
                });
                let ctx = TermContext {
                    inputs: self.inputs(values, &signature.inputs, inputs),
                    rows: rows.collect(),
                    width: signature.width,
                    counts: &signature.counts,
                    frame: self.frame,
                    wanted: &self.plan.nodes[index].extras,
                };
                let value = guarded(term.name(), term.owner(), || term.value.eval(&ctx))?;
                self.check_result(term.name(), term.owner(), "a result", &value.value, signature.result)?;
                for (name, extra) in value.extras {
                    values.extras.insert((index, name.to_owned()), extra);
                }
                Value::Tensor(value.value)
            }
            Op::Extra { term, name } => {
                let extra = values.extra(term.index(), name);
                let Op::Term { object, .. } = self.program.node(*term).op else { unreachable!() };
                let term = &self.program.terms[object];
                let extra = extra.ok_or_else(|| {
                    object_error(term.name(), term.owner(), format!("declares `{name}` and did not give it"))
                })?;
                self.check_result(term.name(), term.owner(), &format!("`{name}`"), extra, node.ty)?;
                Value::Tensor(extra.clone())
            }
            Op::Reduce { object, operand, inputs, .. } => {
                let reduction = &self.program.reductions[*object];
                let signature = &reduction.signature;
                let ctx = TermContext {
                    inputs: self.inputs(values, &signature.inputs, inputs),
                    rows: Vec::new(),
                    width: signature.width,
                    counts: &signature.counts,
                    frame: self.frame,
                    wanted: &[],
                };
                let x = self.full(values, *operand, signature.from);
                let x = self.part.zeroed(signature.from.shape, &x);
                let value =
                    guarded(reduction.name(), reduction.owner(), || reduction.value.reduce(&x, &ctx))?;
                self.check_result(reduction.name(), reduction.owner(), "a result", &value, signature.to)?;
                Value::Tensor(value)
            }
        })
    }

    fn select(&self, values: &Values, node: &Node, [condition, a, b]: [NodeId; 3]) -> Value {
        let shape = node.ty.shape;
        let condition = match self.operand(values, condition, shape) {
            Value::Tensor(condition) => condition,
            Value::Number(condition) => {
                // The dropped branch may be the one that gives the result its shape.
                let chosen = if condition == 0.0 { b } else { a };
                return if self.program.node(chosen).ty.shape == shape {
                    self.operand(values, chosen, shape)
                } else {
                    Value::Tensor(self.full(values, chosen, node.ty))
                };
            }
        };
        let (a, b) = (self.operand(values, a, shape), self.operand(values, b, shape));
        value::select(&condition, &a, &b, self.part.like_of(node.ty.kind))
    }

    fn like(&self) -> Like<'_> {
        self.part.like()
    }

    /// A value that was read.
    fn leaf(&self, index: usize) -> &Tensor {
        let read = match self.plan.nodes[index].leaf.expect("the plan resolves every leaf that it needs") {
            Leaf::Mask => Some(&self.part.mask.tokens),
            Leaf::Field(field) => self.part.fields[field].as_ref(),
            Leaf::LogProb => self.part.log_prob.as_ref(),
            Leaf::Row(row) => self.part.rows.get(row),
        };
        read.expect("a part has all that is wanted of it")
    }

    /// An operand in a shape that broadcasts against `shape`.
    fn operand(&self, values: &Values, id: NodeId, shape: Shape) -> Value {
        let value = values.get(id);
        let node = self.program.node(id);
        let Value::Tensor(tensor) = value else { return value.clone() };
        if node.ty.shape == shape {
            return Value::Tensor(tensor.clone());
        }
        Value::Tensor(self.widen(tensor, id, shape))
    }

    /// Broadcasts to a larger shape. A value with gradient is zeroed at masked positions, because the gradient that flows
    /// back from there may be NaN.
    fn widen(&self, tensor: &Tensor, id: NodeId, shape: Shape) -> Tensor {
        let from = self.program.node(id).ty.shape;
        let tensor = match (from, shape) {
            (Shape::Seq, Shape::Token) => tensor.unsqueeze(1),
            _ => tensor.clone(),
        };
        if !tensor.requires_grad() {
            return tensor;
        }
        self.part.zeroed(shape, &tensor)
    }

    /// An operand as a tensor of exactly the shape of `ty`; truth values become numbers if `ty` is real.
    fn full(&self, values: &Values, id: NodeId, ty: Type) -> Tensor {
        let tensor = self.operand(values, id, ty.shape).to_tensor(self.part.like_of(ty.kind));
        let tensor = if ty.kind == Kind::Real && tensor.dtype() == DType::Bool {
            tensor.to_dtype(self.part.kind)
        } else {
            tensor
        };
        // A tensor that has this shape already needs no expand.
        if self.program.node(id).ty.shape == ty.shape && tensor.dim() == ty.shape.dimensions() {
            return tensor;
        }
        tensor.expand(&self.part.size_of(ty.shape))
    }

    /// All values of an operand, and which of them count.
    fn collection(&self, values: &Values, id: NodeId) -> (Tensor, &Tensor) {
        let ty = self.program.node(id).ty;
        let counted = self.part.counted(ty.shape).expect("the checker refuses to sort a scalar");
        (self.full(values, id, ty), counted)
    }

    fn inputs(&self, values: &Values, inputs: &[Input], ids: &[NodeId]) -> Vec<(&'static str, Tensor)> {
        inputs
            .iter()
            .zip(ids)
            .map(|(input, id)| {
                let tensor = self.full(values, *id, input.ty);
                let constant = !input.gradient && tensor.requires_grad();
                (input.name, if constant { tensor.detach() } else { tensor })
            })
            .collect()
    }

    fn check_result(&self, name: &str, owner: &str, what: &str, value: &Tensor, ty: Type) -> Result<()> {
        let value = value.host_tensor().map_err(|error| object_error(name, owner, error.to_string()))?;
        if let Some(why) = value.unusable() {
            return Err(object_error(
                name,
                owner,
                format!("{what}: expected {}, found {}", why.expected, why.found),
            ));
        }
        let (wanted, found) = (self.part.size_of(ty.shape), value.size());
        if found != wanted {
            let message = format!("expected {what} of shape {wanted:?}, found {found:?}");
            return Err(object_error(name, owner, message));
        }
        let kind = value.dtype();
        let message = match ty.kind {
            Kind::Bool if kind != DType::Bool => {
                format!("expected {what} of truth values, found {kind}")
            }
            Kind::Real if !matches!(kind, DType::F32 | DType::F64) => {
                format!("expected {what} of numbers in f32 or f64, found {kind}")
            }
            Kind::Int if kind != DType::I64 => format!("expected {what} of int64 ids, found {kind}"),
            _ => return Ok(()),
        };
        Err(object_error(name, owner, message))
    }
}

/// Runs a plugin's code; a panic becomes an error that names the plugin.
fn guarded<T>(name: &str, owner: &str, run: impl FnOnce() -> std::result::Result<T, EvalError>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(object_error(name, owner, error.to_string())),
        Err(panic) => Err(object_error(name, owner, format!("panicked: {}", panic_text(&*panic)))),
    }
}

fn object_error(name: &str, owner: &str, message: String) -> Error {
    Error::Object { name: name.to_owned(), owner: owner.to_owned(), message }
}
