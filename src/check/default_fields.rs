//! Batch fields that a term or reduction reads when the call does not give them: one field has one type.

use super::scope::Meaning;
use super::{Checker, Outcome, Reported, Value, Valued};
use crate::diag::Diagnostic;
use crate::fields;
use crate::plugin::{FieldArg, Input};
use crate::program::{InputDecl, NodeId};
use crate::rows::FieldName;
use crate::span::Span;
use crate::syntax::ast::Name;
use crate::types::{FieldSort, InputType, Type};

impl Checker<'_> {
    /// The batch field that an object reads by default: one of the language, one that the file declares, or one that
    /// the object's plugin declares. The last counts as if the file had declared it.
    pub(super) fn default_field(&mut self, callee: &Name, input: &Input, span: Span) -> Outcome<NodeId> {
        let name = input.name;
        if let Some(field) = fields::find(name) {
            if !field.ty.fits(input.ty) {
                return Err(self.field_clash(callee, input, field.ty, None, span));
            }
            return Ok(self.field(field, span));
        }
        let binding = self.scope.input(name);
        let is_declared = binding.is_some();
        if let Some(binding) = binding {
            binding.used = true;
            if let Meaning::Value(Valued { value: Value::Field(field), .. }) = &binding.meaning {
                let (field, place) = (*field, binding.span);
                return Err(self.listed_clash(&field, input.ty, span, ("it is declared here", place)));
            }
        }
        let Some(known) = self.builder.field_of(name) else {
            let declared =
                InputDecl { name: name.to_owned(), ty: InputType::Value(input.ty), gradient: false };
            let field = self.builder.declared_field(&declared, input.ty, span);
            self.inputs.push(declared);
            return Ok(field);
        };
        let (found, place) = (self.builder.node(known).ty, self.builder.node(known).span);
        // A declared `seq` may be broadcast. No batch can satisfy two objects that read a field with two types.
        let agrees = if is_declared { found.fits(input.ty) } else { found == input.ty };
        if agrees {
            return Ok(known);
        }
        let label = if is_declared { "it is declared here" } else { "the other type is read here" };
        Err(self.field_clash(callee, input, found, Some((place, label)), span))
    }

    /// Whether an `input` has the type with which an object above it reads the same field, which carries no gradient there.
    pub(super) fn agrees_with_readers(&mut self, name: &Name, ty: Type, gradient: bool) -> Outcome<()> {
        // A name that is defined twice is reported elsewhere.
        let is_new = !self.scope.defines(&name.node);
        let Some(known) = self.builder.field_of(&name.node).filter(|_| is_new) else { return Ok(()) };
        let (found, place) = (self.builder.node(known).ty, self.builder.node(known).span);
        if found == ty && !gradient {
            return Ok(());
        }
        let grad = if gradient { " grad" } else { "" };
        let message = format!("expected `{}` to be a `{found}`, found `{ty}{grad}`", name.node);
        Err(self.report(
            Diagnostic::error(mismatch(found, ty), name.span, message)
                .label(place, "it is read here")
                .help("an `input` goes above what reads it"),
        ))
    }

    /// Whether no object above a declaration reads the field as a value.
    pub(super) fn has_no_readers(&mut self, name: &Name, sort: FieldSort) -> Outcome<()> {
        let Some(known) = self.builder.field_of(&name.node) else { return Ok(()) };
        let (found, place) = (self.builder.node(known).ty, self.builder.node(known).span);
        let field = FieldArg { name: FieldName::new(&name.node), sort };
        Err(self.listed_clash(&field, found, name.span, ("it is read here", place)))
    }

    /// Reports a field that is a value to one reader, and to another an argument of terms.
    fn listed_clash(&mut self, field: &FieldArg, ty: Type, span: Span, other: (&str, Span)) -> Reported {
        let message = format!("expected `{}` to be a `{ty}`, found `{}`", field.name, field.sort);
        self.report(Diagnostic::error("shape-mismatch", span, message).label(other.1, other.0))
    }

    fn field_clash(
        &mut self,
        callee: &Name,
        input: &Input,
        found: Type,
        first: Option<(Span, &str)>,
        span: Span,
    ) -> Reported {
        let (name, callee) = (input.name, &callee.node);
        let message = format!(
            "expected the batch field `{name}` of `{callee}` to be a `{}`, found `{found}`",
            input.ty
        );
        let mut diagnostic = Diagnostic::error(mismatch(input.ty, found), span, message)
            .help(format!("give it another value: `{callee}({name} = ...)`"));
        if let Some((place, label)) = first {
            diagnostic = diagnostic.label(place, label);
        }
        self.report(diagnostic)
    }
}

fn mismatch(expected: Type, found: Type) -> &'static str {
    if expected.kind == found.kind { "shape-mismatch" } else { "kind-mismatch" }
}
