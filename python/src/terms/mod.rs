//! Terms written in Python: described by the package's `definition.py`, registered beside all others.

mod arguments;
mod definition;
mod term;

use aent::plugin::{AnyEntry, TermEntry, register};
use aent::span::SourceId;
use aent_show::Search;
use definition::{Definition, Description};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// Registers a Python function as a term. A function of the same name from the same module is replaced in programs that
/// are compiled from now on.
#[pyfunction]
pub(crate) fn register_term(description: &Bound<'_, PyAny>, function: Py<PyAny>) -> PyResult<()> {
    let description: Description = pythonize::depythonize(description)?;
    let name = description.name.as_str();
    let last = name.rsplit("::").next().unwrap_or(name);
    if let Some(word) = name.split("::").find(|part| is_word(part)) {
        let what = if word == name { "is" } else { &format!("is no name: `{word}` is") };
        return Err(PyValueError::new_err(format!(
            "`{name}` {what} a word of the language; a name of your own is `mine::{last}_term`"
        )));
    }
    if let Some(what) = taken(name) {
        return Err(PyValueError::new_err(format!(
            "`{name}` is {what} already; a name of your own is `mine::{last}`"
        )));
    }
    // An entry lives as long as the program, as those of linked crates do.
    let definition = Definition::new(description, function).map_err(PyValueError::new_err)?;
    let definition: &'static Definition = Box::leak(Box::new(definition));
    let build = move |args: &mut dyn erased_serde::Deserializer<'_>| term::build(definition, args);
    let declare = || definition.signature.clone();
    let entry =
        TermEntry::hosted(definition.declaration, Box::leak(Box::new(declare)), Box::leak(Box::new(build)));
    register(AnyEntry::Term(Box::leak(Box::new(entry)))).map_err(PyValueError::new_err)
}

/// Everything that a file can call or read: a list, or of one name its formula, arguments, defaults and sources.
///
/// Raises:
///     ValueError: there is no such name; the message says which was probably meant, or what it is called here.
#[pyfunction]
#[pyo3(signature = (name = None))]
pub(crate) fn terms(name: Option<&str>) -> PyResult<String> {
    match name {
        None => Ok(aent_show::terms(&Search::default())),
        Some(name) => aent_show::term(name).map_err(PyValueError::new_err),
    }
}

/// Everything that a file can call or read, as data: lists ``terms``, ``reductions``, ``controllers``, ``library``,
/// ``functions`` and ``fields`` of dictionaries with names, signatures, parameters, inputs, results and documentation, as
/// ``aent terms --format json`` prints them.
#[pyfunction]
pub(crate) fn catalog(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    Ok(pythonize::pythonize(py, &aent_show::table(&Search::default()))?)
}

/// What in the language has a name that no registry knows of.
fn taken(name: &str) -> Option<String> {
    if aent::fields::names().any(|field| field == name) {
        return Some("a batch field".to_owned());
    }
    if aent::BUILTINS.iter().any(|builtin| builtin.name == name) {
        return Some("a function of the language".to_owned());
    }
    let function = aent::load::functions().into_iter().find(|function| function.name == name)?;
    Some(format!("a function of the library (`{}`)", function.file))
}

/// Whether the language reads it as something else than a name, as it does `loss`.
fn is_word(name: &str) -> bool {
    let (_, found) = aent::syntax::parse(SourceId::default(), &format!("let x = {name}()\n"));
    found.iter().next().is_some()
}
