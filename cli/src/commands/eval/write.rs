//! The results of a step as a safetensors file.

use super::step::Done;
use aent::program::Op;
use aent::{Error, Program, Result, fields};
use std::path::Path;
use tch::{Device, Tensor};

/// Writes the loss, the gradients and every `let`: beside the file first, then in its place.
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
    let fail =
        |error: &dyn std::fmt::Display| Error::Step(format!("cannot write `{}`: {error}", path.display()));
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let beside = tempfile::Builder::new()
        .prefix(".aent-")
        .tempfile_in(folder)
        .map_err(|error| fail(&error))?
        .into_temp_path();
    Tensor::write_safetensors(&tensors, &beside).map_err(|error| fail(&error))?;
    make_readable(&beside).map_err(|error| fail(&error))?;
    beside.persist(path).map_err(|error| fail(&error.error))
}

/// A temporary file is for its owner alone; a result is for whom other files are.
#[cfg(unix)]
fn make_readable(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn make_readable(_: &Path) -> std::io::Result<()> {
    Ok(())
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
