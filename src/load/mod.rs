//! Loads the files of one compilation: the compiled file and all that it imports.

mod fence;
mod library;
mod loader;

pub use library::{LIBRARY, LibraryFn, functions, functions_of};
pub use loader::{Disk, Loader};

use crate::diag::{Diagnostic, Diagnostics};
use crate::source::{Source, Sources};
use crate::span::{SourceId, Span};
use crate::syntax::ast::{File, StatementKind};
use crate::syntax::parse;
use fence::Fence;
use loader::normalize;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// The parsed files of one compilation.
#[derive(Debug, Default)]
pub struct Bundle {
    /// Their texts.
    pub sources: Sources,
    /// Their trees, by source.
    pub files: Vec<File>,
    /// The file that the import at a span leads to.
    pub imports: BTreeMap<Span, SourceId>,
    /// All diagnostics from loading and parsing.
    pub diagnostics: Diagnostics,
}

impl Bundle {
    /// The tree of a source.
    pub fn file(&self, id: SourceId) -> &File {
        &self.files[id.0 as usize]
    }

    /// Loads a text and what it imports, from its project and the `allowed` folders. Its imports are relative to the
    /// path `name`.
    pub fn from_text(name: &str, text: &str, loader: &dyn Loader, allowed: &[PathBuf]) -> Self {
        let mut load = Load::new(Path::new(name), loader, allowed);
        load.root(Source::new(name, text), Path::new(name), text.as_bytes());
        load.bundle
    }

    /// Loads a file and what it imports, from its project and the `allowed` folders.
    pub fn from_file(path: &Path, loader: &dyn Loader, allowed: &[PathBuf]) -> Self {
        let mut load = Load::new(path, loader, allowed);
        let name = path.display().to_string();
        match loader.read(path) {
            Ok(bytes) => {
                let text = String::from_utf8_lossy(&bytes);
                load.root(Source::new(name, text).at(path), path, &bytes);
            }
            Err(error) => {
                let source = load.bundle.sources.add(Source::new(name.as_str(), ""));
                load.bundle.files.push(nothing(source));
                load.bundle.diagnostics.push(Diagnostic::error(
                    "unreadable-file",
                    Span::new(source, 0, 0),
                    format!("cannot read `{name}`: {error}"),
                ));
            }
        }
        load.bundle
    }
}

struct Load<'a> {
    bundle: Bundle,
    loader: &'a dyn Loader,
    fence: Fence,
    /// The chain of imports from the first file to this one, as located and as named, to detect cycles.
    open: Vec<(PathBuf, String)>,
    /// Loaded files, by the path that the loader located.
    done: HashMap<PathBuf, SourceId>,
    /// Loaded files of the library, by name.
    library: HashMap<&'static str, SourceId>,
}

/// How long a chain of imports may be.
const MAX_IMPORT_DEPTH: usize = 32;

impl<'a> Load<'a> {
    fn new(root: &Path, loader: &'a dyn Loader, allowed: &[PathBuf]) -> Self {
        Self {
            bundle: Bundle::default(),
            loader,
            fence: Fence::around(root, allowed, loader),
            open: Vec::new(),
            done: HashMap::new(),
            library: HashMap::new(),
        }
    }

    /// Adds the compiled file.
    fn root(&mut self, source: Source, path: &Path, bytes: &[u8]) {
        let (file, found) = read(SourceId(0), bytes);
        self.add(self.loader.locate(path), path, source, file, found);
    }

    /// Adds a file, then its imports. `located` is its canonical path; its imports are relative to `path`.
    fn add(
        &mut self,
        located: PathBuf,
        path: &Path,
        source: Source,
        file: File,
        found: Diagnostics,
    ) -> SourceId {
        let name = source.name().to_owned();
        let id = self.bundle.sources.add(source);
        self.done.insert(located.clone(), id);
        self.bundle.diagnostics.extend(found);
        let imports: Vec<_> = file
            .statements
            .iter()
            .filter_map(|statement| match &statement.kind {
                StatementKind::Import { path, .. } => Some((statement.span, path.clone())),
                _ => None,
            })
            .collect();
        self.bundle.files.push(file);
        self.open.push((located, name));
        for (span, import) in imports {
            let target = match import.node.strip_prefix("std/") {
                Some(name) => self.follow_library(name, import.span),
                None => self.follow(path, &import.node, import.span),
            };
            match target {
                Ok(target) => {
                    self.bundle.imports.insert(span, target);
                }
                Err(diagnostic) => self.bundle.diagnostics.push(*diagnostic),
            }
        }
        self.open.pop();
        id
    }

