//! Types, units and intervals that the checker found for each formula, for editors.

use super::{Checker, Value, Valued};
use crate::interval::Interval;
use crate::program::{Builder, NodeId};
use crate::span::Span;
use crate::types::{FieldSort, Type, Unit};
use std::collections::HashMap;

/// What is known of values by their places: of each expression that was checked, and of each name that was defined.
/// A formula in a `fn` has what holds in all of its calls.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    found: HashMap<Span, Option<Fact>>,
}

/// What is known of a value.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Fact {
    /// A number, a truth value or an id, or one for each token or sequence.
    Value {
        /// Its type.
        ty: Type,
        /// Its unit.
        unit: Unit,
        /// The values it can take.
        interval: Interval,
        /// Whether it carries gradient.
        gradient: bool,
    },
    /// A string.
    Text(String),
    /// A batch field that only terms read.
    Field(FieldSort),
}

impl Facts {
    /// What is known of the value at a place.
    pub fn at(&self, place: Span) -> Option<&Fact> {
        self.found.get(&place)?.as_ref()
    }

    fn learn(&mut self, place: Span, fact: Fact) {
        let known = self.found.entry(place).or_insert_with(|| Some(fact.clone()));
        *known = known.take().and_then(|known| known.join(fact));
    }
}

impl Fact {
    /// What holds for both; nothing if they are of different types.
    fn join(self, other: Self) -> Option<Self> {
        match (self, other) {
            (
                Self::Value { ty, unit, interval, gradient },
                Self::Value { ty: of, unit: other, interval: values, gradient: flows },
            ) if ty == of => Some(Self::Value {
                ty,
                unit: if unit == other { unit } else { Unit::Unknown },
                interval: interval.join(values),
                gradient: gradient || flows,
            }),
            (one, other) => (one == other).then_some(one),
        }
    }
}

impl Checker<'_> {
    /// Remembers the value at a place, if anybody asked for it.
    pub(super) fn learn(&mut self, place: Span, valued: &Valued) {
        let Some(facts) = &mut self.facts else { return };
        facts.learn(place, fact(&self.builder, &valued.value));
    }

    /// Remembers the value of a name that is defined at a place.
    pub(super) fn learn_node(&mut self, place: Span, id: NodeId) {
        self.learn(place, &Value::Node(id).into());
    }
}

fn fact(builder: &Builder, value: &Value) -> Fact {
    match value {
        Value::Text(text) => Fact::Text(text.clone()),
        Value::Field(field) => Fact::Field(field.sort),
        Value::Node(id) => {
            let node = builder.node(*id);
            Fact::Value { ty: node.ty, unit: node.unit, interval: node.interval, gradient: node.gradient }
        }
    }
}
