//! Expressions: names, operators, fields.

use super::elsewhere::{foreign_value, unknown_value};
use super::objects::used_too_early;
use super::scope::Meaning;
use super::statements::kind_words;
use super::{Checker, Outcome, Reported, Value, Valued};
use crate::diag::Diagnostic;
use crate::fields;
use crate::near::nearest;
use crate::plugin::{AnyEntry, FieldArg, Lookup, registry};
use crate::program::{BinaryFn, NodeId, Op, UnaryFn};
use crate::span::Span;
use crate::syntax::ast::{BinaryOp, Call, Expr, ExprKind, Name, UnaryOp};
use crate::types::{FieldSort, Kind};

impl<'a> Checker<'a> {
    /// Checks an expression.
    pub(super) fn expr(&mut self, expr: &'a Expr) -> Outcome<Value> {
        Ok(self.valued(expr)?.value)
    }

    /// Checks an expression, and keeps the extras that a function gives next to its value.
    pub(super) fn valued(&mut self, expr: &'a Expr) -> Outcome<Valued> {
        let valued = match &expr.kind {
            ExprKind::Name(name) => self.name(name, expr.span),
            ExprKind::Call(call) => self.call(call, expr.span),
            ExprKind::Field { base, field } => self.extra(base, field, expr.span),
            _ => self.formula(expr).map(Valued::from),
        }?;
        self.learn(expr.span, &valued);
        Ok(valued)
    }

    fn formula(&mut self, expr: &'a Expr) -> Outcome<Value> {
        match &expr.kind {
            ExprKind::Number(number) => Ok(Value::Node(self.builder.constant(number.value, expr.span))),
            ExprKind::Bool(value) => Ok(Value::Node(self.builder.boolean(*value, expr.span))),
            ExprKind::String(text) => Ok(Value::Text(text.clone())),
            ExprKind::Name(_) | ExprKind::Call(_) | ExprKind::Field { .. } => self.expr(expr),
            ExprKind::Unary { op, operand } => {
                let (function, kind) = match op {
                    UnaryOp::Neg => (UnaryFn::Neg, Kind::Real),
                    UnaryOp::Not => (UnaryFn::Not, Kind::Bool),
                };
                let id = self.of_kind(operand, kind)?;
                Ok(Value::Node(self.builder.unary(function, id, expr.span)))
            }
            ExprKind::Binary { .. } => self.binary(expr),
        }
    }

    /// A number of any shape.
    pub(super) fn real(&mut self, expr: &'a Expr) -> Outcome<NodeId> {
        self.of_kind(expr, Kind::Real)
    }

    /// A value of the wanted kind.
    pub(super) fn of_kind(&mut self, expr: &'a Expr, wanted: Kind) -> Outcome<NodeId> {
        let value = self.expr(expr)?;
        self.expect_kind(&value, wanted, expr.span)
    }

    pub(super) fn expect_kind(&mut self, value: &Value, wanted: Kind, span: Span) -> Outcome<NodeId> {
        let kind = match value {
            Value::Node(id) => Some(self.builder.node(*id).ty.kind),
            Value::Text(_) => None,
            Value::Field(field) => return Err(self.not_a_value(*field, span)),
        };
        if let (Value::Node(id), Some(kind)) = (value, kind)
            && kind == wanted
        {
            return Ok(*id);
        }
        let (expected, found) = (kind_words(wanted), kind.map_or("a string", kind_words));
        let diagnostic =
            Diagnostic::error("kind-mismatch", span, format!("expected {expected}, found {found}"));
        let help = match (wanted, kind) {
            (Kind::Int, _) => Some("an `int` is a batch field, declared as in `input turn: token int`"),
            (_, Some(Kind::Int)) => Some(
                "an `int` names a turn or a prompt, as in `segment_sum(x, by = turn)`; a field to compute with is declared without `int`",
            ),
            (_, Some(Kind::Bool)) => Some("`where(condition, 1, 0)` makes a number of it"),
            (_, Some(Kind::Real)) => Some("compare it, as in `x > 0`"),
            (_, None) => None,
        };
        Err(self.report(match help {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        }))
    }

    /// Reports a field that stands where a formula needs a value.
    fn not_a_value(&mut self, field: FieldArg, span: Span) -> Reported {
        let message = format!("`{}` is no value of formulas: it is `{}`", field.name, field.sort);
        let help = match field.sort {
            FieldSort::CandidateIds => {
                format!("a term takes it as an argument: `log_prob(within = {})`", field.name)
            }
            FieldSort::Logits => {
                format!("a divergence takes it as an argument: `forward_kl(of = {})`", field.name)
            }
            FieldSort::Candidates => format!(
                "a term takes it as an argument: `forward_kl(within = ..., of = {}, rest = \"bucket\")`",
                field.name
            ),
        };
        self.report(Diagnostic::error("not-a-value", span, message).help(help))
    }