    /// Loads a file of the library, which imports only from the library.
    fn follow_library(&mut self, name: &str, place: Span) -> Result<SourceId, Box<Diagnostic>> {
        let Some(&(name, text)) = LIBRARY.iter().find(|(of, _)| *of == name) else {
            let known: Vec<_> = LIBRARY.iter().map(|(name, _)| format!("\"std/{name}\"")).collect();
            let message = format!("the library has no file \"std/{name}\"");
            return Err(Box::new(
                Diagnostic::error("unknown-import", place, message)
                    .help(format!("it has {}", known.join(", "))),
            ));
        };
        if let Some(&id) = self.library.get(name) {
            return Ok(id);
        }
        let path = PathBuf::from(format!("std/{name}"));
        let (file, found) = read(self.next(), text.as_bytes());
        // No path on a disk looks like this.
        let located = PathBuf::from(format!("\"std/{name}\""));
        let id = self.add(located, &path, Source::new(path.display().to_string(), text), file, found);
        self.library.insert(name, id);
        Ok(id)
    }

    /// Loads an import.
    fn follow(&mut self, from: &Path, import: &str, place: Span) -> Result<SourceId, Box<Diagnostic>> {
        let path = normalize(&from.parent().unwrap_or(Path::new("")).join(import));
        let name = path.display().to_string();
        let located = self.loader.locate(&path);
        if let Some(refusal) = self.fence.refuse(import, &located, place) {
            return Err(Box::new(refusal));
        }
        if let Some(at) = self.open.iter().position(|(open, _)| *open == located) {
            let mut names: Vec<_> = self.open[at..].iter().map(|(_, name)| name.as_str()).collect();
            names.push(names[0]);
            let message = format!("files import one another in a circle: {}", names.join(" imports "));
            return Err(Box::new(
                Diagnostic::error("import-cycle", place, message)
                    .help("move what both need into a third file"),
            ));
        }
        if let Some(&id) = self.done.get(&located) {
            return Ok(id);
        }
        if self.open.len() >= MAX_IMPORT_DEPTH {
            let message =
                format!("expected at most {MAX_IMPORT_DEPTH} files that import one another in a row");
            return Err(Box::new(Diagnostic::error("nesting-too-deep", place, message)));
        }
        let bytes = self.loader.read_import(&located).map_err(|error| {
            let message = format!("cannot read the imported file `{name}`: {error}");
            Diagnostic::error("unknown-import", place, message)
                .help("paths are relative to the importing file; the library's begin with \"std/\"")
        })?;
        let (file, found) = read(self.next(), &bytes);
        if found.has_errors() && file.statements.is_empty() {
            return Err(Box::new(foreign(&name, &found, place)));
        }
        let source = Source::new(name, String::from_utf8_lossy(&bytes)).at(&located);
        Ok(self.add(located, &path, source, file, found))
    }

    /// The id of the next file to be added.
    fn next(&self) -> SourceId {
        SourceId(self.bundle.files.len() as u32)
    }
}

/// Parses a file; reports bytes that are not UTF-8.
fn read(id: SourceId, bytes: &[u8]) -> (File, Diagnostics) {
    match std::str::from_utf8(bytes) {
        Ok(text) => parse(id, text),
        Err(error) => {
            let at = error.valid_up_to();
            let message = format!("expected UTF-8 text, found the byte 0x{:02x}", bytes[at]);
            (nothing(id), Diagnostic::error("not-utf8", Span::new(id, at, at), message).into())
        }
    }
}

/// The error for an imported file that cannot be parsed at all. It may be any file of the user's, so the error shows
/// neither its text nor a message that quotes it.
fn foreign(name: &str, found: &Diagnostics, place: Span) -> Diagnostic {
    let quotes_nothing = |of: &&Diagnostic| matches!(of.id, "not-utf8" | "file-too-large");
    let reason = found
        .iter()
        .find(quotes_nothing)
        .map_or("none of its statements can be read", |of| of.message.as_str());
    Diagnostic::error("unknown-import", place, format!("`{name}` is not an `.aent` file: {reason}"))
        .help(format!("`aent check {name}` shows all that is wrong with it"))
}

fn nothing(source: SourceId) -> File {
    File { source, statements: Vec::new(), comments: Vec::new(), broken: Vec::new() }
}
