//! `input` statements: the batch fields that a file declares.

use super::scope::Meaning;
use super::statements::duplicate;
use super::{Checker, Value};
use crate::diag::Diagnostic;
use crate::fields;
use crate::plugin::FieldArg;
use crate::program::InputDecl;
use crate::rows::FieldName;
use crate::span::Span;
use crate::syntax::ast::Name;
use crate::types::{InputType, Kind};

impl<'a> Checker<'a> {
    pub(super) fn input(&mut self, name: &'a Name, declared_ty: InputType, grad: Option<Span>) {
        let declared = InputDecl { name: name.node.clone(), ty: declared_ty, gradient: grad.is_some() };
        if self.meets_logits(name, &declared) {
            self.define(name, "input", Meaning::Poisoned);
            return;
        }
        if fields::find(&name.node).is_some() || fields::is_of_vocabulary(&name.node) {
            self.report(
                Diagnostic::error(
                    "duplicate-name",
                    name.span,
                    format!("`{}` is a batch field already", name.node),
                )
                .help("use it without declaring it"),
            );
            return;
        }
        // Each file that reads a field declares it, and all declarations must agree.
        if let Some(first) = self.scope.input(&name.node)
            && !first.files.contains(&name.span.source)
        {
            if self.inputs.contains(&declared) {
                first.files.push(name.span.source);
            } else {
                let diagnostic = duplicate(name, first.span);
                self.report(diagnostic);
            }
            return;
        }
        let ty = match declared_ty {
            InputType::Value(ty) => ty,
            InputType::Field(sort) => {
                let field = FieldArg { name: FieldName::new(&name.node), sort };
                let value = Meaning::Value(Value::Field(field).into());
                let meaning = self.has_no_readers(name, sort).map_or(Meaning::Poisoned, |()| value);
                if !self.inputs.iter().any(|input| input.name == name.node) {
                    self.inputs.push(declared);
                }
                return self.define(name, "input", meaning);
            }
        };
        let constant = match ty.kind {
            Kind::Real => None,
            Kind::Bool => Some("truth values"),
            Kind::Int => Some("ids"),
        };
        if let (Some(grad), Some(constant)) = (grad, constant) {
            let message = format!("expected numbers for `grad`, found `{ty}`: {constant} carry no gradient");
            self.report(
                Diagnostic::error("kind-mismatch", grad, message)
                    .help(format!("leave out `grad`, or write `input {}: {} grad`", name.node, ty.shape)),
            );
            self.define(name, "input", Meaning::Poisoned);
            return;
        }
        if self.agrees_with_readers(name, ty, declared.gradient).is_err() {
            self.define(name, "input", Meaning::Poisoned);
            return;
        }
        let node = self.builder.declared_field(&declared, ty, name.span);
        if !self.inputs.iter().any(|input| input.name == name.node) {
            self.inputs.push(declared);
        }
        self.define(name, "input", Meaning::Value(Value::Node(node).into()));
    }

    /// Reports a field that shares a name with those that bring declared `logits`, which come as hidden states too.
    fn meets_logits(&mut self, name: &Name, declared: &InputDecl) -> bool {
        let own = declared.names();
        if own.len() > 1 && own[1..].iter().any(|of| fields::is_of_vocabulary(of)) {
            let message =
                format!("`{}` would come as `{}` too, which is a batch field already", name.node, own[1]);
            self.report(Diagnostic::error("duplicate-name", name.span, message).help("give it another name"));
            return true;
        }
        let others = self.inputs.iter().filter(|other| other.name != name.node);
        let shared = |other: &InputDecl| other.names().iter().any(|of| own.contains(of));
        let Some(other) = others.into_iter().find(|other| shared(other)).map(|other| other.name.clone())
        else {
            return false;
        };
        let message = format!("`{}` and `{other}` would come as the same batch field", name.node);
        let help = "`input math: logits` comes as `math`, or as `math_hidden` with `math_lm_head`";
        self.report(Diagnostic::error("duplicate-name", name.span, message).help(help));
        true
    }
}
