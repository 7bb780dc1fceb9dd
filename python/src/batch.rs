//! From Python's tensors by name to a batch. Tensors are shared, never copied.

use crate::errors::of_batch;
use aent::fields;
use aent::near::nearest;
use aent::{Batch, Program};
use pyo3::prelude::*;
use pyo3::types::{PyAny, PyDict, PyMapping};
use pyo3_tch::PyTensor;
use std::sync::Arc;

/// The names that a batch for a program may use.
#[derive(Clone)]
pub(crate) struct Names(Arc<[String]>);

impl Names {
    /// Every field that a batch for this program may have.
    pub(crate) fn of(program: &Program) -> Self {
        let declared = program.inputs.iter().map(|input| input.name.clone());
        Self(fields::names().map(str::to_owned).chain(declared).collect())
    }

    /// The fields of a mapping, and over them those given by name. A mapping may hold whatever a trainer has: names that
    /// are no fields are passed over. What is given by name is meant, and must be one. `None` is no field.
    pub(crate) fn read(
        &self,
        mapping: Option<&Bound<'_, PyMapping>>,
        named: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Batch> {
        let mut batch = Batch::new();
        if let Some(mapping) = mapping {
            for item in mapping.items()?.iter() {
                let (name, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item.extract()?;
                let Ok(name) = name.extract::<String>() else { continue };
                if self.contains(&name) && !value.is_none() {
                    batch = add(batch, name, &value)?;
                }
            }
        }
        for (name, value) in named.into_iter().flatten() {
            let name: String = name.extract()?;
            if !self.contains(&name) {
                return Err(of_batch(self.unknown(&name)));
            }
            if !value.is_none() {
                batch = add(batch, name, &value)?;
            }
        }
        Ok(batch)
    }

    fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|known| known == name)
    }

    fn unknown(&self, name: &str) -> String {
        let way_out = match nearest(name, self.0.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("a field of your own needs a line `input {name}: token` in the file"),
        };
        format!("there is no batch field `{name}`; {way_out}")
    }
}

fn add(batch: Batch, name: String, value: &Bound<'_, PyAny>) -> PyResult<Batch> {
    match value.extract::<PyTensor>() {
        Ok(tensor) => Ok(batch.with(name, tensor.0)),
        Err(_) => Err(of_batch(format!(
            "`{name}`: expected a `torch.Tensor`, found a `{}`",
            value.get_type().name()?
        ))),
    }
}
