//! Builds nodes: shares equal ones, folds constants, and infers types, intervals and units.

use super::infer::{binary_interval, binary_unit, join_units, unary_interval, unary_unit};
use super::key::Key;
use super::{BinaryFn, InputDecl, Node, NodeId, Object, Op, UnaryFn};
use crate::fields;
use crate::interval::Interval;
use crate::plugin::{Input, Plugin, Reduction, Scale, Term};
use crate::rows::{Divergence, FieldName, Rest, RowStatistic, Statistic, Taught, TokenSet};
use crate::span::Span;
use crate::types::{Kind, Shape, Type, Unit};
use std::collections::HashMap;

/// A program under construction. Constants are finite, so that a program can be saved as JSON: an expression that
/// overflows is not folded.
#[derive(Debug, Default)]
pub struct Builder {
    pub(crate) nodes: Vec<Node>,
    pub(crate) terms: Vec<Object<dyn Term>>,
    pub(crate) reductions: Vec<Object<dyn Reduction>>,
    known: HashMap<Key, NodeId>,
    objects: HashMap<String, usize>,
    /// The statistics of each term that moves, by the term's number.
    moving_rows: HashMap<usize, Vec<NodeId>>,
}

impl Builder {
    /// The node with that id.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// The value of a node, if it is a constant.
    pub fn as_constant(&self, id: NodeId) -> Option<f64> {
        match self.node(id).op {
            Op::Constant(value) => Some(value),
            _ => None,
        }
    }

    /// A number.
    pub fn constant(&mut self, value: f64, span: Span) -> NodeId {
        self.add(Op::Constant(value), Type::SCALAR, false, Interval::point(value), Unit::Unknown, span)
    }

    /// A truth value.
    pub fn boolean(&mut self, value: bool, span: Span) -> NodeId {
        let interval = Interval::point(f64::from(value));
        self.add(Op::Boolean(value), Type::SCALAR.to_bool(), false, interval, Unit::Unknown, span)
    }

    /// A field of the language; `log_prob` at the given temperature, times the divisor of each row.
    pub fn field(
        &mut self,
        field: &fields::Field,
        temperature: f64,
        divisor: Option<FieldName>,
        span: Span,
    ) -> NodeId {
        let op = if field.name == "log_prob" {
            let row = RowStatistic::new(TokenSet::All, temperature, Statistic::LogProb);
            Op::LogProb(RowStatistic { divisor, ..row })
        } else {
            Op::Field(field.name.to_owned())
        };
        self.add(op, field.ty, field.gradient, field.interval, field.unit, span)
    }

    /// A value of that type that the program declares.
    pub fn declared_field(&mut self, input: &InputDecl, ty: Type, span: Span) -> NodeId {
        let InputDecl { name, gradient, .. } = input;
        let interval = if ty.kind == Kind::Bool { Interval::UNIT } else { Interval::ALL };
        let field = self.add(Op::Field(name.clone()), ty, *gradient, interval, Unit::Unknown, span);
        if *gradient && ty.shape == Shape::Scalar {
            return self.add(Op::Pooled(field), ty, true, interval, Unit::Unknown, span);
        }
        field
    }

    /// The value of a batch field, if it was read before.
    pub fn field_of(&self, name: &str) -> Option<NodeId> {
        let field = *self.known.get(&Key::of(&Op::Field(name.to_owned())))?;
        Some(self.known.get(&Key::of(&Op::Pooled(field))).copied().unwrap_or(field))
    }

    /// Where a batch field of the language is read, if it is.
    pub fn reads_field(&self, name: &str) -> Option<Span> {
        let reads = |node: &&Node| match &node.op {
            Op::Field(field) => field == name,
            Op::LogProb(_) => name == "log_prob",
            _ => false,
        };
        self.nodes.iter().find(reads).map(|node| node.span)
    }

    /// A statistic of a term whose arguments move. It is that term's own: another one may be equal in one step and differ
    /// in the next.
    fn moving_row(&mut self, row: RowStatistic, span: Span) -> NodeId {
        let shared = self.known.remove(&Key::of(&Op::Row(row)));
        let id = self.row(row, span);
        let key = Key::of(&Op::Row(row));
        match shared {
            Some(shared) => self.known.insert(key, shared),
            None => self.known.remove(&key),
        };
        id
    }

    /// The log-probability of the actions at the file's temperature, which a batch may bring.
    fn log_prob(&mut self, row: RowStatistic, span: Span) -> NodeId {
        self.add(Op::LogProb(row), Type::TOKEN, true, Interval::NON_POSITIVE, Unit::LogProb, span)
    }

