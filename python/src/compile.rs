//! From a text or a file to a program.

use crate::errors;
use crate::program::Program;
use aent::{Compiler, Failure, Kernels, Options, Session};
use aent_show::Colour;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Compiles a text, or a file where `path` is given, with parameters set from outside.
#[pyfunction]
#[pyo3(signature = (name, text, params, kernels, overwrite_logits, chunk_bytes, validate, lets, import_roots))]
#[expect(clippy::too_many_arguments, reason = "the package's `compile` names and documents them")]
pub(crate) fn compile(
    py: Python<'_>,
    name: &str,
    text: Option<&str>,
    params: BTreeMap<String, f64>,
    kernels: &str,
    overwrite_logits: bool,
    chunk_bytes: Option<usize>,
    validate: bool,
    lets: bool,
    import_roots: Vec<PathBuf>,
) -> PyResult<Program> {
    let kernels: Kernels = kernels.parse().map_err(|_| {
        PyValueError::new_err(format!("`kernels`: expected `auto` or `reference`, found `{kernels}`"))
    })?;
    let chunk_bytes = chunk_bytes.unwrap_or(Options::default().chunk_bytes);
    let options = Options { kernels, overwrite_logits, chunk_bytes, validate, lets };
    let compiler = params.into_iter().fold(compiler(import_roots), |compiler, (name, value)| compiler.set(name, value));
    let compiled = run(&compiler, name, text);
    match compiled {
        Ok(program) => Ok(Program::new(Session::with(program, options))),
        Err(failure) => Err(errors::of_spec(py, &failure.diagnostics, &failure.sources)),
    }
}

/// Everything found in a text or a file: drawn, and as data.
#[pyfunction]
pub(crate) fn diagnose(
    py: Python<'_>,
    name: &str,
    text: Option<&str>,
    import_roots: Vec<PathBuf>,
) -> PyResult<(String, PyObject)> {
    let compiled = run(&compiler(import_roots), name, text);
    let (found, sources) = match &compiled {
        Ok(program) => (program.warnings(), program.sources()),
        Err(failure) => (&failure.diagnostics, &failure.sources),
    };
    let data = pythonize::pythonize(py, &aent_show::json(found, sources))?;
    Ok((aent_show::text(found, sources, Colour::Plain), data.unbind()))
}

/// A compiler that also imports from the folders.
fn compiler(import_roots: Vec<PathBuf>) -> Compiler {
    import_roots.into_iter().fold(Compiler::new(), Compiler::allow_imports)
}

fn run(compiler: &Compiler, name: &str, text: Option<&str>) -> Result<aent::Program, Failure> {
    match text {
        Some(text) => compiler.compile(name, text),
        None => compiler.compile_file(Path::new(name)),
    }
}
