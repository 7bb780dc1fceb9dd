//! Builds the tree from the grammar's matches; the only room that knows the grammar's rules.

mod expected;

use super::ast::{
    Arg, ArgValue, BinaryOp, Call, ExprKind, FnBlock, FnParam, FnStep, Name, Number, ParamRange, ParamValue,
    Statement, StatementKind, UnaryOp,
};
use super::number;
use super::row::{Node, Row};
use super::scan::Token;
use super::wording::{Expected, Neighbourhood};
use crate::diag::Diagnostic;
use crate::span::{SourceId, Span, Spanned};
use crate::types::{FieldSort, InputType, Kind, Shape, Type};
use expected::expected;
use pest::Parser;
use pest::error::{ErrorVariant, InputLocation};
use pest::iterators::Pair;
use std::collections::HashSet;

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

/// The tree of a single statement.
pub(super) fn statement(here: &Neighbourhood<'_>) -> Result<Statement, Problem> {
    let Neighbourhood { text, source, tokens, aliases, .. } = *here;
    let (start, end) = match tokens {
        [] => (0, 0),
        [first, .., last] => (first.start as usize, last.end as usize),
        [only] => (only.start as usize, only.end as usize),
    };
    let builder = Builder { source, start, tokens, aliases };
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
    let span = builder.span(&pair);
    Ok(Statement { kind: builder.statement(pair)?, span })
}

/// The parser that `pest` generates from the grammar.
#[derive(pest_derive::Parser)]
#[grammar = "../grammar/aent.pest"]
struct Grammar;

/// Where the statement begins in its file, and its tokens.
struct Builder<'a> {
    source: SourceId,
    start: usize,
    tokens: &'a [Token],
    aliases: &'a HashSet<&'a str>,
}

type Built<T> = Result<T, Problem>;