    /// A statistic of the rows of logits.
    fn row(&mut self, row: RowStatistic, span: Span) -> NodeId {
        let (interval, unit) = match row.statistic {
            Statistic::Entropy => (Interval::NON_NEGATIVE, Unit::Entropy),
            Statistic::Mass => (Interval::UNIT, Unit::Probability),
            Statistic::JensenShannon(_) => (Interval::new(0.0, std::f64::consts::LN_2), Unit::Divergence),
            Statistic::ReverseKl | Statistic::ForwardKl => (Interval::NON_NEGATIVE, Unit::Divergence),
            Statistic::LogProb | Statistic::LogProbWithin => (Interval::NON_POSITIVE, Unit::LogProb),
            Statistic::Taught(taught) => (divergence_interval(taught), Unit::Divergence),
            Statistic::Size | Statistic::SecondMoment | Statistic::Variance => {
                (Interval::NON_NEGATIVE, Unit::Unknown)
            }
            _ => (Interval::ALL, Unit::Unknown),
        };
        self.add(Op::Row(row), Type::TOKEN, row.statistic != Statistic::Size, interval, unit, span)
    }

    /// A controller's coefficient.
    pub fn controller(&mut self, index: usize, interval: Interval, span: Span) -> NodeId {
        self.add(Op::Controller(index), Type::SCALAR, false, interval, Unit::Unknown, span)
    }

    /// The number of steps before this one.
    pub fn step(&mut self, span: Span) -> NodeId {
        self.add(Op::Step, Type::SCALAR, false, Interval::NON_NEGATIVE, Unit::Unknown, span)
    }

    /// A function of one value.
    pub fn unary(&mut self, op: UnaryFn, x: NodeId, span: Span) -> NodeId {
        let node = self.node(x);
        match (&node.op, op) {
            (Op::Constant(value), _) if op.apply(*value).is_finite() => {
                let value = op.apply(*value);
                return self.constant(value, span);
            }
            (Op::Boolean(value), UnaryFn::Not) => {
                let value = !value;
                return self.boolean(value, span);
            }
            (_, UnaryFn::Detach) if !node.gradient => return x,
            _ => {}
        }
        let gradient = node.gradient && !matches!(op, UnaryFn::Not | UnaryFn::Detach | UnaryFn::Sign);
        let (interval, unit) = (unary_interval(op, node.interval), unary_unit(op, node.unit));
        let ty = node.ty;
        self.add(Op::Unary(op, x), ty, gradient, interval, unit, span)
    }

    /// A function of two values, broadcast to the larger shape.
    pub fn binary(&mut self, op: BinaryFn, a: NodeId, b: NodeId, span: Span) -> NodeId {
        let (left, right) = (self.node(a), self.node(b));
        if let (Op::Constant(a), Op::Constant(b)) = (&left.op, &right.op)
            && op.apply(*a, *b).is_finite()
        {
            let value = op.apply(*a, *b);
            return if op.is_bool() { self.boolean(value != 0.0, span) } else { self.constant(value, span) };
        }
        let kind = if op.is_bool() { Kind::Bool } else { Kind::Real };
        let ty = Type { shape: left.ty.shape.max(right.ty.shape), kind };
        let gradient = (left.gradient || right.gradient) && !op.is_bool();
        let interval = binary_interval(op, left.interval, right.interval);
        let unit = binary_unit(op, left.unit, right.unit);
        self.add(Op::Binary(op, a, b), ty, gradient, interval, unit, span)
    }

    /// `where(condition, a, b)`
    pub fn select(&mut self, condition: NodeId, a: NodeId, b: NodeId, span: Span) -> NodeId {
        let (chooser, left, right) = (self.node(condition), self.node(a), self.node(b));
        let shape = chooser.ty.shape.max(left.ty.shape).max(right.ty.shape);
        let ty = Type { shape, kind: left.ty.kind };
        if let Op::Boolean(holds) = chooser.op {
            let chosen = if holds { a } else { b };
            let node = self.node(chosen);
            if node.ty == ty {
                return chosen;
            }
            // It has the shape of the other branch, which is not computed.
            let (gradient, interval, unit) = (node.gradient, node.interval, node.unit);
            return self.add(Op::Where(condition, chosen, chosen), ty, gradient, interval, unit, span);
        }
        let gradient = left.gradient || right.gradient;
        let (interval, unit) = (left.interval.join(right.interval), join_units(left.unit, right.unit));
        self.add(Op::Where(condition, a, b), ty, gradient, interval, unit, span)
    }

    /// `clamp(x, lo, hi)`
    pub fn clamp(&mut self, x: NodeId, lo: NodeId, hi: NodeId, span: Span) -> NodeId {
        if let (Some(x), Some(lo), Some(hi)) =
            (self.as_constant(x), self.as_constant(lo), self.as_constant(hi))
        {
            return self.constant(x.max(lo).min(hi), span);
        }
        let (value, low, high) = (self.node(x), self.node(lo), self.node(hi));
        let shape = value.ty.shape.max(low.ty.shape).max(high.ty.shape);
        let ty = Type { shape, kind: Kind::Real };
        let gradient = value.gradient || low.gradient || high.gradient;
        let interval = value.interval.max(low.interval).min(high.interval);
        let unit = value.unit;
        self.add(Op::Clamp(x, lo, hi), ty, gradient, interval, unit, span)
    }

    /// `quantile(x, q)`
    pub fn quantile(&mut self, x: NodeId, q: NodeId, span: Span) -> NodeId {
        let node = self.node(x);
        let (gradient, interval, unit) = (node.gradient, node.interval, node.unit);
        self.add(Op::Quantile(x, q), Type::SCALAR, gradient, interval, unit, span)
    }

