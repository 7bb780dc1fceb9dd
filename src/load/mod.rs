//! Gathers the files of one compilation: the file asked for and all it imports.

mod library;

pub use library::{LIBRARY, LibraryFn, functions};

use crate::diag::{Diagnostic, Diagnostics};
use crate::source::{Source, Sources};
use crate::span::{SourceId, Span};
use crate::syntax::ast::{File, StatementKind};
use crate::syntax::parse;
use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

/// Where files come from. The compiler touches no disk but through this.
pub trait Loader {
    /// The bytes of a file, or why they cannot be had.
    fn read(&self, path: &Path) -> std::io::Result<Vec<u8>>;
}

/// The file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Loader for Disk {
    fn read(&self, path: &Path) -> std::io::Result<Vec<u8>> {
        std::fs::read(path)
    }
}

/// The parsed files of one compilation.
#[derive(Debug, Default)]
pub struct Bundle {
    /// Their texts.
    pub sources: Sources,
    /// Their trees, by source.
    pub files: Vec<File>,
    /// Which file the import at a span leads to.
    pub imports: HashMap<Span, SourceId>,
    /// Everything found on the way.
    pub diagnostics: Diagnostics,
}

impl Bundle {
    /// The tree of a source.
    pub fn file(&self, id: SourceId) -> &File {
        &self.files[id.0 as usize]
    }

    /// Loads a text and what it imports; `name` is the path that its imports are relative to.
    pub fn from_text(name: &str, text: &str, loader: &dyn Loader) -> Self {
        let mut bundle = Self::default();
        Load { bundle: &mut bundle, loader, open: Vec::new(), done: HashMap::new() }.add(
            Path::new(name),
            name,
            text.as_bytes(),
        );
        bundle
    }

    /// Loads a file and what it imports.
    pub fn from_file(path: &Path, loader: &dyn Loader) -> Self {
        let mut bundle = Self::default();
        let name = path.display().to_string();
        match loader.read(path) {
            Ok(bytes) => {
                Load { bundle: &mut bundle, loader, open: Vec::new(), done: HashMap::new() }
                    .add(path, &name, &bytes);
            }
            Err(error) => {
                let source = bundle.sources.add(Source::new(name.as_str(), ""));
                bundle.files.push(File {
                    source,
                    statements: Vec::new(),
                    comments: Vec::new(),
                    broken: Vec::new(),
                });
                bundle.diagnostics.push(Diagnostic::error(
                    "unreadable-file",
                    Span::new(source, 0, 0),
                    format!("cannot read `{name}`: {error}"),
                ));
            }
        }
        bundle
    }
}

struct Load<'a> {
    bundle: &'a mut Bundle,
    loader: &'a dyn Loader,
    /// The files on the way from the first one to this one, to tell cycles.
    open: Vec<PathBuf>,
    done: HashMap<PathBuf, SourceId>,
}

/// How many files may import one another in a row.
const MAX_IMPORT_DEPTH: usize = 32;

impl Load<'_> {
    fn add(&mut self, path: &Path, name: &str, bytes: &[u8]) -> SourceId {
        let text = String::from_utf8_lossy(bytes);
        let id = self.bundle.sources.add(Source::new(name, text.as_ref()));
        self.done.insert(path.to_owned(), id);
        let (file, found) = match std::str::from_utf8(bytes) {
            Ok(text) => parse(id, text),
            Err(error) => {
                let at = error.valid_up_to();
                let message = format!("expected UTF-8 text, found the byte 0x{:02x}", bytes[at]);
                let diagnostic = Diagnostic::error("not-utf8", Span::new(id, at, at), message);
                (
                    File { source: id, statements: Vec::new(), comments: Vec::new(), broken: Vec::new() },
                    diagnostic.into(),
                )
            }
        };
        self.bundle.diagnostics.extend(found);
        let imports: Vec<_> = file
            .statements
            .iter()
            .filter_map(|statement| match &statement.kind {
                StatementKind::Import { path } => Some((statement.span, path.clone())),
                _ => None,
            })
            .collect();
        self.bundle.files.push(file);
        self.open.push(path.to_owned());
        for (span, import) in imports {
            match self.follow(path, &import.node) {
                Ok(target) => {
                    self.bundle.imports.insert(span, target);
                }
                Err(mut diagnostic) => {
                    diagnostic.span = import.span;
                    self.bundle.diagnostics.push(*diagnostic);
                }
            }
        }
        self.open.pop();
        id
    }

    /// Loads an import; its diagnostic gets its place from the caller.
    fn follow(&mut self, from: &Path, import: &str) -> Result<SourceId, Box<Diagnostic>> {
        let nowhere = Span::default();
        if let Some(name) = import.strip_prefix("std/") {
            let path = PathBuf::from(import);
            if let Some(&id) = self.done.get(&path) {
                return Ok(id);
            }
            let Some((_, text)) = LIBRARY.iter().find(|(of, _)| *of == name) else {
                let known: Vec<_> = LIBRARY.iter().map(|(name, _)| format!("\"std/{name}\"")).collect();
                return Err(Box::new(
                    Diagnostic::error(
                        "unknown-import",
                        nowhere,
                        format!("the library has no file \"{import}\""),
                    )
                    .help(format!("it has {}", known.join(", "))),
                ));
            };
            return Ok(self.add(&path, import, text.as_bytes()));
        }
        let path = normalize(&from.parent().unwrap_or(Path::new("")).join(import));
        if let Some(at) = self.open.iter().position(|open| *open == path) {
            let mut names: Vec<_> = self.open[at..].iter().map(|path| path.display().to_string()).collect();
            names.push(path.display().to_string());
            return Err(Box::new(
                Diagnostic::error(
                    "import-cycle",
                    nowhere,
                    format!("files import one another in a circle: {}", names.join(" imports ")),
                )
                .help("move what both need into a third file"),
            ));
        }
        if let Some(&id) = self.done.get(&path) {
            return Ok(id);
        }
        if self.open.len() >= MAX_IMPORT_DEPTH {
            return Err(Box::new(Diagnostic::error(
                "nesting-too-deep",
                nowhere,
                format!("expected at most {MAX_IMPORT_DEPTH} files that import one another in a row"),
            )));
        }
        let name = path.display().to_string();
        match self.loader.read(&path) {
            Ok(bytes) => Ok(self.add(&path, &name, &bytes)),
            Err(error) => Err(Box::new(
                Diagnostic::error(
                    "unknown-import",
                    nowhere,
                    format!("cannot read the imported file `{name}`: {error}"),
                )
                .help("paths are relative to the importing file; the library's begin with \"std/\""),
            )),
        }
    }
}

/// The path without `.` and `..`, so that one file has one name.
fn normalize(path: &Path) -> PathBuf {
    let mut result = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(result.components().next_back(), Some(Component::Normal(_))) => {
                result.pop();
            }
            part => result.push(part),
        }
    }
    result
}