    /// Chains such as `a + b + c` nest to the left; a loop walks them, so that their length does not matter.
    fn binary(&mut self, expr: &'a Expr) -> Outcome<Value> {
        let mut chain = Vec::new();
        let mut first = expr;
        while let ExprKind::Binary { op, op_span, left, right } = &first.kind {
            chain.push((*op, *op_span, right.as_ref(), first.span));
            first = left;
        }
        let mut value = self.expr(first);
        let mut span = first.span;
        for (op, op_span, right, whole) in chain.into_iter().rev() {
            if let Some(same) = self.compared_texts(op, &value, right, whole) {
                (value, span) = (same, whole);
                continue;
            }
            let wanted = if matches!(op, BinaryOp::And | BinaryOp::Or) { Kind::Bool } else { Kind::Real };
            let left = value.and_then(|value| self.expect_kind(&value, wanted, span));
            let right = self.of_kind(right, wanted);
            value = match (left, right) {
                (Ok(left), Ok(right)) => Ok(Value::Node(self.combine(op, left, right, op_span, whole))),
                (Err(reported), _) | (_, Err(reported)) => Err(reported),
            };
            span = whole;
        }
        value
    }

    fn combine(&mut self, op: BinaryOp, left: NodeId, right: NodeId, op_span: Span, whole: Span) -> NodeId {
        let function = match op {
            BinaryOp::Or => BinaryFn::Or,
            BinaryOp::And => BinaryFn::And,
            BinaryOp::Lt => BinaryFn::Lt,
            BinaryOp::Le => BinaryFn::Le,
            BinaryOp::Gt => BinaryFn::Gt,
            BinaryOp::Ge => BinaryFn::Ge,
            BinaryOp::Eq => BinaryFn::Eq,
            BinaryOp::Ne => BinaryFn::Ne,
            BinaryOp::Add => BinaryFn::Add,
            BinaryOp::Sub => BinaryFn::Sub,
            BinaryOp::Mul => BinaryFn::Mul,
            BinaryOp::Div => BinaryFn::Div,
            BinaryOp::Pow => BinaryFn::Pow,
        };
        if function.is_comparison() && !self.warn_of_scales(left, right, op_span, "compared") {
            self.warn_of_comparison(function, left, right, op_span);
        }
        if matches!(function, BinaryFn::Add | BinaryFn::Sub) {
            self.warn_of_sum(left, right, op_span);
        }
        if function == BinaryFn::Div {
            self.divisor(left, right, op_span);
        }
        self.builder.binary(function, left, right, whole)
    }

    /// `==` and `!=` of two strings, which are known before the program runs.
    fn compared_texts(
        &mut self,
        op: BinaryOp,
        left: &Outcome<Value>,
        right: &'a Expr,
        span: Span,
    ) -> Option<Outcome<Value>> {
        let (BinaryOp::Eq | BinaryOp::Ne, Ok(Value::Text(left))) = (op, left) else { return None };
        Some(self.expr(right).and_then(|value| match value {
            Value::Text(right) => {
                let holds = (*left == right) == (op == BinaryOp::Eq);
                Ok(Value::Node(self.builder.boolean(holds, span)))
            }
            Value::Node(_) | Value::Field(_) => {
                let message = "expected a string, to compare with a string";
                Err(self.report(Diagnostic::error("kind-mismatch", right.span, message)))
            }
        }))
    }

    fn name(&mut self, name: &'a str, span: Span) -> Outcome<Valued> {
        if let Some(frame) = self.frames.last()
            && let Some(value) = frame.locals.get(name)
        {
            return Ok(value.clone());
        }
        if let Some(binding) = self.scope.find(name, span.source) {
            binding.used = true;
            return match binding.meaning.clone() {
                Meaning::Value(value) => Ok(value),
                Meaning::Poisoned => Err(super::Reported),
                Meaning::Import(_) => Err(self.report(
                    Diagnostic::error(
                        "not-a-value",
                        span,
                        format!("`{name}` is an imported file, not a value"),
                    )
                    .help(format!("name something in it: `{name}.f(...)`")),
                )),
                Meaning::Function(_) => Err(self.report(
                    Diagnostic::error("not-a-value", span, format!("`{name}` is a function, not a value"))
                        .help(format!("call it: `{name}(...)`")),
                )),
            };
        }
        if let Some(field) = fields::find(name) {
            return Ok(Value::Node(self.field(field, span)).into());
        }
        if fields::is_of_vocabulary(name) {
            let help = "a formula reads the logits through a row statistic: `log_prob`, `entropy()`, `clamped_entropy(...)`";
            return Err(self.report(
                Diagnostic::error("not-a-value", span, format!("`{name}` is not a value of the language"))
                    .help(help),
            ));
        }
        if super::functions::is_builtin(name) {
            return Err(self.report(
                Diagnostic::error("not-a-value", span, format!("`{name}` is a function, not a value"))
                    .help(format!("call it: `{name}(...)`")),
            ));
        }
        // A term without arguments may be named without parentheses.
        if self.scope.find_later(name, span.source).is_none()
            && let Lookup::Found(AnyEntry::Term(_)) = registry().find(name)
        {
            return self.bare_term(name, span).map(Valued::from);
        }
        if name == "step" {
            return Ok(Value::Node(self.builder.step(span)).into());
        }
        Err(self.unknown_name(name, span))
    }

