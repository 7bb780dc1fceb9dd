//! The backward pass of row statistics, which `package/aent/node.py` puts into torch's graph.

use super::convert::{PyTensor, of_python, to_python};
use crate::errors;
use aent::tensor::{Backward, Differentiated, HostTensor, Tensor};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyTuple;

/// What is left for the backward pass.
#[pyclass(module = "aent._aent", frozen)]
pub(crate) struct Half(Box<dyn Backward>);

/// A gradient for each input, and which of them lie where their inputs do.
type Gradients = (Vec<Option<Py<PyAny>>>, Vec<bool>);

#[pymethods]
impl Half {
    /// The gradients of the inputs, none where none is wanted, and whether each lies in the storage of its input.
    fn backward(
        &self,
        py: Python<'_>,
        inputs: Vec<Bound<'_, PyAny>>,
        saved: Vec<Bound<'_, PyAny>>,
        values: Bound<'_, PyAny>,
        cotangents: Bound<'_, PyAny>,
        wanted: Vec<bool>,
    ) -> PyResult<Gradients> {
        errors::guarded(|| {
            let all = |of: Vec<Bound<'_, PyAny>>| of.into_iter().map(of_python).collect::<Vec<Tensor>>();
            let (inputs, saved) = (all(inputs), all(saved));
            let (values, cotangents) = (of_python(values), of_python(cotangents));
            let gradients = self.0.backward(&inputs, &saved, &values, &cotangents, &wanted);
            let gradients = gradients.map_err(|error| errors::of_backward(error.to_string()))?;
            let lies_over = |(gradient, input): (&Option<Tensor>, &Tensor)| {
                let gradient = gradient.as_ref().and_then(|gradient| gradient.pointer().ok().flatten());
                gradient.is_some() && gradient == input.pointer().ok().flatten()
            };
            let over = gradients.iter().zip(&inputs).map(lies_over).collect();
            let gradients = gradients.iter().map(|gradient| {
                gradient.as_ref().map(|gradient| to_python(py, gradient).map(Bound::unbind)).transpose()
            });
            Ok((gradients.collect::<PyResult<_>>()?, over))
        })
    }
}

/// The values as a result of the inputs.
pub(super) fn attach(
    values: &Bound<'_, PyAny>,
    tensors: &Differentiated<'_>,
    backward: Box<dyn Backward>,
) -> PyResult<Box<dyn HostTensor>> {
    static ATTACH: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = values.py();
    let attach =
        ATTACH.get_or_try_init(py, || Ok::<_, PyErr>(py.import("aent.node")?.getattr("attach")?.unbind()))?;
    let all = |of: &[&Tensor]| -> PyResult<Vec<Bound<'_, PyAny>>> {
        of.iter().map(|tensor| to_python(py, tensor)).collect()
    };
    let (inputs, saved) = (PyTuple::new(py, all(tensors.inputs)?)?, PyTuple::new(py, all(tensors.saved)?)?);
    let attached = attach.bind(py).call1((Half(backward), values, inputs, saved))?;
    Ok(PyTensor::boxed(attached))
}
