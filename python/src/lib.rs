//! The Python package's extension module. It converts between Python and the library, and does nothing else: every
//! number comes from the same core as on the command line.

mod accumulation;
mod batch;
mod compile;
mod complete;
mod errors;
mod host;
mod kept;
mod leaving;
mod lock;
mod output;
mod param;
mod plugins;
mod program;
mod ranks;
mod state;
mod terms;
mod turns;

use pyo3::prelude::*;
use std::ffi::OsString;

/// The command line, whose first word is the program's name, and its exit status: 0 done, 1 the file or the batch is wrong, 2
/// usage.
#[pyfunction]
fn run(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
    py.detach(|| aent_cli::run(arguments, Some(&host::Torch)))
}

/// The extension module `aent._aent`; the package `aent` shows its parts.
#[pymodule]
fn _aent(module: &Bound<'_, PyModule>) -> PyResult<()> {
    // What the library warns of goes to Python's `logging`, under `aent`. A second import finds it in place.
    let _ = pyo3_log::try_init();
    errors::quiet_where_guarded();
    let leave = wrap_pyfunction!(leaving::leave, module)?;
    module.py().import("atexit")?.call_method1("register", (leave,))?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<program::Program>()?;
    module.add_class::<output::Output>()?;
    module.add_class::<state::Restored>()?;
    module.add_class::<accumulation::Accumulation>()?;
    module.add_class::<host::Half>()?;
    module.add_function(wrap_pyfunction!(compile::compile, module)?)?;
    module.add_function(wrap_pyfunction!(complete::complete, module)?)?;
    module.add_function(wrap_pyfunction!(output::copied_output, module)?)?;
    module.add_function(wrap_pyfunction!(compile::diagnose, module)?)?;
    module.add_function(wrap_pyfunction!(ranks::gather_shards, module)?)?;
    module.add_function(wrap_pyfunction!(ranks::own_shard, module)?)?;
    module.add_function(wrap_pyfunction!(run, module)?)?;
    module.add_function(wrap_pyfunction!(terms::catalog, module)?)?;
    module.add_function(wrap_pyfunction!(terms::register_term, module)?)?;
    module.add_function(wrap_pyfunction!(terms::terms, module)?)
}