impl Builder<'_> {
    fn statement(&self, pair: Pair<'_, Rule>) -> Built<StatementKind> {
        let rule = pair.as_rule();
        let mut parts = parts(pair);
        let kind = match rule {
            Rule::edition => return Ok(StatementKind::Edition { number: self.number(&next(&mut parts)) }),
            Rule::loss => {
                let mut parts = parts.peekable();
                let name = parts.next_if(|part| part.as_rule() == Rule::identifier);
                let name = name.map(|name| self.name(&name));
                return Ok(StatementKind::Loss { name, value: self.expression(next(&mut parts))?.expr });
            }
            Rule::assertion => {
                let condition = self.expression(next(&mut parts))?.expr;
                return Ok(StatementKind::Assert { condition, message: self.string(&next(&mut parts)) });
            }
            Rule::import => {
                let path = self.string(&next(&mut parts));
                let alias = parts.next().map(|alias| self.name(&alias));
                return Ok(StatementKind::Import { path, alias });
            }
            kind => kind,
        };
        let name = self.name(&next(&mut parts));
        Ok(match kind {
            Rule::param => {
                let value = self.param_value(next(&mut parts));
                let range = parts.next().map(|range| self.param_range(range));
                StatementKind::Param { name, value, range }
            }
            Rule::input => {
                let shape = match next(&mut parts).as_str() {
                    "token" => Shape::Token,
                    "seq" => Shape::Seq,
                    "scalar" => Shape::Scalar,
                    word => {
                        let sort = match (word, parts.next()) {
                            ("logits", _) => FieldSort::Logits,
                            (_, Some(_)) => FieldSort::CandidateIds,
                            (_, None) => FieldSort::Candidates,
                        };
                        return Ok(StatementKind::Input { name, ty: InputType::Field(sort), gradient: None });
                    }
                };
                let (mut kind, mut gradient) = (Kind::Real, None);
                for part in parts {
                    match part.as_rule() {
                        Rule::bool_kind => kind = Kind::Bool,
                        Rule::int_kind => kind = Kind::Int,
                        _ => gradient = Some(self.span(&part)),
                    }
                }
                StatementKind::Input { name, ty: InputType::Value(Type { shape, kind }), gradient }
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
        let (mut params, mut block, mut body) = (Vec::new(), None, None);
        for part in parts {
            match part.as_rule() {
                Rule::parameter => {
                    let mut inner = self::parts(part);
                    let name = self.name(&next(&mut inner));
                    let default = inner.next().map(|value| self.expression(value)).transpose()?;
                    params.push(FnParam { name, default: default.map(|node| node.expr) });
                }
                Rule::block => {
                    let span = self.span(&part);
                    let mut steps = Vec::new();
                    for part in self::parts(part) {
                        if part.as_rule() == Rule::expression {
                            body = Some(self.expression(part)?.expr);
                        } else {
                            steps.push(self.step(part)?);
                        }
                    }
                    block = Some(FnBlock { steps, span });
                }
                _ => body = Some(self.expression(part)?.expr),
            }
        }
        let body = body.expect("the grammar gives every `fn` a body");
        Ok(StatementKind::Fn { name, params, block, body })
    }

    /// A `let` or an `extra` in the block of a `fn`.
    fn step(&self, pair: Pair<'_, Rule>) -> Built<FnStep> {
        let (is_extra, span) = (pair.as_rule() == Rule::extra, self.span(&pair));
        let mut parts = parts(pair);
        let name = self.name(&next(&mut parts));
        Ok(FnStep { name, value: self.expression(next(&mut parts))?.expr, is_extra, span })
    }

    fn param_value(&self, pair: Pair<'_, Rule>) -> Spanned<ParamValue> {
        let span = self.span(&pair);
        let value = match pair.as_rule() {
            Rule::string => ParamValue::Text(unquoted(pair.as_str())),
            Rule::truth => ParamValue::Bool(pair.as_str() == "true"),
            _ => ParamValue::Number(self.signed_number(pair).node),
        };
        Spanned::new(value, span)
    }

    fn param_range(&self, pair: Pair<'_, Rule>) -> ParamRange {
        let rule = pair.as_rule();
        let mut parts = parts(pair);
        if rule == Rule::choices {
            return ParamRange::Choices(parts.map(|choice| self.string(&choice)).collect());
        }
        let lo = self.signed_number(next(&mut parts));
        ParamRange::Numbers(lo, self.signed_number(next(&mut parts)))
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
        Ok(row.finish()?)
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
                let callee = self.callee(next(&mut inner))?;
                match inner.next() {
                    Some(arguments) => {
                        let (args, below) = self.arguments(arguments)?;
                        return Ok(Node::new(ExprKind::Call(Call { callee, args }), span, below)?);
                    }
                    None => ExprKind::Name(callee.node),
                }
            }
        };
        Ok(Node::new(kind, span, 0)?)
    }

    /// What is called. Refuses a method: what stands before a dot is the name of an import.
    fn callee(&self, pair: Pair<'_, Rule>) -> Built<Name> {
        if pair.as_rule() != Rule::member {
            return Ok(self.name(&pair));
        }
        let span = self.span(&pair);
        let mut names = parts(pair);
        let (import, member) = (next(&mut names), next(&mut names));
        if self.aliases.contains(import.as_str()) {
            return Ok(Spanned::new(format!("{}.{}", import.as_str(), member.as_str()), span));
        }
        let end = self.start + member.as_span().end();
        let after = self.tokens.partition_point(|token| (token.start as usize) < end);
        let at = self.tokens.get(after).map_or(end, |token| token.start as usize);
        Err(Problem::Unexpected { at, expected: vec![Expected::Operator, Expected::NextStatement] })
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

    fn string(&self, pair: &Pair<'_, Rule>) -> Spanned<String> {
        Spanned::new(unquoted(pair.as_str()), self.span(pair))
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
                | Rule::number
                | Rule::truth
                | Rule::interval
                | Rule::choices
                | Rule::block
                | Rule::definition
                | Rule::extra
                | Rule::shape
                | Rule::candidates
                | Rule::logits
                | Rule::id_kind
                | Rule::bool_kind
                | Rule::int_kind
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
