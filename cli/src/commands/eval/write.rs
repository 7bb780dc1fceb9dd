//! The results of a step as a safetensors file.

use super::step::Done;
use aent::program::Op;
use aent::tensor::{DType, Tensor, TensorError};
use aent::{Error, Program, Result, fields};
use safetensors::{Dtype, View};
use std::borrow::Cow;
use std::cell::RefCell;
use std::io;
use std::path::Path;

/// Writes the loss, the gradients and every `let`.
pub(super) fn results(path: &Path, program: &Program, done: &Done) -> Result<()> {
    let failed = RefCell::new(None);
    let stored = |tensor: &Tensor| Stored { tensor: tensor.detach(), shape: shape(tensor), failed: &failed };
    let mut tensors = vec![("loss".to_owned(), stored(done.output.loss()))];
    for (name, gradient) in &done.gradients {
        if fields::is_of_vocabulary(name) || reads(program, name) {
            tensors.push((format!("grad.{name}"), stored(gradient)));
        }
    }
    for (name, value) in done.output.lets() {
        tensors.push((format!("let.{name}"), stored(value)));
    }
    let fill = |beside: &Path| {
        safetensors::serialize_to_file(tensors, None, beside).map_err(io::Error::other)?;
        failed.take().map_or(Ok(()), |error| Err(io::Error::other(error)))
    };
    let fail = |error: io::Error| Error::Step(format!("cannot write `{}`: {error}", path.display()));
    aent_files::replace(path, fill).map_err(fail)
}

/// A tensor that is brought to the host when its turn comes, so that one copy is held at a time.
struct Stored<'a> {
    tensor: Tensor,
    shape: Vec<usize>,
    /// Why a tensor could not be brought.
    failed: &'a RefCell<Option<TensorError>>,
}

impl View for Stored<'_> {
    fn dtype(&self) -> Dtype {
        dtype(self.tensor.dtype())
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.tensor.to_bytes().unwrap_or_else(|error| {
            self.failed.replace(Some(error));
            vec![0; self.data_len()]
        }))
    }

    fn data_len(&self) -> usize {
        self.tensor.numel() * self.tensor.dtype().bytes()
    }
}

fn shape(tensor: &Tensor) -> Vec<usize> {
    tensor.size().into_iter().map(|length| length as usize).collect()
}

/// The types that losses, gradients and values have.
fn dtype(dtype: DType) -> Dtype {
    match dtype {
        DType::Bool => Dtype::BOOL,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::F64 => Dtype::F64,
        DType::I64 => Dtype::I64,
        _ => Dtype::F32,
    }
}

/// Whether the program reads that field.
fn reads(program: &Program, name: &str) -> bool {
    program.nodes.iter().any(|node| match &node.op {
        Op::LogProb(_) => name == "log_prob",
        op => op.field() == Some(name),
    })
}
