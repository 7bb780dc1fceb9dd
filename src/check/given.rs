//! Batch fields that a file gives itself: `let advantages = grpo_advantages()`.

use super::scope::{Binding, Meaning};
use super::statements::duplicate;
use super::{Checker, Value, Valued};
use crate::diag::Diagnostic;
use crate::fields::{self, Field};
use crate::program::{NodeId, Op, UnaryFn};
use crate::span::Span;
use crate::syntax::ast::Name;
use crate::types::Suits;

impl<'a> Checker<'a> {
    /// A field of the language: the batch's, or what the file gives in its place.
    pub(super) fn field(&mut self, field: &'static Field, span: Span) -> NodeId {
        let Some(given) = self.given.get(field.name).copied() else {
            return self.builder.field(field, self.temperature, self.temperature_of.field(), span);
        };
        if let Some(binding) = self.scope.find(field.name, crate::span::SourceId(0)) {
            binding.used = true;
        }
        given
    }

    /// A `let` with the name of a batch field, in the compiled file: every formula below it reads this value.
    pub(super) fn give_field(&mut self, field: &'static Field, name: &'a Name, valued: Valued, value: Span) {
        if let Some(first) = self.scope.clash(&name.node, name.span.source) {
            let diagnostic = duplicate(name, first.span);
            self.report(diagnostic);
            return;
        }
        let read = self.builder.reads_field(field.name);
        if let Some(place) = read {
            let within = place.source == value.source && place.start >= value.start && place.end <= value.end;
            let diagnostic = if within {
                let message = format!("`{}` is used in its own definition", name.node);
                Diagnostic::error("used-before-definition", place, message)
                    .help("a name means one thing: give the new value a name of its own")
            } else {
                let message = format!("`{}` is read before it is given", name.node);
                Diagnostic::error("duplicate-name", name.span, message)
                    .label(place, "here it is the batch's field")
                    .help("a name means one thing: move the `let` up, or give it a name of its own")
            };
            self.report(diagnostic);
            return;
        }
        let Value::Node(id) = valued.value else {
            let found =
                if matches!(valued.value, Value::Text(_)) { "a string" } else { "no value of formulas" };
            let message = format!("expected numbers, found {found}");
            self.report(Diagnostic::error("kind-mismatch", value, message));
            return;
        };
        let node = self.builder.node(id);
        let (ty, unit, constant) = (node.ty, node.unit, matches!(node.op, Op::Constant(_)));
        if !ty.fits(field.ty) {
            let message =
                format!("expected a `{}` for the batch field `{}`, found `{ty}`", field.ty, name.node);
            let id = if ty.kind == field.ty.kind { "shape-mismatch" } else { "kind-mismatch" };
            self.report(Diagnostic::error(id, value, message).help("or take another name"));
            return;
        }
        if !constant && unit.suits(field.unit) != Suits::Well {
            let (wanted, found) = (field.unit.with_article(), unit.with_article());
            let message = format!("expected {wanted} for the batch field `{}`, found {found}", name.node);
            self.warn(Diagnostic::warning("unit-mismatch", value, message).help("or take another name"));
        }
        // Where the batch's field has no gradient, this one has none either.
        let id = if field.gradient { id } else { self.builder.unary(UnaryFn::Detach, id, value) };
        self.given.insert(field.name, id);
        self.lets.push((name.node.clone(), id));
        self.learn_node(name.span, id);
        let meaning = Meaning::Value(Valued { value: Value::Node(id), ..valued });
        let (span, files) = (name.span, vec![name.span.source]);
        self.scope.insert(&name.node, Binding { meaning, keyword: "let", span, files, used: false });
    }
}

/// The field of the language with that name, if a file can give it.
pub(super) fn field_to_give(name: &str) -> Option<&'static Field> {
    fields::find(name).filter(|field| field.name != fields::RESPONSE_MASK)
}
