//! What the checker says of small files: annotated Markdown suites, the explanations' own examples, and what takes
//! more than one file to show.

#![expect(clippy::unwrap_used, reason = "a suite that cannot be read has failed")]

mod apart;
mod codes;
mod docs;
mod domains;
mod fields;
mod fixes;
mod help;
mod project;
mod suite;

use aent::Compiler;
use aent::diag::{Diagnostics, Severity};
use aent::load::Loader;
use aent::source::Sources;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// Files in memory.
#[derive(Clone, Debug, Default)]
struct Memory(BTreeMap<String, Vec<u8>>);

impl Memory {
    fn with(mut self, name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.0.insert(name.to_owned(), bytes.into());
        self
    }
}

impl Loader for Memory {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let found = path.to_str().and_then(|path| self.0.get(path));
        found.cloned().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such file"))
    }
}

/// A finding as the suites write it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    file: String,
    line: usize,
    severity: &'static str,
    id: String,
    message: String,
}

fn found(diagnostics: &Diagnostics, sources: &Sources) -> Vec<Found> {
    let one = |item: &aent::diag::Diagnostic| {
        let source = sources.get(item.span.source);
        Found {
            file: source.name().to_owned(),
            line: source.line_column(item.span.start as usize).0,
            severity: if item.severity == Severity::Error { "error" } else { "warning" },
            id: item.id.to_owned(),
            message: item.message.clone(),
        }
    };
    diagnostics.iter().map(one).collect()
}

/// Everything found in a file and in what it imports.
fn check(compiler: &Compiler, name: &str, text: &str) -> Vec<Found> {
    match compiler.compile(name, text) {
        Ok(program) => found(program.warnings(), program.sources()),
        Err(failure) => found(&failure.diagnostics, &failure.sources),
    }
}

/// The ids found, each once.
fn ids(compiler: &Compiler, text: &str) -> Vec<String> {
    let mut ids: Vec<_> = check(compiler, "spec.aent", text).into_iter().map(|found| found.id).collect();
    ids.sort();
    ids.dedup();
    ids
}