    /// `top_fraction(x, p)`
    pub fn top_fraction(&mut self, x: NodeId, p: NodeId, span: Span) -> NodeId {
        let ty = self.node(x).ty.to_bool();
        self.add(Op::TopFraction(x, p), ty, false, Interval::UNIT, Unit::Unknown, span)
    }

    /// A term's value. It reads the statistics in `rows`, each of which may be the batch field `log_prob`; `moving` are the
    /// values of its moving arguments.
    pub fn term(
        &mut self,
        object: Object<dyn Term>,
        inputs: Vec<NodeId>,
        rows: Vec<(RowStatistic, bool)>,
        moving: Vec<NodeId>,
        span: Span,
    ) -> NodeId {
        let signature = object.signature.clone();
        let index = intern(&mut self.terms, &mut self.objects, object, &moving);
        let rows: Vec<NodeId> = match self.moving_rows.get(&index) {
            Some(rows) => rows.clone(),
            None if moving.is_empty() => {
                let one = |(row, is_field)| {
                    if is_field { self.log_prob(row, span) } else { self.row(row, span) }
                };
                rows.into_iter().map(one).collect()
            }
            None => {
                let one = |(row, is_field)| {
                    if is_field { self.log_prob(row, span) } else { self.moving_row(row, span) }
                };
                let rows: Vec<_> = rows.into_iter().map(one).collect();
                self.moving_rows.insert(index, rows.clone());
                rows
            }
        };
        let flows = self.flows(&signature.inputs, &inputs) || rows.iter().any(|id| self.node(*id).gradient);
        let gradient = signature.gradient && flows && signature.result.kind == Kind::Real;
        let op = Op::Term { object: index, inputs, rows, moving };
        self.add(op, signature.result, gradient, signature.interval, signature.unit, span)
    }

    /// An extra of a term's node. It carries gradient when the term does and it is a number.
    pub fn extra(&mut self, term: NodeId, extra: &crate::plugin::Extra, span: Span) -> NodeId {
        let gradient = self.node(term).gradient && extra.ty.kind == Kind::Real;
        let op = Op::Extra { term, name: extra.name.to_owned() };
        let interval = if extra.ty.kind == Kind::Bool { Interval::UNIT } else { Interval::ALL };
        self.add(op, extra.ty, gradient, interval, extra.unit, span)
    }

    /// A reduction.
    pub fn reduce(
        &mut self,
        object: Object<dyn Reduction>,
        operand: NodeId,
        inputs: Vec<NodeId>,
        moving: Vec<NodeId>,
        span: Span,
    ) -> NodeId {
        let signature = object.signature.clone();
        let index = intern(&mut self.reductions, &mut self.objects, object, &moving);
        let node = self.node(operand);
        let gradient = node.gradient || self.flows(&signature.inputs, &inputs);
        let interval = if signature.scale == Scale::Mean {
            node.interval
        } else if node.interval.lo >= 0.0 {
            Interval::NON_NEGATIVE
        } else {
            Interval::ALL
        };
        let unit = node.unit;
        let op = Op::Reduce { object: index, operand, inputs, moving };
        self.add(op, signature.to, gradient, interval, unit, span)
    }

    /// Whether gradient flows through one of an object's inputs.
    fn flows(&self, inputs: &[Input], ids: &[NodeId]) -> bool {
        inputs.iter().zip(ids).any(|(input, id)| input.gradient && self.node(*id).gradient)
    }

    fn add(
        &mut self,
        op: Op,
        ty: Type,
        gradient: bool,
        interval: Interval,
        unit: Unit,
        span: Span,
    ) -> NodeId {
        let key = Key::of(&op);
        if let Some(&id) = self.known.get(&key) {
            return id;
        }
        debug_assert!(op.operands().iter().all(|id| id.index() < self.nodes.len()));
        debug_assert!(!gradient || ty.kind == Kind::Real, "only numbers carry gradient");
        let id = NodeId(self.nodes.len() as u32);
        self.nodes.push(Node { op, ty, gradient, interval, unit, span });
        self.known.insert(key, id);
        id
    }
}

/// The values of a divergence on listed tokens. Where the rest is left out, neither side adds up to 1.
fn divergence_interval(taught: Taught) -> Interval {
    match (taught.rest, taught.divergence) {
        (Rest::Ignore, _) => Interval::ALL,
        (_, Divergence::JensenShannon(_)) => Interval::new(0.0, std::f64::consts::LN_2),
        _ => Interval::NON_NEGATIVE,
    }
}

/// The index of an equal object; adds this one if there is none.
fn intern<T: ?Sized + Plugin>(
    objects: &mut Vec<Object<T>>,
    known: &mut HashMap<String, usize>,
    object: Object<T>,
    moving: &[NodeId],
) -> usize {
    let key = format!("{} {} {moving:?}", object.name(), object.args());
    *known.entry(key).or_insert_with(|| {
        objects.push(object);
        objects.len() - 1
    })
}
