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

/// A gradient for each input, and the indices of inputs that their gradients overwrite.
type Gradients = (Vec<Option<Py<PyAny>>>, Vec<usize>);

#[pymethods]
impl Half {
    /// The gradients of the first ``count`` tensors, none where none is wanted; the other tensors were saved beside them.
    /// Then the indices of those that their gradients overwrite.
    fn backward(
        &self,
        py: Python<'_>,
        tensors: &Bound<'_, PyTuple>,
        count: usize,
        cotangents: Bound<'_, PyAny>,
        wanted: Vec<bool>,
    ) -> PyResult<Gradients> {
        errors::guarded(|| {
            let tensors: Vec<Tensor> = tensors.iter().map(of_python).collect();
            let (inputs, saved) = tensors.split_at(count);
            let gradients = self.0.backward(inputs, saved, &of_python(cotangents), &wanted);
            let gradients = gradients.map_err(|error| errors::of_backward(error.to_string()))?;
            let lies_over = |index: &usize| {
                let gradient = gradients[*index].as_ref();
                let gradient = gradient.and_then(|gradient| gradient.pointer().ok().flatten());
                gradient.is_some() && gradient == inputs[*index].pointer().ok().flatten()
            };
            let overwritten =
                if self.0.overwrites() { (0..count).filter(lies_over).collect() } else { Vec::new() };
            let gradients = gradients.iter().map(|gradient| {
                gradient.as_ref().map(|gradient| to_python(py, gradient).map(Bound::unbind)).transpose()
            });
            Ok((gradients.collect::<PyResult<_>>()?, overwritten))
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
    let half = Half(backward).into_pyobject(py)?.into_any();
    let count = tensors.inputs.len().into_pyobject(py)?.into_any();
    let mut arguments = vec![half, (values,).into_pyobject(py)?.into_any(), count];
    for tensor in tensors.inputs.iter().chain(tensors.saved) {
        arguments.push(to_python(py, tensor)?);
    }
    Ok(PyTensor::boxed(attach.bind(py).call1(PyTuple::new(py, arguments)?)?))
}
