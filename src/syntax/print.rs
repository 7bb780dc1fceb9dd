//! Prints a tree in its one canonical layout, with its comments.

use super::ast::{
    ArgValue, BinaryOp, Call, Expr, ExprKind, File, FnParam, Number, Statement, StatementKind, UnaryOp,
};
use super::layout::{Doc, render};
use super::precedence::Precedence;
use crate::span::{Span, Spanned};
use crate::types::Kind;
use std::fmt;

/// The longest line that is not broken.
const WIDTH: usize = 100;

/// Writes a file in the canonical layout. `text` is the text it was parsed from, which shows where comments and blank
/// lines were. Lines end like the first line of `text`, with LF or with CRLF; a byte order mark is dropped.
///
/// Do not print a file that parsed with errors: its tree lacks what did not parse.
pub fn print(file: &File, text: &str) -> String {
    let mut printer = Printer { text, comments: &file.comments, used: vec![false; file.comments.len()] };
    let mut pieces: Vec<Piece> =
        file.statements.iter().map(|statement| printer.statement(statement)).collect();
    let free = file.comments.iter().zip(&printer.used).filter(|(_, used)| !**used);
    pieces.extend(free.map(|(comment, _)| Piece {
        span: comment.span,
        is_comment: true,
        text: comment.node.clone(),
    }));
    pieces.sort_by_key(|piece| piece.span.start);

    let mut out = String::new();
    let mut before: Option<&Piece> = None;
    for piece in &pieces {
        if let Some(before) = before {
            let lines = printer.lines_between(before.span.end, piece.span.start);
            match lines {
                0 if piece.is_comment && !before.is_comment => out.push_str("  "),
                0 | 1 => out.push('\n'),
                _ => out.push_str("\n\n"),
            }
        }
        out.push_str(&piece.text);
        before = Some(piece);
    }
    if !out.is_empty() {
        out.push('\n');
    }
    if ends_lines_with_crlf(text) { out.replace('\n', "\r\n") } else { out }
}

/// Whether the first line of a text ends with CRLF; then all lines of the canonical text do.
fn ends_lines_with_crlf(text: &str) -> bool {
    text.find('\n').is_some_and(|at| text[..at].ends_with('\r'))
}

impl fmt::Display for Expr {
    /// The canonical text, on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut printer = Printer { text: "", comments: &[], used: Vec::new() };
        f.write_str(&render(&printer.expr(self, Precedence::Or), usize::MAX))
    }
}

impl fmt::Display for Call {
    /// The canonical text, on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut printer = Printer { text: "", comments: &[], used: Vec::new() };
        f.write_str(&render(&printer.call(self, Span::default()), usize::MAX))
    }
}

/// A statement or a free comment, written out.
struct Piece {
    span: Span,
    is_comment: bool,
    text: String,
}

/// An item of a list in parentheses, with the comments that belong to it.
#[derive(Default)]
struct Item {
    above: Vec<Doc>,
    doc: Option<Doc>,
    beside: Option<Doc>,
}

struct Printer<'a> {
    text: &'a str,
    comments: &'a [Spanned<String>],
    used: Vec<bool>,
}

