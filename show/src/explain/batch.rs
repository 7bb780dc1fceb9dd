//! What a program reads: the fields that a batch brings, and the constants that the host may set.

use aent::Program;
use aent::fields::{self, POLICY, REFERENCE};
use aent::load::{LibraryFn, functions_of};
use aent::program::{Op, Param, ParamRange, ParamValue, Reads};
use serde_json::{Value, json};
use std::fmt::Write as _;

const SHAPE_OF_LOGITS: &str = "[B, T, V]";

/// A field that a batch brings.
pub(super) struct Needed {
    name: String,
    /// As in a file, or the dimensions of a field that no formula can name.
    ty: String,
    gradient: bool,
    docs: String,
    /// Whether the file declares it with `input`.
    declared: bool,
}

/// The fields that the program needs: logits first, then those of the language, then the file's own.
pub(super) fn needed(program: &Program) -> Vec<Needed> {
    let reads = program.reads();
    let mut found: Vec<Needed> = reads.fields.iter().map(|name| one(program, &reads, name)).collect();
    let mut order = vec![POLICY.logits, REFERENCE.logits, "actions", "response_mask"];
    order.extend(fields::FIELDS.iter().map(|field| field.name));
    order.extend(program.inputs.iter().map(|input| input.name.as_str()));
    found.sort_by_key(|of| order.iter().position(|name| *name == of.name));
    found
}

fn one(program: &Program, reads: &Reads, name: &str) -> Needed {
    let is_trained =
        |wanted: &dyn Fn(&Op) -> bool| program.nodes.iter().any(|of| of.gradient && wanted(&of.op));
    let (ty, docs) = match name {
        "actions" => ("[B, T] int64".to_owned(), "the sampled token ids".to_owned()),
        _ if name == POLICY.logits => {
            let log_prob =
                if reads.takes_log_prob() { ", or `log_prob`, a token, without `actions`" } else { "" };
            (SHAPE_OF_LOGITS.to_owned(), format!("the policy's; or {}{log_prob}", instead(&POLICY)))
        }
        _ if name == REFERENCE.logits => {
            (SHAPE_OF_LOGITS.to_owned(), format!("the reference policy's; or {}", instead(&REFERENCE)))
        }
        _ => match (fields::find(name), program.inputs.iter().find(|input| input.name == name)) {
            (Some(field), _) => (field.ty.to_string(), field.docs.to_owned()),
            (None, Some(input)) => match input.logits() {
                None => (input.ty.to_string(), declaration(program, name)),
                Some(of) => (
                    SHAPE_OF_LOGITS.to_owned(),
                    format!("{}; or {}", declaration(program, name), instead(&of)),
                ),
            },
            (None, None) => (String::new(), String::new()),
        },
    };
    let gradient = if name == POLICY.logits {
        is_trained(&|op| matches!(op, Op::Row(_) | Op::LogProb(_)))
    } else {
        is_trained(&|op| matches!(op, Op::Field(of) if of == name))
    };
    let declared = program.inputs.iter().any(|input| input.name == name);
    Needed { name: name.to_owned(), ty, gradient, docs, declared }
}

fn instead(of: &fields::LogitFields) -> String {
    format!("`{}` [B, T, D] with `{}` [V, D]", of.hidden, of.weight)
}

/// Where a file declares its field.
fn declaration(program: &Program, name: &str) -> String {
    let node = program.nodes.iter().find(|node| node.op.fields().contains(&name));
    let place = node.and_then(|node| {
        let (_, source) = program.sources().iter().find(|(id, _)| *id == node.span.source)?;
        let (line, _) = source.line_column(node.span.start as usize);
        Some(format!("declared in {}, line {line}", source.name()))
    });
    place.unwrap_or_else(|| "declared in the file".to_owned())
}

/// A heading, the fields as a table, and the params with their ranges.
pub(super) fn explained(program: &Program) -> String {
    let mut out = "# What the batch brings\n\n".to_owned();
    let rows = needed(program).into_iter().map(|of| {
        let gradient = if of.gradient { " grad" } else { "" };
        [of.name, format!("{}{gradient}", of.ty), of.docs]
    });
    out.push_str(&table(&rows.collect::<Vec<_>>()));
    if !program.params.is_empty() {
        out.push_str("\n# Params\n\n");
        let range = |of: &Param| match (&of.range, &of.value) {
            (Some(ParamRange::Interval(interval)), _) => format!("in {interval}"),
            (Some(choices), _) => format!("one of {choices}"),
            (None, ParamValue::Number(_)) => "any number".to_owned(),
            (None, ParamValue::Bool(_)) => "true or false".to_owned(),
            (None, ParamValue::Text(_)) => "any string".to_owned(),
        };
        let default = |of: &Param| {
            let changed = (of.value != of.default).then(|| format!("{} in the file", of.default));
            let docs = of.docs.lines().next().map(|docs| docs.trim_end_matches('.').to_owned());
            let docs = docs.filter(|docs| !docs.is_empty());
            docs.into_iter().chain(changed).collect::<Vec<_>>().join("; ")
        };
        let rows =
            program.params.iter().map(|of| [format!("{} = {}", of.name, of.value), range(of), default(of)]);
        out.push_str(&table(&rows.collect::<Vec<_>>()));
    }
    let functions = functions(program);
    if !functions.is_empty() {
        out.push_str("\n# Functions\n\n");
        let rows = functions.into_iter().map(|of| [of.call(), of.docs.replace('\n', " "), String::new()]);
        out.push_str(&table(&rows.collect::<Vec<_>>()));
    }
    out
}

/// The functions of the compiled file.
fn functions(program: &Program) -> Vec<LibraryFn> {
    let file = program.sources().iter().next();
    file.map(|(_, source)| functions_of(source.name(), source.text())).unwrap_or_default()
}

/// The functions of the compiled file for programs.
pub(super) fn json_functions(program: &Program) -> Vec<Value> {
    let one = |of: LibraryFn| json!({ "name": of.name, "signature": of.call(), "docs": of.docs });
    functions(program).into_iter().map(one).collect()
}

/// The fields for programs.
pub(super) fn json_fields(program: &Program) -> Vec<Value> {
    let one = |of: Needed| {
        json!({
            "name": of.name,
            "type": of.ty,
            "gradient": of.gradient,
            "declared": of.declared,
            "docs": of.docs,
        })
    };
    needed(program).into_iter().map(one).collect()
}

/// The params for programs.
pub(super) fn json_params(program: &Program) -> Vec<Value> {
    let one = |of: &Param| {
        json!({
            "name": of.name,
            "value": of.value,
            "default": of.default,
            "range": of.range.as_ref().and_then(|range| match range {
                ParamRange::Interval(interval) => Some([interval.lo, interval.hi]),
                ParamRange::Choices(_) => None,
            }),
            "choices": of.range.as_ref().and_then(|range| match range {
                ParamRange::Choices(choices) => Some(choices),
                ParamRange::Interval(_) => None,
            }),
            "docs": of.docs,
        })
    };
    program.params.iter().map(one).collect()
}

/// Lines with columns of equal width.
fn table(rows: &[[String; 3]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (first, second) = (width(0), width(1));
    let mut out = String::new();
    for [a, b, c] in rows {
        let line = format!("{a:first$}  {b:second$}  {c}");
        // Writing into a string cannot fail.
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}
