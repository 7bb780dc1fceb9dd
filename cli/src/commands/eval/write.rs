//! The results of a step as a safetensors file.

use super::read::first_line;
use super::step::Done;
use aent::program::Op;
use aent::{Error, Program, Result, fields};
use std::io;
use std::path::Path;
use tch::{Device, Tensor};

/// Writes the loss, the gradients and every `let`.
pub(super) fn results(path: &Path, program: &Program, done: &Done) -> Result<()> {
    let mut tensors = vec![("loss".to_owned(), on_host(done.output.loss())?)];
    for (name, gradient) in &done.gradients {
        if fields::is_of_vocabulary(name) || reads(program, name) {
            tensors.push((format!("grad.{name}"), on_host(gradient)?));
        }
    }
    for (name, value) in done.output.lets() {
        tensors.push((format!("let.{name}"), on_host(value)?));
    }
    let fail = |error: &io::Error| Error::Step(format!("cannot write `{}`: {error}", path.display()));
    let fill = |beside: &Path| {
        Tensor::write_safetensors(&tensors, beside).map_err(|error| io::Error::other(first_line(&error)))
    };
    aent_files::replace(path, fill).map_err(|error| fail(&error))
}

fn on_host(tensor: &Tensor) -> Result<Tensor> {
    Ok(tensor.f_detach()?.f_to_device(Device::Cpu)?.f_contiguous()?)
}

/// Whether the program reads that field.
fn reads(program: &Program, name: &str) -> bool {
    program.nodes.iter().any(|node| match &node.op {
        Op::LogProb(_) => name == "log_prob",
        op => op.field() == Some(name),
    })
}
