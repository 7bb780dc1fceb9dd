//! Values of ``param``s and the temperature between Python and the library.

use aent::program::{ParamValue, TemperatureOf};
use pyo3::prelude::*;
use pyo3::types::PyBool;
use std::collections::BTreeMap;
use std::convert::Infallible;

/// A number, a truth value or a string.
#[derive(Clone)]
pub(crate) struct Param(pub(crate) ParamValue);

/// Params by name.
pub(crate) type Params = BTreeMap<String, Param>;

impl<'py> FromPyObject<'_, 'py> for Param {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        // A truth value of Python is a number too, so it is asked for first.
        if let Ok(truth) = value.cast::<PyBool>() {
            return Ok(Self(truth.is_true().into()));
        }
        if let Ok(text) = value.extract::<String>() {
            return Ok(Self(text.into()));
        }
        Ok(Self(value.extract::<f64>()?.into()))
    }
}

impl<'py> IntoPyObject<'py> for Param {
    type Target = PyAny;
    type Output = Bound<'py, PyAny>;
    type Error = Infallible;

    fn into_pyobject(self, py: Python<'py>) -> Result<Self::Output, Infallible> {
        Ok(match self.0 {
            ParamValue::Number(value) => value.into_pyobject(py)?.into_any(),
            ParamValue::Bool(value) => value.into_pyobject(py)?.to_owned().into_any(),
            ParamValue::Text(value) => value.into_pyobject(py)?.into_any(),
        })
    }
}

/// A number, or the name of the batch field with the temperature of each row.
#[derive(IntoPyObject)]
pub(crate) enum Temperature {
    /// One for all rows.
    Number(f64),
    /// One for each row.
    Field(&'static str),
}

impl Temperature {
    /// That of a program now.
    pub(crate) fn of(program: &aent::Program) -> Self {
        match &program.temperature_of {
            TemperatureOf::Row(field) => Self::Field(field.as_str()),
            TemperatureOf::File | TemperatureOf::Step { .. } => Self::Number(program.temperature),
        }
    }
}
