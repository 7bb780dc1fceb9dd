//! Compiles a text or a file to a program: the compiler's entry point.

use crate::check::{Facts, analyse, check};
use crate::diag::{Diagnostic, Diagnostics, Severity};
use crate::load::{Bundle, Disk, Loader};
use crate::plan::Need;
use crate::program::{ParamValue, Program};
use crate::source::Sources;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

/// Compiles the text of a spec.
pub fn compile(text: &str) -> Result<Program, Failure> {
    Compiler::new().compile("spec.aent", text)
}

/// Compiles a file and what it imports.
pub fn compile_file(path: impl AsRef<Path>) -> Result<Program, Failure> {
    Compiler::new().compile_file(path)
}

/// A compiler with parameter values set by the host, which finds files through a [`Loader`].
pub struct Compiler {
    overrides: BTreeMap<String, ParamValue>,
    loader: Box<dyn Loader>,
    allowed: Vec<PathBuf>,
    known: Option<BTreeSet<Need>>,
}

impl Default for Compiler {
    fn default() -> Self {
        Self { overrides: BTreeMap::new(), loader: Box::new(Disk), allowed: Vec::new(), known: None }
    }
}

impl Compiler {
    /// A compiler that reads imports from the disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a `param` by name to a number, a truth value or a string; compilation checks its range. A `param` of a file that
    /// is imported under a name has that in front: `kl.cap`.
    #[must_use]
    pub fn set(mut self, name: impl Into<String>, value: impl Into<ParamValue>) -> Self {
        self.overrides.insert(name.into(), value.into());
        self
    }

    /// Reads imports through `loader` instead.
    #[must_use]
    pub fn loader(mut self, loader: impl Loader + 'static) -> Self {
        self.loader = Box::new(loader);
        self
    }

    /// Also allows imports from this folder and below, by a relative or an absolute path. By default an import stays
    /// within the project: the nearest folder at or above the compiled file that contains `.git`, or else the file's
    /// own folder.
    #[must_use]
    pub fn allow_imports(mut self, folder: impl Into<PathBuf>) -> Self {
        self.allowed.push(folder.into());
        self
    }

    /// Compiles for an engine that asks for the loss of each micro-batch at once, and knows no more of the whole step than
    /// this: a program that needs more is an error at the place that needs it. See [`Program::requires`].
    ///
    /// ```
    /// use aent::{Compiler, plan::Need};
    ///
    /// let pipeline = Compiler::new().known([Need::Tokens, Need::Sequences]);
    /// assert!(pipeline.compile("ppo.aent", "loss = token_mean(clip_ppo())").is_ok());
    /// let failure = pipeline.compile("top.aent", "loss = token_mean(where(top_fraction(entropy(), 20%), clip_ppo(), 0))");
    /// assert!(failure.unwrap_err().to_string().starts_with("top.aent:1:25: error[needs-whole-step]"));
    /// ```
    #[must_use]
    pub fn known(mut self, known: impl IntoIterator<Item = Need>) -> Self {
        self.known = Some(known.into_iter().collect());
        self
    }

    /// Compiles a text; imports are relative to `name`.
    pub fn compile(&self, name: &str, text: &str) -> Result<Program, Failure> {
        self.finish(Bundle::from_text(name, text, self.loader.as_ref(), &self.allowed))
    }

    /// Compiles a file and what it imports.
    pub fn compile_file(&self, path: impl AsRef<Path>) -> Result<Program, Failure> {
        self.finish(Bundle::from_file(path.as_ref(), self.loader.as_ref(), &self.allowed))
    }

    /// Checks a file and what it imports, and keeps all that a program which shows the file needs, whatever is wrong with it.
    pub fn analyse_file(&self, path: impl AsRef<Path>) -> Analysis {
        let bundle = Bundle::from_file(path.as_ref(), self.loader.as_ref(), &self.allowed);
        let (program, bundle, facts) = analyse(bundle, &self.overrides);
        Analysis { program, bundle, facts }
    }

    /// Refuses a program that needs more of the whole step than is known.
    fn fits(&self, program: Program) -> Result<Program, Failure> {
        let Some(known) = &self.known else { return Ok(program) };
        let mut diagnostics = Diagnostics::default();
        for unmet in program.requires().iter().filter(|of| !known.contains(&of.need)) {
            let name = unmet.need.as_str();
            let message =
                format!("this needs {}, which the engine does not know (`{name}`)", unmet.need.in_words());
            diagnostics
                .push(Diagnostic::error("needs-whole-step", unmet.span, message).help(remedy(unmet.need)));
        }
        if diagnostics.is_empty() {
            return Ok(program);
        }
        diagnostics.extend(program.warnings().clone());
        diagnostics.sort();
        Err(Failure { diagnostics, sources: program.sources().clone() })
    }

    fn finish(&self, bundle: Bundle) -> Result<Program, Failure> {
        match check(bundle, &self.overrides) {
            (Some(program), _) => self.fits(program),
            (None, bundle) => Err(Failure { diagnostics: bundle.diagnostics, sources: bundle.sources }),
        }
    }
}

/// What a file means, as far as it can be told.
#[derive(Debug)]
pub struct Analysis {
    /// The program, if nothing is wrong.
    pub program: Option<Program>,
    /// The texts and trees of the file and of what it imports, with all that was found: what [`Compiler::compile_file`] finds.
    pub bundle: Bundle,
    /// What is known of the values.
    pub facts: Facts,
}

/// What to do about a need that the engine's knowledge does not meet.
fn remedy(need: Need) -> &'static str {
    match need {
        Need::Groups => {
            "an engine whose micro-batches have whole groups knows `groups`; any other measures its micro-batches first"
        }
        Need::Fields => {
            "compute it before the step and bring it as an `input`, or take an engine that measures its micro-batches first"
        }
        Need::WholeStep => {
            "take what is known of each micro-batch, such as a constant, or an engine that measures its micro-batches first"
        }
        _ => "an engine that knows this count says so where it compiles, and gives it to `accumulate`",
    }
}

/// A failed compilation: its diagnostics, and the sources they point into.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Errors and lints, sorted by position.
    pub diagnostics: Diagnostics,
    /// The texts the diagnostics point into.
    pub sources: Sources,
}

impl fmt::Display for Failure {
    /// One line per diagnostic; the command line renders them in full.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, item) in self.diagnostics.iter().enumerate() {
            let source = self.sources.get(item.span.source);
            let (line, column) = source.line_column(item.span.start as usize);
            let (name, severity, id) = (source.name(), item.severity.as_str(), item.id);
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{name}:{line}:{column}: {severity}[{id}]: {}", item.message)?;
            if let (Some(help), Severity::Error) = (&item.help, item.severity) {
                write!(f, " ({help})")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}
