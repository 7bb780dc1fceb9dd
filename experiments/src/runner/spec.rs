//! A spec's file, compiled for a task.

use std::fs;
use std::path::{Path, PathBuf};

use aent::program::{ParamValue, Program};
use aent::{Compiler, Failure};

use crate::error::TrainError;
use crate::tasks::Task;

/// A spec's file.
pub(super) struct SpecFile {
    /// The file's stem, which names its runs.
    pub(super) name: String,
    /// The file.
    pub(super) path: PathBuf,
    /// Its text.
    pub(super) text: String,
    /// The overrides that it declares as `param`.
    overrides: Vec<(String, ParamValue)>,
    /// Folders that it may import from, besides its own project.
    allowed_imports: Vec<PathBuf>,
}

impl SpecFile {
    /// Reads a file and checks that it compiles.
    pub(super) fn read(
        path: &Path,
        overrides: &[(String, ParamValue)],
        allowed_imports: &[PathBuf],
    ) -> Result<Self, TrainError> {
        let text = fs::read_to_string(path).map_err(TrainError::file("read", path))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut spec = SpecFile {
            name,
            path: path.to_path_buf(),
            text,
            overrides: Vec::new(),
            allowed_imports: allowed_imports.to_vec(),
        };
        let program = spec.compile()?;
        let declared = |name: &str| program.params.iter().any(|param| param.name == name);
        spec.overrides = overrides.iter().filter(|(name, _)| declared(name)).cloned().collect();
        Ok(spec)
    }

    /// Compiles the program with the overrides.
    pub(super) fn compile(&self) -> Result<Program, TrainError> {
        let compiler = self
            .overrides
            .iter()
            .fold(Compiler::new(), |compiler, (name, value)| compiler.set(name, value.clone()));
        let compiler = self.allowed_imports.iter().fold(compiler, Compiler::allow_imports);
        compiler.compile_file(&self.path).map_err(|failure| self.wrong(&failure))
    }

    /// Whether it has a `param` with this name.
    pub(super) fn takes(&self, name: &str) -> bool {
        self.overrides.iter().any(|(known, _)| known == name)
    }

    /// The first line of its leading comment.
    pub(super) fn summary(&self) -> String {
        self.text.lines().find_map(|line| line.strip_prefix('#')).unwrap_or_default().trim().to_string()
    }

    /// Refuses a program that needs a batch field which the task does not provide.
    pub(super) fn check_fields(&self, program: &Program, task: &dyn Task) -> Result<(), TrainError> {
        let fed = task.fields();
        match program.fields().find(|name| !fed.contains(name)) {
            Some(name) => Err(TrainError::refused(format!(
                "`{}` needs the batch field `{name}`, which the task `{}` does not have; it has `{}`",
                self.path.display(),
                task.name(),
                fed.join("`, `")
            ))),
            None => Ok(()),
        }
    }

    fn wrong(&self, failure: &Failure) -> TrainError {
        TrainError::Spec { path: self.path.clone(), diagnostics: failure.to_string() }
    }
}
