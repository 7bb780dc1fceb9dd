//! A call of a term in Python.

use super::arguments::given;
use super::definition::Definition;
use crate::errors;
use crate::host::{is_tensor, of_python, to_python};
use aent::plugin::{EvalError, Signature, Term, TermContext, TermValue};
use aent::tensor::Tensor;
use aent::types::Type;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use std::fmt;

/// Makes a call from its constant arguments.
pub(crate) fn build(
    definition: &'static Definition,
    args: &mut dyn erased_serde::Deserializer<'_>,
) -> erased_serde::Result<Box<dyn Term>> {
    let values = erased_serde::deserialize::<Map<String, Value>>(args)?;
    Ok(Box::new(PythonTerm { definition, given: given(definition.declaration.parameters, values) }))
}

struct PythonTerm {
    definition: &'static Definition,
    given: Vec<(&'static str, Value)>,
}

impl fmt::Debug for PythonTerm {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}{:?}", self.definition.declaration.name, self.given)
    }
}

impl Serialize for PythonTerm {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.given.iter().map(|(name, value)| (name, value)))
    }
}

impl Term for PythonTerm {
    /// A placeholder: a function's signature is in its [`Definition`].
    fn signature() -> Signature {
        Signature::new(Type::TOKEN)
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        Python::attach(|py| {
            self.call(py, ctx).map_err(|error| {
                let text = error.to_string();
                errors::keep_cause(py, error);
                EvalError(text)
            })
        })
    }
}

impl PythonTerm {
    fn call(&self, py: Python<'_>, ctx: &TermContext<'_>) -> PyResult<TermValue> {
        let arguments = PyDict::new(py);
        for input in &self.definition.signature.inputs {
            let tensor = to_python(py, ctx.input(input.name))?;
            arguments.set_item(input.name, tensor)?;
        }
        for (name, value) in &self.given {
            arguments.set_item(name, pythonize::pythonize(py, value)?)?;
        }
        let result = self.definition.function.bind(py).call((), Some(&arguments))?;
        let extras = &self.definition.signature.extras;
        if extras.is_empty() {
            return Ok(tensor(&result, "the result")?.into());
        }
        let Ok(Ok((value, given))) =
            result.cast::<PyTuple>().map(|pair| pair.extract::<(Bound<'_, PyAny>, Bound<'_, PyDict>)>())
        else {
            return Err(errors::of_term(format!(
                "expected `(value, {{\"{}\": ...}})`, found a `{}`",
                extras[0].name,
                result.get_type().name()?
            )));
        };
        let mut value = TermValue::from(tensor(&value, "the result")?);
        for extra in extras {
            let name = extra.name;
            let Some(found) = given.get_item(name)? else {
                return Err(errors::of_term(format!("the extra `{name}` was declared and is missing")));
            };
            value = value.with(name, tensor(&found, name)?);
        }
        Ok(value)
    }
}

fn tensor(value: &Bound<'_, PyAny>, what: &str) -> PyResult<Tensor> {
    if is_tensor(value)? {
        return Ok(of_python(value.clone()));
    }
    let class = value.get_type().name()?;
    Err(errors::of_term(format!("{what}: expected a `torch.Tensor`, found a `{class}`")))
}
