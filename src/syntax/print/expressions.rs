//! Prints expressions and calls.

use super::{Item, Printer, first_leaf, last_leaf, quoted};
use crate::span::{Span, Spanned};
use crate::syntax::ast::{ArgValue, BinaryOp, Call, Expr, ExprKind, Number, UnaryOp};
use crate::syntax::layout::Doc;
use crate::syntax::precedence::Precedence;

impl Printer<'_> {
    /// Writes an expression, in parentheses if it binds less tightly than `loosest`.
    pub(super) fn expr(&mut self, expr: &Expr, loosest: Precedence) -> Doc {
        let doc = match &expr.kind {
            ExprKind::Number(Number { text, .. }) | ExprKind::Name(text) => Doc::text(text.clone()),
            ExprKind::String(text) => Doc::Text(quoted(text)),
            ExprKind::Bool(value) => Doc::text(value.to_string()),
            ExprKind::Call(call) => self.call(call, expr.span),
            ExprKind::Field { base, field } => {
                let inside = self.expr(base, Precedence::Operand);
                // `1.x` would be parsed as a number.
                let inside =
                    if matches!(base.kind, ExprKind::Number(_)) { parenthesised(inside) } else { inside };
                let field_doc = Doc::text(format!(".{}", field.node));
                self.joined(inside, (last_leaf(base), field.span.start as usize), field_doc)
            }
            ExprKind::Unary { op: UnaryOp::Neg, operand } => {
                Doc::Concat(vec![Doc::text("-"), self.expr(operand, Precedence::Negation)])
            }
            ExprKind::Unary { op: UnaryOp::Not, operand } => {
                Doc::Concat(vec![Doc::text("not "), self.expr(operand, Precedence::Not)])
            }
            ExprKind::Binary { op: BinaryOp::Pow, left, right, .. } => {
                let is_negation = matches!(right.kind, ExprKind::Unary { op: UnaryOp::Neg, .. });
                let loosest = if is_negation { Precedence::Negation } else { Precedence::Power };
                let gap = (last_leaf(left), first_leaf(right));
                let left = self.expr(left, Precedence::Operand);
                let right = Doc::Concat(vec![Doc::text("^"), self.expr(right, loosest)]);
                self.joined(left, gap, right)
            }
            ExprKind::Binary { op, .. } => self.chain(expr, (*op).into()),
        };
        if Precedence::from(&expr.kind) < loosest { parenthesised(doc) } else { doc }
    }

    /// Operands of one precedence, such as the terms of a sum, broken before every operator or before none.
    pub(super) fn chain(&mut self, expr: &Expr, precedence: Precedence) -> Doc {
        let mut links = Vec::new();
        let mut first = expr;
        while let ExprKind::Binary { op, left, right, .. } = &first.kind
            && Precedence::from(*op) == precedence
        {
            links.push((*op, left, right));
            first = left;
            if precedence == Precedence::Comparison {
                break;
            }
        }
        let tighter = tighter(precedence);
        // The operands of a comparison cannot be comparisons; a sum continues on its left.
        let first = self.expr(first, tighter);
        let mut rest = Vec::new();
        for (op, left, right) in links.into_iter().rev() {
            let right_doc = self.expr(right, tighter);
            let comments = self.between(last_leaf(left), first_leaf(right));
            rest.extend(comments.unwrap_or_else(|| vec![Doc::Line]));
            rest.extend([Doc::text(format!("{} ", op.as_str())), right_doc]);
        }
        Doc::group(vec![first, Doc::indent(rest)])
    }

    /// Two parts of an operand, with only the comments between two bytes in between.
    pub(super) fn joined(&mut self, left: Doc, (from, to): (usize, usize), right: Doc) -> Doc {
        let mut rest = self.between(from, to).unwrap_or_default();
        rest.push(right);
        Doc::Concat(vec![left, Doc::indent(rest)])
    }

    /// The comments between two bytes, up to the line break after the last one.
    pub(super) fn between(&mut self, from: usize, to: usize) -> Option<Vec<Doc>> {
        let (beside, above) = self.beside_and_above(from, to);
        if beside.is_none() && above.is_empty() {
            return None;
        }
        let mut docs: Vec<Doc> = beside.into_iter().collect();
        for comment in above {
            docs.extend([Doc::HardLine, comment]);
        }
        docs.push(Doc::HardLine);
        Some(docs)
    }

    pub(super) fn call(&mut self, call: &Call, span: Span) -> Doc {
        let items = call.args.iter().map(|arg| {
            let last = match &arg.value {
                ArgValue::Expr(value) | ArgValue::Range { hi: value, .. } => last_leaf(value),
            };
            (Span { end: last as u32, ..arg.span }, self.arg(arg.name.as_ref(), &arg.value))
        });
        let items = items.collect();
        let list = self.list(items, call.callee.span.end as usize, span.end as usize);
        Doc::Concat(vec![Doc::text(call.callee.node.clone()), list])
    }

    pub(super) fn arg(&mut self, name: Option<&Spanned<String>>, value: &ArgValue) -> Doc {
        let mut parts = Vec::new();
        if let Some(name) = name {
            parts.push(Doc::text(format!("{} = ", name.node)));
        }
        match value {
            ArgValue::Expr(expr) => parts.push(self.expr(expr, Precedence::Or)),
            ArgValue::Range { lo, hi } => {
                let (from, to) = (last_leaf(lo), first_leaf(hi));
                let lo = self.expr(lo, Precedence::Or);
                let hi = self.expr(hi, Precedence::Or);
                let comments = self.between(from, to).unwrap_or_else(|| vec![Doc::text(" ")]);
                parts.extend([lo, Doc::indent(comments), Doc::text(".. "), hi]);
            }
        }
        Doc::Concat(parts)
    }

    /// A list in parentheses, between the bytes `from` and `to`.
    pub(super) fn list(&mut self, docs: Vec<(Span, Doc)>, from: usize, to: usize) -> Doc {
        let mut items: Vec<Item> = Vec::new();
        let mut end = from;
        for (span, doc) in docs {
            let (start, next_end) = (span.start as usize, span.end as usize);
            let mut above = self.gap(&mut items, end, start);
            above.extend(self.take(start, next_end).into_iter().map(Doc::Comment));
            items.push(Item { above, doc: Some(doc), beside: None });
            end = next_end;
        }
        let below = self.gap(&mut items, end, to);
        if items.is_empty() && below.is_empty() {
            return Doc::text("()");
        }
        let mut inside = vec![Doc::SoftLine];
        let mut ends_in_comment = !below.is_empty();
        let last = items.len();
        for (index, item) in items.into_iter().enumerate() {
            for comment in item.above {
                inside.extend([comment, Doc::HardLine]);
            }
            inside.extend(item.doc);
            let has_comment = item.beside.is_some();
            if index + 1 < last {
                inside.push(Doc::text(","));
                inside.extend(item.beside);
                inside.push(if has_comment { Doc::HardLine } else { Doc::Line });
            } else {
                inside.push(Doc::IfBroken(","));
                inside.extend(item.beside);
                ends_in_comment |= has_comment;
            }
        }
        for (index, comment) in below.into_iter().enumerate() {
            // Without items, the opening line break is already there.
            if last > 0 || index > 0 {
                inside.push(Doc::HardLine);
            }
            inside.push(comment);
        }
        let close = if ends_in_comment { Doc::HardLine } else { Doc::SoftLine };
        Doc::group(vec![Doc::text("("), Doc::indent(inside), close, Doc::text(")")])
    }
}

fn tighter(precedence: Precedence) -> Precedence {
    match precedence {
        Precedence::Or => Precedence::And,
        Precedence::And => Precedence::Not,
        Precedence::Not => Precedence::Comparison,
        Precedence::Comparison => Precedence::Sum,
        Precedence::Sum => Precedence::Product,
        Precedence::Product => Precedence::Negation,
        Precedence::Negation => Precedence::Power,
        Precedence::Power | Precedence::Operand => Precedence::Operand,
    }
}

fn parenthesised(inside: Doc) -> Doc {
    let inside = Doc::indent(vec![Doc::SoftLine, inside]);
    Doc::group(vec![Doc::text("("), inside, Doc::SoftLine, Doc::text(")")])
}
