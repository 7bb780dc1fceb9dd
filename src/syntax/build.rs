//! Builds the tree from the grammar's matches; the only file that knows the grammar's rules.

use super::ast::{
    Arg, ArgValue, BinaryOp, Call, ExprKind, FnParam, Name, Number, Statement, StatementKind, UnaryOp,
};
use super::number;
use super::row::{Node, Row};
use super::scan::Token;
use super::wording::Expected;
use crate::diag::Diagnostic;
use crate::span::{SourceId, Span, Spanned};
use crate::types::{Kind, Shape};
use pest::Parser;
use pest::error::{ErrorVariant, InputLocation};
use pest::iterators::Pair;

/// Why a statement has no tree.
pub(super) enum Problem {
    /// The text does not match the grammar.
    Unexpected {
        /// Where matching ended.
        at: usize,
        /// What would have matched there.
        expected: Vec<Expected>,
    },
    /// It matches, but has no meaning.
    Found(Box<Diagnostic>),
}

impl From<Box<Diagnostic>> for Problem {
    fn from(diagnostic: Box<Diagnostic>) -> Self {
        Problem::Found(diagnostic)
    }
}

/// The tree of the single statement in these tokens of `text`.
pub(super) fn statement(source: SourceId, text: &str, tokens: &[Token]) -> Result<Statement, Problem> {
    let (start, end) = match tokens {
        [] => (0, 0),
        [first, .., last] => (first.start as usize, last.end as usize),
        [only] => (only.start as usize, only.end as usize),
    };
    let builder = Builder { source, start, tokens };
    let mut whole = Grammar::parse(Rule::whole, &text[start..end]).map_err(|error| {
        let at = match error.location {
            InputLocation::Pos(at) | InputLocation::Span((at, _)) => start + at,
        };
        let mut expected = match error.variant {
            ErrorVariant::ParsingError { positives, .. } => positives.into_iter().map(expected).collect(),
            ErrorVariant::CustomError { .. } => Vec::new(),
        };
        expected.sort_unstable();
        expected.dedup();
        Problem::Unexpected { at, expected }
    })?;
    let pair = next(&mut next(&mut whole).into_inner());
    let kind_span = builder.span(&pair);
    Ok(Statement { kind: builder.statement(pair)?, span: kind_span })
}

/// The parser that `pest` generates from the grammar.
#[derive(pest_derive::Parser)]
#[grammar = "../grammar/aent.pest"]
struct Grammar;

/// What the user has to write for a rule to match.
fn expected(rule: Rule) -> Expected {
    match rule {
        Rule::expression
        | Rule::operand
        | Rule::prefix
        | Rule::group
        | Rule::reference
        | Rule::argument
        | Rule::boolean
        | Rule::not => Expected::Expression,
        Rule::infix | Rule::field | Rule::dot => Expected::Operator,
        Rule::identifier | Rule::path | Rule::parameter => Expected::Name,
        Rule::signed_number | Rule::number | Rule::minus => Expected::Number,
        Rule::string => Expected::String,
        Rule::shape => Expected::Shape,
        Rule::EOI => Expected::NextStatement,
        Rule::bool_kind => Expected::Word("bool"),
        Rule::gradient => Expected::Word("grad"),
        Rule::in_keyword => Expected::Word("in"),
        Rule::equals => Expected::Symbol("="),
        Rule::colon => Expected::Symbol(":"),
        Rule::comma => Expected::Symbol(","),
        Rule::open | Rule::arguments => Expected::Symbol("("),
        Rule::close => Expected::Symbol(")"),
        Rule::dots => Expected::Symbol(".."),
        _ => Expected::Other,
    }
}

/// Where the statement begins in its file, and its tokens.
struct Builder<'a> {
    source: SourceId,
    start: usize,
    tokens: &'a [Token],
}

type Built<T> = Result<T, Box<Diagnostic>>;

