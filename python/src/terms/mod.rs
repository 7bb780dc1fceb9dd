//! Terms written in Python: described by the package's `definition.py`, registered beside all others.

mod arguments;
mod definition;
mod term;

use aent::plugin::{AnyEntry, Info, TermEntry, register};
use definition::{Definition, Description};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// Registers a Python function as a term. A function of the same name from the same module is replaced in programs that
/// are compiled from now on.
#[pyfunction]
pub(crate) fn register_term(description: &Bound<'_, PyAny>, function: PyObject) -> PyResult<()> {
    let description: Description = pythonize::depythonize(description)?;
    if let Some(owner) = taken(&description.name) {
        return Err(PyValueError::new_err(format!(
            "`{0}` is a function of {owner} already; a name of your own is `mine::{0}`",
            description.name
        )));
    }
    // An entry lives as long as the program, as those of linked crates do.
    let definition: &'static Definition = Box::leak(Box::new(Definition::new(description, function)));
    let build = move |args: &mut dyn erased_serde::Deserializer<'_>| term::build(definition, args);
    let Info { name, owner, version, docs, example } = definition.info;
    let entry =
        TermEntry { info: Info { name, owner, version, docs, example }, build: Box::leak(Box::new(build)) };
    register(AnyEntry::Term(Box::leak(Box::new(entry)))).map_err(PyValueError::new_err)
}

/// Every name that a file can call or read, or formula, arguments and sources of one of them.
#[pyfunction]
#[pyo3(signature = (name = None))]
pub(crate) fn terms(name: Option<&str>) -> PyResult<String> {
    name.map_or_else(|| Ok(aent_show::terms()), |name| aent_show::term(name).map_err(PyValueError::new_err))
}

/// Who in the language has a name that no registry knows of.
fn taken(name: &str) -> Option<String> {
    if aent::BUILTINS.iter().any(|builtin| builtin.name == name) {
        return Some("the language".to_owned());
    }
    let function = aent::load::functions().into_iter().find(|function| function.name == name)?;
    Some(format!("the library (`{}`)", function.file))
}
