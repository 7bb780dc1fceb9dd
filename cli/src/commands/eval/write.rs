//! Writes the results of a step to a safetensors file.

use super::step::Done;
use aent::program::Op;
use aent::tensor::{DType, Tensor};
use aent::{Error, Program, Result, fields};
use serde_json::{Map, json};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Writes the loss, the gradients and every `let`.
pub(super) fn results(path: &Path, program: &Program, done: &Done) -> Result<()> {
    let mut tensors = vec![("loss".to_owned(), done.output.loss().detach())];
    for (name, gradient) in &done.gradients {
        if fields::is_of_vocabulary(name) || reads(program, name) {
            tensors.push((format!("grad.{name}"), gradient.detach()));
        }
    }
    for (name, value) in done.output.lets() {
        tensors.push((format!("let.{name}"), value.clone()));
    }
    let fail = |error: io::Error| Error::Step(format!("cannot write `{}`: {error}", path.display()));
    aent_files::replace(path, |beside| write(&tensors, beside)).map_err(fail)
}

/// Writes a safetensors file: the length of the header, the header, and the tensors in order, each copied to the host
/// when its turn comes. The crate `safetensors` renames a file into place, which would replace a device.
fn write(tensors: &[(String, Tensor)], path: &Path) -> io::Result<()> {
    let mut header = Map::new();
    let mut end = 0;
    for (name, tensor) in tensors {
        let start = end;
        end += tensor.numel() * tensor.dtype().bytes();
        let entry =
            json!({ "dtype": dtype(tensor.dtype()), "shape": tensor.size(), "data_offsets": [start, end] });
        header.insert(name.clone(), entry);
    }
    let mut header = serde_json::to_vec(&header)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut file = BufWriter::new(File::create(path)?);
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(&header)?;
    for (_, tensor) in tensors {
        file.write_all(&tensor.to_bytes().map_err(io::Error::other)?)?;
    }
    file.flush()
}

/// The format's name of a type that losses, gradients and values have.
fn dtype(dtype: DType) -> &'static str {
    match dtype {
        DType::Bool => "BOOL",
        DType::F16 => "F16",
        DType::BF16 => "BF16",
        DType::F64 => "F64",
        DType::I64 => "I64",
        _ => "F32",
    }
}

/// Whether the program reads this field.
fn reads(program: &Program, name: &str) -> bool {
    program.nodes.iter().any(|node| match &node.op {
        Op::LogProb(_) => name == "log_prob",
        op => op.fields().contains(&name),
    })
}
