//! A call of a term in Python.

use super::arguments::{Call, Given};
use super::definition::Definition;
use crate::errors;
use aent::plugin::{EvalError, Signature, Term, TermContext, TermValue};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3_tch::PyTensor;
use pyo3_tch::tch::Tensor;
use serde::de::Deserializer as _;
use serde::{Serialize, Serializer};
use std::fmt;

/// Makes a call from its constant arguments.
pub(crate) fn build(
    definition: &'static Definition,
    args: &mut dyn erased_serde::Deserializer<'_>,
) -> erased_serde::Result<Box<dyn Term>> {
    let Definition { info, constants, fields, .. } = definition;
    let given = args.deserialize_struct(info.name, fields, Call { constants, fields })?;
    Ok(Box::new(PythonTerm { definition, given }))
}

struct PythonTerm {
    definition: &'static Definition,
    given: Given,
}

impl fmt::Debug for PythonTerm {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}{:?}", self.definition.info.name, self.given.0)
    }
}

impl Serialize for PythonTerm {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.given.serialize(serializer)
    }
}

impl Term for PythonTerm {
    fn signature(&self) -> Signature {
        self.definition.signature.clone()
    }

    fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
        Python::with_gil(|py| {
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
            arguments.set_item(input.name, PyTensor(ctx.input(input.name).shallow_clone()))?;
        }
        for (name, value) in &self.given.0 {
            arguments.set_item(name, pythonize::pythonize(py, value)?)?;
        }
        let result = self.definition.function.bind(py).call((), Some(&arguments))?;
        let extras = &self.definition.signature.extras;
        if extras.is_empty() {
            return Ok(tensor(&result, "the result")?.into());
        }
        let Ok(Ok((value, given))) =
            result.downcast::<PyTuple>().map(|pair| pair.extract::<(Bound<'_, PyAny>, Bound<'_, PyDict>)>())
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
    match value.extract::<PyTensor>() {
        Ok(tensor) => Ok(tensor.0),
        Err(_) => Err(errors::of_term(format!(
            "{what}: expected a `torch.Tensor`, found a `{}`",
            value.get_type().name()?
        ))),
    }
}
