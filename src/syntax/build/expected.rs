//! What the user has to write where a rule of the grammar would match.

use super::Rule;
use crate::syntax::wording::Expected;

/// What the user has to write for a rule to match.
pub(super) fn expected(rule: Rule) -> Expected {
    match rule {
        Rule::expression
        | Rule::operand
        | Rule::prefix
        | Rule::group
        | Rule::reference
        | Rule::member
        | Rule::argument
        | Rule::boolean
        | Rule::not => Expected::Expression,
        Rule::infix | Rule::field | Rule::dot => Expected::Operator,
        Rule::identifier | Rule::path | Rule::parameter => Expected::Name,
        Rule::signed_number | Rule::number | Rule::minus | Rule::interval => Expected::Number,
        Rule::string | Rule::choices => Expected::String,
        Rule::truth => Expected::Truth,
        Rule::shape | Rule::candidates | Rule::logits => Expected::Shape,
        Rule::EOI => Expected::NextStatement,
        Rule::bool_kind => Expected::Word("bool"),
        Rule::int_kind => Expected::Word("int"),
        Rule::id_kind => Expected::Word("id"),
        Rule::gradient => Expected::Word("grad"),
        Rule::in_keyword => Expected::Word("in"),
        Rule::as_keyword => Expected::Word("as"),
        Rule::return_keyword => Expected::Word("return"),
        Rule::definition | Rule::let_keyword => Expected::Word("let"),
        Rule::extra | Rule::extra_keyword => Expected::Word("extra"),
        Rule::block | Rule::open_brace => Expected::Symbol("{"),
        Rule::close_brace => Expected::Symbol("}"),
        Rule::equals => Expected::Symbol("="),
        Rule::colon => Expected::Symbol(":"),
        Rule::comma => Expected::Symbol(","),
        Rule::open | Rule::arguments => Expected::Symbol("("),
        Rule::close => Expected::Symbol(")"),
        Rule::dots => Expected::Symbol(".."),
        _ => Expected::Other,
    }
}
