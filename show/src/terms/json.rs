//! Everything that a file can call or read, as JSON for programs.

use super::{Search, signature};
use aent::load::functions;
use aent::plugin::{
    Alias, AnyEntry, Extra, Input, InputDefault, Limit, Literal, Parameter, ParameterType, Presence, registry,
};
use aent::{BUILTINS, fields};
use serde_json::{Map, Value, json};

/// Entries by kind, functions and batch fields that the search finds, sorted by name.
pub fn table(search: &Search) -> Value {
    let entries = |kind: &str| -> Vec<Value> {
        registry()
            .iter()
            .filter(|entry| entry.kind() == kind && search.finds_entry(*entry))
            .map(entry)
            .collect()
    };
    let library = functions().into_iter().filter(|of| search.finds_function(of)).map(|of| {
        json!({
            "name": of.name,
            "signature": of.call(),
            "import": of.file,
            "docs": of.docs,
            "aliases": aliases(&of.aliases),
            "parameters": of.parameters.iter().map(|of| json!({ "name": of.name, "default": of.default })).collect::<Vec<_>>(),
        })
    });
    let builtins = BUILTINS.iter().filter(|of| search.finds(&[of.name, of.docs])).map(
        |of| json!({ "name": of.name, "signature": signature::function(of), "docs": of.docs, "parameters": of.params }),
    );
    let fields = fields::FIELDS.iter().filter(|of| search.finds(&[of.name, of.docs])).map(
        |of| json!({ "name": of.name, "type": of.ty.to_string(), "unit": of.unit, "gradient": of.gradient, "docs": of.docs }),
    );
    json!({
        "terms": entries("term"),
        "reductions": entries("reduction"),
        "controllers": entries("controller"),
        "library": library.collect::<Vec<_>>(),
        "functions": builtins.collect::<Vec<_>>(),
        "fields": fields.collect::<Vec<_>>(),
    })
}

fn entry(entry: AnyEntry) -> Value {
    let of = entry.declaration();
    let mut out = Map::new();
    let mut put = |name: &str, value: Value| out.insert(name.to_owned(), value);
    put("name", of.name.into());
    put("signature", signature::short(entry).into());
    put("docs", of.docs.into());
    put("example", of.example.into());
    put("crate", of.owner.into());
    put("version", of.version.into());
    put("parameters", of.parameters.iter().map(parameter).collect());
    put("aliases", aliases(of.aliases));
    match entry {
        AnyEntry::Term(entry) => {
            let signature = entry.signature();
            put("inputs", signature.inputs.iter().map(input).collect());
            put("result", signature.result.to_string().into());
            put("unit", json!(signature.unit));
            put("gradient", signature.gradient.into());
            put("reach", signature.reach.as_str().into());
            put("extras", signature.extras.iter().map(extra).collect());
            put("reads_width", signature.width.into());
            put("row_statistics", signature.rows.iter().map(|row| row.statistic.name()).collect());
        }
        AnyEntry::Reduction(entry) => {
            let signature = entry.signature();
            put("reduces", signature.from.to_string().into());
            put("inputs", signature.inputs.iter().map(input).collect());
            put("result", signature.to.to_string().into());
            put("reads_width", signature.width.into());
            put("additive", signature.additive.into());
            put("reach", signature.reach.as_str().into());
        }
        AnyEntry::Controller(entry) => {
            let signature = entry.signature();
            let signal = signature.signal.then(|| json!({ "type": "scalar", "docs": signature.signal_docs }));
            put("signal", json!(signal));
        }
    }
    Value::Object(out)
}

fn parameter(of: &Parameter) -> Value {
    let sorts;
    let (ty, choices) = match of.ty {
        ParameterType::Number => ("number", None),
        ParameterType::Whole => ("whole number", None),
        ParameterType::Bool => ("bool", None),
        ParameterType::Text => ("text", None),
        ParameterType::Range => ("range", None),
        ParameterType::Choice(names) => ("choice", Some(names)),
        ParameterType::Field(of) => {
            sorts = of.iter().map(|sort| sort.as_str()).collect::<Vec<_>>().join(" or ");
            (sorts.as_str(), None)
        }
        _ => ("other", None),
    };
    let end = |limit: Limit| match limit {
        Limit::None => Value::Null,
        Limit::Included(value) => json!({ "value": value, "included": true }),
        Limit::Excluded(value) => json!({ "value": value, "included": false }),
    };
    json!({
        "name": of.name,
        "type": ty,
        "choices": choices,
        "required": of.presence == Presence::Required,
        "default": of.default_value().map(literal),
        "min": end(of.limits.lo),
        "max": end(of.limits.hi),
        "unit": of.unit,
        "docs": of.docs,
    })
}

fn literal(value: Literal) -> Value {
    match value {
        Literal::Number(value) => value.into(),
        Literal::Bool(value) => value.into(),
        Literal::Text(text) => text.into(),
        Literal::Range(lo, hi) => json!([lo, hi]),
    }
}

fn input(of: &Input) -> Value {
    let default = match of.default {
        InputDefault::Field => json!({ "field": of.name }),
        InputDefault::Constant(value) => value.into(),
        InputDefault::Required => Value::Null,
    };
    json!({
        "name": of.name,
        "type": of.ty.to_string(),
        "unit": of.expected_unit(),
        "gradient": of.gradient,
        "positional": of.positional,
        "required": of.default == InputDefault::Required,
        "default": default,
        "docs": of.docs,
    })
}

fn extra(of: &Extra) -> Value {
    json!({ "name": of.name, "type": of.ty.to_string(), "unit": of.unit, "docs": of.docs })
}

fn aliases(of: &[Alias]) -> Value {
    of.iter().map(|of| json!({ "name": of.name, "framework": of.framework, "remark": of.remark })).collect()
}
