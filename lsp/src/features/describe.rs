//! What a name means, in Markdown and in a few words.

use crate::names::{Argument, Definition, Kind, Symbol, part};
use crate::view::View;
use aent::fields::Field;
use aent::interval::Interval;
use aent::plugin::{InputDefault, Parameter, Presence};
use aent::syntax::comment_above;
use aent::types::Unit;
use aent::{Fact, fields};
use std::fmt::Write as _;

/// What a name means: what it is, what is known of its values, and what its author says of it.
pub(crate) fn symbol(view: &View, symbol: &Symbol, name: &str) -> String {
    match symbol {
        Symbol::Defined(definition) => defined(view, definition, name),
        Symbol::Field(of) => field(of),
        Symbol::Vocabulary(name) => format!("```aent\n{name}\n```\n\nbatch field that row statistics read"),
        Symbol::Step => "```aent\nstep: scalar\n```\n\nthe number of steps before this one".to_owned(),
        Symbol::Builtin(of) => {
            format!("```aent\n{}\n```\n\n{}\n\nfunction of the language", aent_show::call(of), of.docs)
        }
        Symbol::Entry(entry) => {
            let declaration = entry.declaration();
            format!(
                "```aent\n{}\n```\n\n{}\n{} of the crate `{}` {}",
                aent_show::signature(*entry),
                aent_show::body(*entry),
                entry.kind(),
                declaration.owner,
                declaration.version
            )
        }
        Symbol::Argument(callee, argument) => {
            format!("{}\n\nargument of `{callee}`", of_argument(argument, name))
        }
        Symbol::Extra(term, extra) => {
            let unit = unit(extra.unit);
            format!("```aent\n.{name}: {}{unit}\n```\n\n{}\n\nextra of `{term}`", extra.ty, extra.docs)
        }
    }
}

/// What is known of a value: `token, log-ratio, -1 .. 1, with gradient`.
pub(crate) fn fact(fact: &Fact) -> String {
    match fact {
        Fact::Value { ty, unit: of, interval, gradient } => {
            let values = interval_of(*interval).map_or(String::new(), |text| format!(", {text}"));
            let gradient = if *gradient { ", with gradient" } else { "" };
            format!("{ty}{}{values}{gradient}", unit(*of))
        }
        Fact::Text(text) => format!("{text:?}"),
        Fact::Field(sort) => sort.to_string(),
        _ => String::new(),
    }
}

/// The type and the unit: `token, log-ratio`.
pub(crate) fn short(fact: &Fact) -> String {
    match fact {
        Fact::Value { ty, unit: of, .. } => format!("{ty}{}", unit(*of)),
        Fact::Text(_) => "string".to_owned(),
        Fact::Field(sort) => sort.to_string(),
        _ => String::new(),
    }
}

/// The head of the definition of a name: `fn k2(log_prob_of_reference)`, `param eps = 0.2 in 0 .. 1`, `let ratio`.
pub(crate) fn head(view: &View, definition: &Definition, name: &str) -> String {
    let Definition { place, kind, statement, .. } = *definition;
    let text = view.source(place.source).text();
    let of = &view.scope.statements(place.source)[statement];
    match kind {
        Kind::Param | Kind::Input | Kind::Alias => part(text, of.span()).to_owned(),
        Kind::Function => {
            let end = of.calls.first().and_then(|call| call.close).map_or(place.end, |close| close.end);
            let header = &text[of.span().start as usize..end as usize];
            header.split_whitespace().collect::<Vec<_>>().join(" ")
        }
        kind => format!("{} {name}", kind.as_str()),
    }
}

/// The comment above the statement of a definition.
pub(crate) fn comment(view: &View, definition: &Definition) -> String {
    let Definition { place, statement, .. } = *definition;
    let start = view.scope.statements(place.source)[statement].span().start as usize;
    let lines = comment_above(view.source(place.source).text(), start);
    lines.into_iter().filter(|line| !line.starts_with("alias: ")).collect::<Vec<_>>().join("\n")
}

fn defined(view: &View, definition: &Definition, name: &str) -> String {
    let mut out = format!("```aent\n{}\n```", head(view, definition, name));
    let known = view.fact(definition.place).filter(|_| definition.kind != Kind::Input);
    // Writing into a string cannot fail.
    if let Some(known) = known {
        let _ = write!(out, "\n\n{}", fact(known));
    }
    let is_local = matches!(definition.kind, Kind::Parameter | Kind::Step | Kind::Extra);
    let comment = if is_local { String::new() } else { comment(view, definition) };
    if !comment.is_empty() {
        let _ = write!(out, "\n\n{comment}");
    }
    if definition.kind == Kind::Controller {
        out.push_str(&controller(view, definition));
    }
    if matches!(definition.kind, Kind::Let | Kind::Step | Kind::Extra | Kind::Metric | Kind::Loss) {
        let _ = write!(out, "\n\n```aent\n{}\n```", formula(view, definition));
    }
    let source = definition.place.source;
    if source != crate::view::ROOT {
        let _ = write!(out, "\n\nin `{}`", view.source(source).name());
    }
    out
}