impl Builder<'_> {
    fn statement(&self, pair: Pair<'_, Rule>) -> Built<StatementKind> {
        let rule = pair.as_rule();
        let mut parts = parts(pair);
        let kind = match rule {
            Rule::loss => return Ok(StatementKind::Loss { value: self.expression(next(&mut parts))?.expr }),
            Rule::import => {
                let path = next(&mut parts);
                let span = self.span(&path);
                return Ok(StatementKind::Import { path: Spanned::new(unquoted(path.as_str()), span) });
            }
            kind => kind,
        };
        let name = self.name(&next(&mut parts));
        Ok(match kind {
            Rule::param => {
                let value = self.signed_number(next(&mut parts));
                let range =
                    parts.next().map(|lo| (self.signed_number(lo), self.signed_number(next(&mut parts))));
                StatementKind::Param { name, value, range }
            }
            Rule::input => {
                let shape = match next(&mut parts).as_str() {
                    "token" => Shape::Token,
                    "seq" => Shape::Seq,
                    _ => Shape::Scalar,
                };
                let (mut kind, mut gradient) = (Kind::Real, None);
                for part in parts {
                    match part.as_rule() {
                        Rule::bool_kind => kind = Kind::Bool,
                        _ => gradient = Some(self.span(&part)),
                    }
                }
                StatementKind::Input { name, shape, kind, gradient }
            }
            Rule::set => StatementKind::Set { name, value: self.expression(next(&mut parts))?.expr },
            Rule::function => self.function(name, parts)?,
            Rule::controller => {
                let callee = next(&mut parts);
                let arguments = next(&mut parts);
                let span = self.span(&callee).to(self.span(&arguments));
                let call = Call { callee: self.name(&callee), args: self.arguments(arguments)?.0 };
                StatementKind::Controller { name, call, span }
            }
            Rule::metric => StatementKind::Metric { name, value: self.expression(next(&mut parts))?.expr },
            _ => StatementKind::Let { name, value: self.expression(next(&mut parts))?.expr },
        })
    }

    fn function<'a>(&self, name: Name, parts: impl Iterator<Item = Pair<'a, Rule>>) -> Built<StatementKind> {
        let mut params = Vec::new();
        let mut body = None;
        for part in parts {
            if part.as_rule() == Rule::parameter {
                let mut inner = self::parts(part);
                let name = self.name(&next(&mut inner));
                let default = inner.next().map(|value| self.expression(value)).transpose()?;
                params.push(FnParam { name, default: default.map(|node| node.expr) });
            } else {
                body = Some(self.expression(part)?.expr);
            }
        }
        let body = body.expect("the grammar gives every `fn` a body");
        Ok(StatementKind::Fn { name, params, body })
    }

    fn expression(&self, pair: Pair<'_, Rule>) -> Built<Node> {
        let mut row = Row::default();
        for part in pair.into_inner() {
            let span = self.span(&part);
            match part.as_rule() {
                Rule::prefix if part.as_str() == "-" => row.prefix(UnaryOp::Neg, span)?,
                Rule::prefix => row.prefix(UnaryOp::Not, span)?,
                Rule::infix => row.infix(binary_op(part.as_str()), span)?,
                _ => row.operand(self.operand(part)?),
            }
        }
        row.finish()
    }

    fn operand(&self, pair: Pair<'_, Rule>) -> Built<Node> {
        let mut inner = pair.into_inner();
        let mut node = self.value(next(&mut inner))?;
        for field in inner {
            let field = self.name(&next(&mut parts(field)));
            let (span, below) = (node.outer.to(field.span), node.height);
            node = Node::new(ExprKind::Field { base: Box::new(node.expr), field }, span, below)?;
        }
        Ok(node)
    }

    fn value(&self, pair: Pair<'_, Rule>) -> Built<Node> {
        let span = self.span(&pair);
        let kind = match pair.as_rule() {
            Rule::number => ExprKind::Number(self.number(&pair).node),
            Rule::string => ExprKind::String(unquoted(pair.as_str())),
            Rule::boolean => ExprKind::Bool(pair.as_str() == "true"),
            Rule::group => {
                let inside = self.expression(next(&mut parts(pair)))?;
                return Ok(Node { outer: span, ..inside });
            }
            _ => {
                let mut inner = pair.into_inner();
                let callee = self.name(&next(&mut inner));
                match inner.next() {
                    Some(arguments) => {
                        let (args, below) = self.arguments(arguments)?;
                        return Node::new(ExprKind::Call(Call { callee, args }), span, below);
                    }
                    None => ExprKind::Name(callee.node),
                }
            }
        };
        Node::new(kind, span, 0)
    }

    /// The arguments, and the largest of their heights.
    fn arguments(&self, pair: Pair<'_, Rule>) -> Built<(Vec<Arg>, usize)> {
        let mut args = Vec::new();
        let mut height = 0;
        for argument in parts(pair) {
            let span = self.span(&argument);
            let mut inner = parts(argument).peekable();
            let name = inner.next_if(|part| part.as_rule() == Rule::identifier).map(|name| self.name(&name));
            let first = self.expression(next(&mut inner))?;
            height = height.max(first.height);
            let value = match inner.next() {
                Some(hi) => {
                    let hi = self.expression(hi)?;
                    height = height.max(hi.height);
                    ArgValue::Range { lo: first.expr, hi: hi.expr }
                }
                None => ArgValue::Expr(first.expr),
            };
            args.push(Arg { name, value, span });
        }
        Ok((args, height))
    }

    fn signed_number(&self, pair: Pair<'_, Rule>) -> Spanned<Number> {
        let span = self.span(&pair);
        let mut inner = pair.into_inner();
        let first = next(&mut inner);
        match inner.next() {
            None => Spanned::new(self.number(&first).node, span),
            Some(digits) => {
                let Number { value, text } = self.number(&digits).node;
                Spanned::new(Number { value: -value, text: format!("-{text}") }, span)
            }
        }
    }

    fn number(&self, pair: &Pair<'_, Rule>) -> Spanned<Number> {
        let text = pair.as_str().to_owned();
        let value = number::value(&text).expect("malformed numbers never come to the grammar");
        Spanned::new(Number { value, text }, self.span(pair))
    }

    fn name(&self, pair: &Pair<'_, Rule>) -> Name {
        Spanned::new(pair.as_str().to_owned(), self.span(pair))
    }

    /// The place of a match, without the blanks and comments that the grammar skipped at its end.
    fn span(&self, pair: &Pair<'_, Rule>) -> Span {
        let (start, end) = (self.start + pair.as_span().start(), self.start + pair.as_span().end());
        let after = self.tokens.partition_point(|token| (token.start as usize) < end);
        let end = after.checked_sub(1).map_or(end, |last| self.tokens[last].end as usize);
        Span::new(self.source, start, end)
    }
}

