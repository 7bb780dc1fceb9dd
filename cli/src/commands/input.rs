//! Reads specs from files and from standard input.

use crate::{Status, render, stream};
use aent::program::ParamValue;
use aent::{Compiler, Failure, Program};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The name of standard input on the command line.
pub(crate) const STDIN: &str = "-";
/// The name under which diagnostics show standard input.
pub(crate) const STDIN_NAME: &str = "<stdin>";

/// The bytes of standard input.
pub(crate) fn stdin() -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes).map_err(|error| format!("cannot read standard input: {error}"))?;
    Ok(bytes)
}

/// The name under which messages show standard input.
pub(crate) fn stdin_name(given: Option<&PathBuf>) -> String {
    given.map_or_else(|| STDIN_NAME.to_owned(), |name| name.display().to_string())
}

/// A compiler with the parameters and allowed folders from the arguments.
pub(crate) fn compiler(set: &[(String, ParamValue)], allowed: &[PathBuf]) -> Compiler {
    let compiler =
        set.iter().fold(Compiler::new(), |compiler, (name, value)| compiler.set(name, value.clone()));
    allowed.iter().fold(compiler, Compiler::allow_imports)
}

/// Compiles a file, or standard input for `-` under that name. Its imports are relative to the name, so without one to
/// the working folder.
pub(crate) fn compile(
    compiler: &Compiler,
    path: &Path,
    stdin_name: &str,
) -> Result<Result<Program, Failure>, String> {
    if path != Path::new(STDIN) {
        return Ok(compiler.compile_file(path));
    }
    let text = String::from_utf8(stdin()?).map_err(|error| {
        format!(
            "expected UTF-8 text on standard input, found something else at byte {}",
            error.utf8_error().valid_up_to()
        )
    })?;
    Ok(compiler.compile(stdin_name, &text))
}

/// A compiled program for a command that runs it; diagnostics go to standard error.
pub(crate) fn program(compiler: &Compiler, path: &Path) -> Result<Result<Program, Status>, String> {
    Ok(match compile(compiler, path, STDIN_NAME)? {
        Ok(program) => {
            stream::complain(&render::human(program.warnings(), program.sources()));
            Ok(program)
        }
        Err(failure) => {
            stream::complain(&render::human(&failure.diagnostics, &failure.sources));
            Err(Status::Wrong)
        }
    })
}