impl Printer<'_> {
    fn statement(&mut self, statement: &Statement) -> Piece {
        let mut parts = match &statement.kind {
            StatementKind::Param { name, value, range } => {
                let range =
                    range.as_ref().map(|(lo, hi)| format!(" in {} .. {}", lo.node.text, hi.node.text));
                let range = range.unwrap_or_default();
                vec![Doc::text(format!("param {} = {}{range}", name.node, value.node.text))]
            }
            StatementKind::Input { name, shape, kind, gradient } => {
                let kind = if *kind == Kind::Bool { " bool" } else { "" };
                let gradient = if gradient.is_some() { " grad" } else { "" };
                vec![Doc::text(format!("input {}: {shape}{kind}{gradient}", name.node))]
            }
            StatementKind::Set { name, value } => self.definition(&format!("set {}", name.node), value),
            StatementKind::Let { name, value } => self.definition(&format!("let {}", name.node), value),
            StatementKind::Metric { name, value } => self.definition(&format!("metric {}", name.node), value),
            StatementKind::Loss { value } => self.definition("loss", value),
            StatementKind::Controller { name, call, span } => {
                vec![Doc::text(format!("controller {} = ", name.node)), self.call(call, *span)]
            }
            StatementKind::Fn { name, params, body } => {
                let items = params.iter().map(|param| self.param(param)).collect();
                let from = name.span.end as usize;
                let params = self.list(items, from, first_leaf(body));
                // If one line is too short, the formula moves to the next line.
                let body = Doc::indent(vec![Doc::Line, self.expr(body, Precedence::Or)]);
                vec![Doc::group(vec![Doc::text(format!("fn {}", name.node)), params, Doc::text(" ="), body])]
            }
            StatementKind::Import { path } => vec![Doc::text("import "), Doc::Text(quoted(&path.node))],
        };
        // The other comments were in places that keep none, such as before the `=`: they move above the statement.
        // Those after the last word, before closing parentheses, stay behind the statement.
        let end = statement.kind.value().map_or(statement.span.end as usize, last_leaf);
        for comment in self.take(statement.span.start as usize, end).into_iter().rev() {
            parts.splice(0..0, [Doc::Comment(comment), Doc::HardLine]);
        }
        Piece { span: statement.span, is_comment: false, text: render(&Doc::Concat(parts), WIDTH) }
    }

    fn definition(&mut self, head: &str, value: &Expr) -> Vec<Doc> {
        vec![Doc::text(format!("{head} = ")), self.expr(value, Precedence::Or)]
    }

    fn param(&mut self, param: &FnParam) -> (Span, Doc) {
        let name = Doc::text(param.name.node.clone());
        match &param.default {
            None => (param.name.span, name),
            Some(default) => {
                let doc = Doc::Concat(vec![name, Doc::text(" = "), self.expr(default, Precedence::Or)]);
                (Span { end: last_leaf(default) as u32, ..param.name.span }, doc)
            }
        }
    }

    /// Writes an expression, in parentheses if it binds less tightly than `loosest`.
    fn expr(&mut self, expr: &Expr, loosest: Precedence) -> Doc {
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
    fn chain(&mut self, expr: &Expr, precedence: Precedence) -> Doc {
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
    fn joined(&mut self, left: Doc, (from, to): (usize, usize), right: Doc) -> Doc {
        let mut rest = self.between(from, to).unwrap_or_default();
        rest.push(right);
        Doc::Concat(vec![left, Doc::indent(rest)])
    }

    /// The comments between two bytes, up to the line break after the last one.
    fn between(&mut self, from: usize, to: usize) -> Option<Vec<Doc>> {
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

    fn call(&mut self, call: &Call, span: Span) -> Doc {
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

    fn arg(&mut self, name: Option<&Spanned<String>>, value: &ArgValue) -> Doc {
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
    fn list(&mut self, docs: Vec<(Span, Doc)>, from: usize, to: usize) -> Doc {
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

    /// Attaches the comment beside the last item to that item, and returns those on their own lines.
    fn gap(&mut self, items: &mut [Item], from: usize, to: usize) -> Vec<Doc> {
        match items.last_mut() {
            None => self.take(from, to).into_iter().map(Doc::Comment).collect(),
            Some(item) => {
                let (beside, above) = self.beside_and_above(from, to);
                item.beside = beside;
                above
            }
        }
    }

    /// The first comment between two bytes, if it follows something on its line, and the other comments.
    fn beside_and_above(&mut self, from: usize, to: usize) -> (Option<Doc>, Vec<Doc>) {
        let first = self.comments.partition_point(|comment| (comment.span.start as usize) < from);
        let beside = self.comments.get(first).filter(|comment| {
            let start = comment.span.start as usize;
            !self.used[first] && start < to && !self.is_first_on_line(start)
        });
        let beside = beside.map(|comment| {
            self.used[first] = true;
            Doc::Comment(format!("  {}", comment.node))
        });
        (beside, self.take(from, to).into_iter().map(Doc::Comment).collect())
    }

    /// The comments between two bytes that have not been taken yet.
    fn take(&mut self, from: usize, to: usize) -> Vec<String> {
        let first = self.comments.partition_point(|comment| (comment.span.start as usize) < from);
        let mut taken = Vec::new();
        for (comment, used) in self.comments[first..].iter().zip(&mut self.used[first..]) {
            if comment.span.start as usize >= to {
                break;
            }
            if !*used {
                *used = true;
                taken.push(comment.node.clone());
            }
        }
        taken
    }

    fn is_first_on_line(&self, at: usize) -> bool {
        let before = self.text[..at].trim_end_matches([' ', '\t', '\r']);
        before.is_empty() || before.ends_with(['\n', '\u{feff}'])
    }

    fn lines_between(&self, from: u32, to: u32) -> usize {
        let between = self.text.get(from as usize..to as usize).unwrap_or_default();
        between.bytes().filter(|byte| *byte == b'\n').count()
    }
}

/// Where the first word of an expression begins, inside all its parentheses.
fn first_leaf(expr: &Expr) -> usize {
    match &expr.kind {
        ExprKind::Binary { left: first, .. }
        | ExprKind::Field { base: first, .. }
        | ExprKind::Unary { operand: first, .. } => first_leaf(first),
        _ => expr.span.start as usize,
    }
}

/// Where the last word of an expression ends, inside all its parentheses.
fn last_leaf(expr: &Expr) -> usize {
    match &expr.kind {
        ExprKind::Binary { right: last, .. } | ExprKind::Unary { operand: last, .. } => last_leaf(last),
        ExprKind::Field { field, .. } => field.span.end as usize,
        _ => expr.span.end as usize,
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

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