/// The formula of a definition, as written.
fn formula(view: &View, definition: &Definition) -> String {
    let Definition { place, statement, .. } = *definition;
    let of = &view.scope.statements(place.source)[statement];
    let text = view.source(place.source).text();
    let after = of.tokens.iter().skip_while(|token| token.span.start <= place.start);
    let mut depth = 0_usize;
    let mut end = place.end;
    let mut start = None;
    for token in after {
        match part(text, token.span) {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            "=" if start.is_none() => {
                start = Some(token.span.end as usize);
                continue;
            }
            // The next part of a block.
            "let" | "extra" | "return" | "}" if depth == 0 => break,
            _ => {}
        }
        end = token.span.end;
    }
    start.map_or(String::new(), |start| text[start..(end as usize).max(start)].trim().to_owned())
}

/// What a controller is set to: its arguments, and the defaults of those that its call leaves out.
fn controller(view: &View, definition: &Definition) -> String {
    let Definition { place, statement, .. } = *definition;
    let of = &view.scope.statements(place.source)[statement];
    let Some(callee) = of.words.iter().position(|word| matches!(word.role, crate::names::Role::Controller))
    else {
        return String::new();
    };
    let text = view.source(place.source).text();
    let Some(Symbol::Entry(entry)) =
        view.scope.symbol(&view.analysis.bundle, place.source, statement, callee)
    else {
        return String::new();
    };
    let given: Vec<&str> = of
        .call_of(callee)
        .into_iter()
        .flat_map(|call| &call.arguments)
        .filter_map(|(_, name)| Some(part(text, of.words[(*name)?].span)))
        .collect();
    let written = of.call_of(callee).map_or(String::new(), |call| {
        let end = call.close.map_or(of.span().end, |close| close.end);
        text[of.words[callee].span.start as usize..end as usize].to_owned()
    });
    let mut out = format!("\n\n```aent\n{written}\n```");
    let defaults = entry.declaration().parameters.iter().filter(|of| !given.contains(&of.name));
    let defaults: Vec<String> =
        defaults.filter_map(|of| Some(format!("`{} = {}`", of.name, of.default_value()?))).collect();
    if !defaults.is_empty() {
        let _ = write!(out, "\n\nby default {}", defaults.join(", "));
    }
    out
}

fn field(of: &Field) -> String {
    let gradient = if of.gradient { "with gradient" } else { "no gradient" };
    let values = interval_of(of.interval).map_or(String::new(), |text| format!(", {text}"));
    format!(
        "```aent\n{}: {}\n```\n\n{}{values}, {gradient}\n\n{}\n\nbatch field",
        of.name,
        of.ty,
        if of.unit == Unit::Unknown { of.ty.to_string() } else { of.unit.to_string() },
        of.docs
    )
}

/// An argument with its default and a line of documentation.
pub(crate) fn of_argument(argument: &Argument, name: &str) -> String {
    match argument {
        Argument::Parameter(of) => aent_show::parameter(of),
        Argument::Input(of) => {
            let default = match of.default {
                InputDefault::Field => format!(" = {}", of.name),
                InputDefault::Constant(value) => format!(" = {value}"),
                InputDefault::Required => String::new(),
            };
            let known = fields::find(of.name).map_or("", |field| field.docs);
            let docs = if of.docs.is_empty() { known } else { of.docs };
            let colon = if docs.is_empty() { "" } else { ": " };
            format!("`{}{default}`, {}{}{colon}{docs}", of.name, of.ty, unit(of.expected_unit()))
        }
        Argument::Signal(docs) => format!("`signal`, scalar: {docs}"),
        Argument::Plain => format!("`{name}`"),
    }
}

/// The default of an argument, as written in a file.
pub(crate) fn default(argument: &Argument, name: &str) -> Option<String> {
    match argument {
        Argument::Parameter(Parameter { presence: Presence::Default(value), .. }) => Some(value.to_string()),
        Argument::Input(of) => match of.default {
            InputDefault::Field => Some(name.to_owned()),
            InputDefault::Constant(value) => Some(value.to_string()),
            InputDefault::Required => None,
        },
        _ => None,
    }
}

fn unit(of: Unit) -> String {
    if of == Unit::Unknown { String::new() } else { format!(", {of}") }
}

fn interval_of(of: Interval) -> Option<String> {
    // Adding 0 makes 0 of -0.
    let (lo, hi) = (of.lo + 0.0, of.hi + 0.0);
    match (lo.is_finite(), hi.is_finite()) {
        (true, true) if lo.to_bits() == hi.to_bits() => Some(format!("{lo}")),
        (true, true) => Some(format!("{lo} .. {hi}")),
        (true, false) => Some(format!("at least {lo}")),
        (false, true) => Some(format!("at most {hi}")),
        (false, false) => None,
    }
}
