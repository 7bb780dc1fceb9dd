//! Prints a tree in its one canonical layout, with its comments.

mod comments;
mod expressions;

use super::ast::{
    Call, Expr, ExprKind, File, FnBlock, FnParam, ParamRange, ParamValue, Statement, StatementKind,
};
use super::layout::{Doc, render};
use super::precedence::Precedence;
use crate::span::{Span, Spanned};
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

impl fmt::Display for ParamValue {
    /// As written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => f.write_str(&number.text),
            Self::Bool(value) => value.fmt(f),
            Self::Text(text) => f.write_str(&quoted(text)),
        }
    }
}

impl fmt::Display for ParamRange {
    /// As written, without the `in`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Numbers(lo, hi) => write!(f, "{} .. {}", lo.node.text, hi.node.text),
            Self::Choices(choices) => {
                let choices: Vec<_> = choices.iter().map(|choice| quoted(&choice.node)).collect();
                f.write_str(&choices.join(", "))
            }
        }
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
        let parts = match &statement.kind {
            StatementKind::Edition { number } => vec![Doc::text(format!("edition {}", number.node.text))],
            StatementKind::Param { name, value, range } => {
                let range = range.as_ref().map(|range| format!(" in {range}")).unwrap_or_default();
                vec![Doc::text(format!("param {} = {}{range}", name.node, value.node))]
            }
            StatementKind::Input { name, ty, gradient } => {
                let gradient = if gradient.is_some() { " grad" } else { "" };
                vec![Doc::text(format!("input {}: {ty}{gradient}", name.node))]
            }
            StatementKind::Set { name, value } => self.definition(&format!("set {}", name.node), value),
            StatementKind::Let { name, value } => self.definition(&format!("let {}", name.node), value),
            StatementKind::Metric { name, value } => self.definition(&format!("metric {}", name.node), value),
            StatementKind::Loss { name: None, value } => self.definition("loss", value),
            StatementKind::Loss { name: Some(name), value } => {
                self.definition(&format!("loss {}", name.node), value)
            }
            StatementKind::Assert { condition, message } => {
                let condition = self.expr(condition, Precedence::Or);
                vec![Doc::text("assert "), condition, Doc::text(", "), Doc::Text(quoted(&message.node))]
            }
            StatementKind::Controller { name, call, span } => {
                vec![Doc::text(format!("controller {} = ", name.node)), self.call(call, *span)]
            }
            StatementKind::Fn { name, params, block, body } => {
                let items = params.iter().map(|param| self.param(param)).collect();
                let from = name.span.end as usize;
                let next = block.as_ref().map_or(first_leaf(body), |block| block.span.start as usize);
                let params = self.list(items, from, next);
                if let Some(block) = block {
                    let head = Doc::group(vec![Doc::text(format!("fn {}", name.node)), params]);
                    let block = self.block(block, body);
                    return self
                        .piece(statement, vec![head, Doc::text(" {"), block, Doc::HardLine, Doc::text("}")]);
                }
                // If one line is too short, the formula moves to the next line.
                let body = Doc::indent(vec![Doc::Line, self.expr(body, Precedence::Or)]);
                vec![Doc::group(vec![Doc::text(format!("fn {}", name.node)), params, Doc::text(" ="), body])]
            }
            StatementKind::Import { path, alias } => {
                let alias = alias.as_ref().map(|alias| format!(" as {}", alias.node)).unwrap_or_default();
                vec![Doc::text("import "), Doc::Text(quoted(&path.node)), Doc::Text(alias)]
            }
        };
        self.piece(statement, parts)
    }

    /// A statement written as `parts`, below the comments that are in none of them.
    fn piece(&mut self, statement: &Statement, mut parts: Vec<Doc>) -> Piece {
        // The other comments were in places that keep none, such as before the `=`: they move above the statement.
        // Those after the last word, before closing parentheses, stay behind the statement.
        let end = match &statement.kind {
            StatementKind::Fn { block: Some(block), .. } => block.span.end as usize,
            kind => kind.value().map_or(statement.span.end as usize, last_leaf),
        };
        for comment in self.take(statement.span.start as usize, end).into_iter().rev() {
            parts.splice(0..0, [Doc::Comment(comment), Doc::HardLine]);
        }
        Piece { span: statement.span, is_comment: false, text: render(&Doc::Concat(parts), WIDTH) }
    }

    /// The lines of a block, each after a line break.
    fn block(&mut self, block: &FnBlock, body: &Expr) -> Doc {
        let mut lines = Vec::new();
        let heads = block.steps.iter().map(|step| {
            let keyword = if step.is_extra { "extra" } else { "let" };
            (format!("{keyword} {} = ", step.name.node), step.span.start as usize, &step.value)
        });
        let result = ("return ".to_owned(), first_leaf(body), body);
        let (mut before, mut first) = (block.span.start as usize, true);
        for (head, start, value) in heads.chain([result]) {
            let (beside, above) = self.beside_and_above(before, start);
            lines.extend(beside);
            if !first && self.lines_between(before as u32, start as u32) > above.len() + 1 {
                lines.push(Doc::HardLine);
            }
            lines.extend(above.into_iter().flat_map(|comment| [Doc::HardLine, comment]));
            let value_doc = self.expr(value, Precedence::Or);
            // Comments in places that keep none, such as before the `=`, move above the line.
            let moved = self.take(start, last_leaf(value));
            lines.extend(moved.into_iter().flat_map(|comment| [Doc::HardLine, Doc::Comment(comment)]));
            lines.extend([Doc::HardLine, Doc::text(head), value_doc]);
            (before, first) = (last_leaf(value), false);
        }
        let (beside, below) = self.beside_and_above(before, block.span.end as usize);
        lines.extend(beside);
        lines.extend(below.into_iter().flat_map(|comment| [Doc::HardLine, comment]));
        Doc::indent(lines)
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

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
