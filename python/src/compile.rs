//! From a text or a file to a program.

use crate::errors;
use crate::param::Params;
use crate::program::{Origin, Program};
use aent::load::Loader;
use aent::plan::Need;
use aent::{Compiler, Failure, Kernels, Options, Session};
use aent_show::Colour;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

/// Compiles a text, or a file where there is none. With ``sources``, imports are read from there and not from the disk.
#[pyfunction]
#[pyo3(signature = (name, text, params, kernels, overwrite_logits, chunk_bytes, validate, lets, import_roots, sources = None, known = None))]
#[expect(clippy::too_many_arguments, reason = "the package's `compile` names and documents them")]
pub(crate) fn compile(
    py: Python<'_>,
    name: &str,
    text: Option<&str>,
    params: Params,
    kernels: &str,
    overwrite_logits: bool,
    chunk_bytes: Option<usize>,
    validate: bool,
    lets: bool,
    import_roots: Vec<PathBuf>,
    sources: Option<BTreeMap<String, String>>,
    known: Option<Vec<String>>,
) -> PyResult<Program> {
    let kernels: Kernels = kernels.parse().map_err(|_| {
        PyValueError::new_err(format!("`kernels`: expected `auto` or `reference`, found `{kernels}`"))
    })?;
    let chunk_bytes = chunk_bytes.unwrap_or(Options::default().chunk_bytes);
    let options = Options { kernels, overwrite_logits, chunk_bytes, validate, lets };
    let mut compiler = compiler(&params, import_roots);
    if let Some(known) = known {
        compiler = compiler.known(known.iter().map(|name| need(name)).collect::<PyResult<Vec<Need>>>()?);
    }
    if let Some(sources) = sources {
        compiler = compiler.loader(Carried(sources));
    }
    match run(&compiler, name, text) {
        Ok(program) => Ok(Program::new(Session::with(program, options), Origin { params, options })),
        Err(failure) => Err(errors::of_spec(py, &failure.diagnostics, &failure.sources)),
    }
}

/// Everything found in a text or a file: drawn, and as data.
#[pyfunction]
pub(crate) fn diagnose(
    py: Python<'_>,
    name: &str,
    text: Option<&str>,
    params: Params,
    import_roots: Vec<PathBuf>,
) -> PyResult<(String, Py<PyAny>)> {
    let compiled = run(&compiler(&params, import_roots), name, text);
    let (found, sources) = match &compiled {
        Ok(program) => (program.warnings(), program.sources()),
        Err(failure) => (&failure.diagnostics, &failure.sources),
    };
    let data = pythonize::pythonize(py, &aent_show::json(found, sources))?;
    Ok((aent_show::text(found, sources, Colour::Plain), data.unbind()))
}

/// A compiler with parameters set, which also imports from the folders.
fn compiler(params: &Params, import_roots: Vec<PathBuf>) -> Compiler {
    let compiler = import_roots.into_iter().fold(Compiler::new(), Compiler::allow_imports);
    params.iter().fold(compiler, |compiler, (name, value)| compiler.set(name, value.0.clone()))
}

fn run(compiler: &Compiler, name: &str, text: Option<&str>) -> Result<aent::Program, Failure> {
    match text {
        Some(text) => compiler.compile(name, text),
        None => compiler.compile_file(Path::new(name)),
    }
}

/// What an engine knows, by name.
fn need(name: &str) -> PyResult<Need> {
    Need::named(name).ok_or_else(|| {
        let names = Need::ALL.map(|need| format!("`{}`", need.as_str())).join(", ");
        PyValueError::new_err(format!("`known`: expected names of {names}, found `{name}`"))
    })
}

/// The texts that a program carries with it to another process, by the names that it knows them by.
struct Carried(BTreeMap<String, String>);

impl Loader for Carried {
    fn read(&self, path: &Path) -> std::io::Result<Vec<u8>> {
        let text = self.0.get(&path.display().to_string());
        text.map(|text| text.clone().into_bytes()).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "the program was not compiled with a file of this name")
        })
    }
}
