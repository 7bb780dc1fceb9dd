//! What a Python function says of itself, as the library wants to hear it.

use super::arguments::Constant;
use aent::interval::Interval;
use aent::plugin::{Declaration, Extra, Input, InputDefault, Reach, Signature};
use aent::types::Type;
use pyo3::{Py, PyAny};
use serde::Deserialize;

/// What `definition.py` reads off a function.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Description {
    pub(crate) name: String,
    owner: String,
    version: String,
    docs: String,
    inputs: Vec<InputDescription>,
    constants: Vec<Constant>,
    result: TypeName,
    extras: Vec<(String, TypeName)>,
    gradient: bool,
    reach: ReachName,
    interval: Option<(f64, f64)>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct InputDescription {
    name: String,
    ty: TypeName,
    default: Option<f64>,
}

impl InputDescription {
    fn default(&self) -> InputDefault {
        match self.default {
            Some(value) => InputDefault::Constant(value),
            None if aent::fields::find(&self.name).is_some() => InputDefault::Field,
            None => InputDefault::Required,
        }
    }
}

/// A call with everything that it must give.
fn example(of: &Description) -> String {
    let inputs = of.inputs.iter().filter(|input| input.default() == InputDefault::Required);
    let inputs = inputs.map(|input| format!("{} = {}", input.name, input.ty.example()));
    let constants = of.constants.iter().filter_map(Constant::example);
    format!("{}({})", of.name, inputs.chain(constants).collect::<Vec<_>>().join(", "))
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum TypeName {
    Token,
    Seq,
    Scalar,
    TokenBool,
    SeqBool,
    TokenInt,
    SeqInt,
}

impl TypeName {
    /// A value of that type in every file.
    fn example(self) -> &'static str {
        match self {
            Self::Token => "log_prob",
            Self::Seq => "seq_mean(log_prob)",
            Self::Scalar => "token_mean(log_prob)",
            Self::TokenBool => "response_mask",
            Self::SeqBool => "seq_mean(log_prob) < 0",
            Self::TokenInt | Self::SeqInt => "group",
        }
    }
}

impl From<TypeName> for Type {
    fn from(name: TypeName) -> Self {
        match name {
            TypeName::Token => Type::TOKEN,
            TypeName::Seq => Type::SEQ,
            TypeName::Scalar => Type::SCALAR,
            TypeName::TokenBool => Type::TOKEN.to_bool(),
            TypeName::SeqBool => Type::SEQ.to_bool(),
            TypeName::TokenInt => Type::TOKEN.to_int(),
            TypeName::SeqInt => Type::SEQ.to_int(),
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ReachName {
    Token,
    Sequence,
    Group,
    Batch,
}

impl From<ReachName> for Reach {
    fn from(name: ReachName) -> Self {
        match name {
            ReachName::Token => Reach::Token,
            ReachName::Sequence => Reach::Sequence,
            ReachName::Group => Reach::Group,
            ReachName::Batch => Reach::Batch,
        }
    }
}

/// A function with its signature.
pub(crate) struct Definition {
    pub(crate) declaration: Declaration,
    pub(crate) function: Py<PyAny>,
    pub(crate) signature: Signature,
}

impl Definition {
    /// Puts a description into the library's words. An error says which default is of another type.
    pub(crate) fn new(of: Description, function: Py<PyAny>) -> Result<Self, String> {
        let example = leak(example(&of));
        let parameters = of.constants.into_iter().map(Constant::parameter).collect::<Result<Vec<_>, _>>();
        let parameters = parameters.map_err(|error| format!("`{}`, {error}", of.name))?;
        let declaration = Declaration::new(leak(of.name), leak(of.owner), leak(of.version))
            .docs(leak(of.docs))
            .example(example)
            .parameters(parameters.leak());
        let mut signature = Signature::new(of.result.into()).reach(of.reach.into());
        signature.gradient = of.gradient;
        if let Some((lo, hi)) = of.interval {
            signature = signature.interval(Interval::new(lo, hi));
        }
        for input in of.inputs {
            let (default, ty) = (input.default(), input.ty.into());
            let name = leak(input.name);
            // What the batch brings is given by name, so that no other tensor takes its place by accident.
            signature = signature.input(match default {
                InputDefault::Field => Input::field(name, ty),
                InputDefault::Constant(value) => Input::constant(name, ty, value).positional(),
                InputDefault::Required => Input::required(name, ty).positional(),
            });
        }
        for (name, ty) in of.extras {
            signature = signature.extra(Extra::new(leak(name), ty.into(), ""));
        }
        Ok(Self { declaration, function, signature })
    }
}

/// The library's names live as long as the program, as those of linked crates do.
fn leak(text: String) -> &'static str {
    text.leak()
}