/// The parts that carry meaning: no keywords, no punctuation.
fn parts(pair: Pair<'_, Rule>) -> impl Iterator<Item = Pair<'_, Rule>> {
    pair.into_inner().filter(|part| {
        matches!(
            part.as_rule(),
            Rule::identifier
                | Rule::path
                | Rule::expression
                | Rule::signed_number
                | Rule::shape
                | Rule::bool_kind
                | Rule::gradient
                | Rule::parameter
                | Rule::arguments
                | Rule::argument
                | Rule::string
        )
    })
}

fn next<'a>(pairs: &mut impl Iterator<Item = Pair<'a, Rule>>) -> Pair<'a, Rule> {
    pairs.next().expect("the grammar gives every rule its parts")
}

fn binary_op(text: &str) -> BinaryOp {
    match text {
        "or" => BinaryOp::Or,
        "and" => BinaryOp::And,
        "<" => BinaryOp::Lt,
        "<=" => BinaryOp::Le,
        ">" => BinaryOp::Gt,
        ">=" => BinaryOp::Ge,
        "==" => BinaryOp::Eq,
        "!=" => BinaryOp::Ne,
        "+" => BinaryOp::Add,
        "-" => BinaryOp::Sub,
        "*" => BinaryOp::Mul,
        "/" => BinaryOp::Div,
        _ => BinaryOp::Pow,
    }
}

fn unquoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text[1..text.len() - 1].chars();
    while let Some(character) = characters.next() {
        out.extend(if character == '\\' { characters.next() } else { Some(character) });
    }
    out
}