    fn unknown_name(&mut self, name: &str, span: Span) -> super::Reported {
        if let Some(later) = self.scope.find_later(name, span.source) {
            return self.report(used_too_early(name, span, later));
        }
        if let Lookup::Found(entry @ (AnyEntry::Reduction(_) | AnyEntry::Controller(_))) =
            registry().find(name)
        {
            return self.report(called_without_arguments(name, span, entry));
        }
        let diagnostic = Diagnostic::error("unknown-name", span, format!("there is no `{name}`"));
        if let Some(owner) = self.unseen(name) {
            let text = format!("`{name}` is defined in `{owner}`, which this file does not import");
            return self.report(diagnostic.help(format!("{text}: make it an argument of the function")));
        }
        let locals = self.frames.last().into_iter().flat_map(|frame| frame.locals.keys().copied());
        let fields = fields::FIELDS.iter().map(|field| field.name);
        let entries = registry().iter().filter(|entry| matches!(entry, AnyEntry::Term(_)));
        let entries = entries.map(|entry| entry.declaration().name);
        let known = locals.chain(self.scope.visible_values(span.source)).chain(fields).chain(entries);
        let diagnostic = unknown_value(diagnostic, name, known);
        self.report(diagnostic)
    }

    /// The file that defines a name which is not visible here.
    fn unseen(&self, name: &str) -> Option<String> {
        let place = self.scope.place_of(name)?;
        Some(self.bundle.sources.get(place.source).name().to_owned())
    }

    /// A term named without parentheses, checked as a call without arguments.
    fn bare_term(&mut self, name: &str, span: Span) -> Outcome<Value> {
        let call = Call { callee: Name::new(name.to_owned(), span), args: Vec::new() };
        // Without arguments, nothing in the call has to outlive this function.
        self.object_call(&call.callee, &[], span)
    }

    /// `x.field`: an extra, or what an imported file defines.
    fn extra(&mut self, base: &'a Expr, field: &'a Name, span: Span) -> Outcome<Valued> {
        if let Some(member) = self.imported_value(base, field, span) {
            return member;
        }
        let Valued { value, extras } = self.valued(base)?;
        if let Some(extras) = extras {
            return self.extra_of_function(&extras, field).map(Valued::from);
        }
        if let Value::Node(id) = value
            && let Op::Term { object, .. } = self.builder.node(id).op
        {
            let (name, signature) = {
                let term = &self.builder.terms[object];
                (term.name(), term.signature.clone())
            };
            if let Some(extra) = signature.extras.iter().find(|extra| extra.name == field.node) {
                return Ok(Value::Node(self.builder.extra(id, extra, span)).into());
            }
            let known: Vec<&str> = signature.extras.iter().map(|extra| extra.name).collect();
            return Err(self.report(unknown_extra(&format!("`{name}`"), field, &known)));
        }
        Err(self.report(
            Diagnostic::error(
                "unknown-extra",
                field.span,
                format!("expected a term before `.{}`, found a formula", field.node),
            )
            .label(base.span, "this is not the value of a term")
            .help("only a term, such as `clip_ppo(...)`, or a `fn` with an `extra` gives extras next to its value"),
        ))
    }

    fn extra_of_function(&mut self, extras: &[(String, NodeId)], field: &Name) -> Outcome<Value> {
        if let Some((_, id)) = extras.iter().find(|(name, _)| *name == field.node) {
            return Ok(Value::Node(*id));
        }
        let known: Vec<&str> = extras.iter().map(|(name, _)| name.as_str()).collect();
        Err(self.report(unknown_extra("the function", field, &known)))
    }
}

fn unknown_extra(of: &str, field: &Name, known: &[&str]) -> Diagnostic {
    let message = format!("{of} gives no `{}`", field.node);
    let diagnostic = Diagnostic::error("unknown-extra", field.span, message);
    if let Some(near) = nearest(&field.node, known.iter().copied()) {
        diagnostic.did_you_mean(near)
    } else if known.is_empty() {
        diagnostic.help(format!("{of} gives nothing next to its value"))
    } else {
        diagnostic.help(format!("it gives {}", crate::plugin::quoted(known)))
    }
}

/// The error for a reduction or a kind of controller whose name stands where a value should.
fn called_without_arguments(name: &str, span: Span, entry: AnyEntry) -> Diagnostic {
    let (what, help) = match entry {
        AnyEntry::Controller(_) => {
            ("a kind of controller", format!("define one, and use its name: `controller beta = {name}(...)`"))
        }
        _ => ("a reduction", format!("call it: `{name}(x)`")),
    };
    Diagnostic::error("not-a-value", span, format!("`{name}` is {what}, not a value"))
        .help(foreign_value(name).unwrap_or(help))
}
