//! The files of the workspace, and what the check finds in all of them together, as `aent check FOLDER` does.

use crate::documents::{Document, path_of};
use crate::features::diagnostics;
use crate::overlay::Overlay;
use crate::settings::{Client, Settings};
use crate::shelf::Shelf;
use crate::uri;
use crate::view::View;
use aent::load::Loader;
use lsp_types::{Diagnostic, PublishDiagnosticsParams, TextDocumentContentChangeEvent, Uri};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// All that the server knows.
#[derive(Debug)]
pub(crate) struct Project {
    /// The texts.
    pub(crate) overlay: Overlay,
    /// The files that this program carries.
    pub(crate) shelf: Shelf,
    /// What the client can show.
    pub(crate) client: Client,
    /// What the client sets.
    pub(crate) settings: Settings,
    /// Open texts, by located path.
    documents: BTreeMap<PathBuf, Document>,
    /// The files of the workspace by located path, with the path that led to each.
    files: BTreeMap<PathBuf, PathBuf>,
    /// What was found with each file as the compiled one.
    reports: BTreeMap<PathBuf, Report>,
    /// Files to check again.
    stale: BTreeSet<PathBuf>,
    /// The last view of each open text.
    views: BTreeMap<PathBuf, Rc<View>>,
    /// What the client shows.
    published: BTreeMap<PathBuf, Vec<Diagnostic>>,
}

/// What was found with one file as the compiled one.
#[derive(Debug)]
struct Report {
    /// The files that it consists of.
    reads: BTreeSet<PathBuf>,
    /// Whether an import led nowhere, so that a new file may change it.
    incomplete: bool,
    findings: Vec<Finding>,
}

/// A finding, ready to be shown.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Finding {
    /// The file that it is in.
    pub(crate) path: PathBuf,
    /// Its id.
    pub(crate) id: &'static str,
    /// Its place in bytes.
    pub(crate) place: (u32, u32),
    /// What the client shows.
    pub(crate) diagnostic: Diagnostic,
    /// Its message.
    pub(crate) message: String,
}

impl Project {
    /// A project without files. Messages name files from `folder` on.
    pub(crate) fn new(folder: PathBuf, shelf: Shelf, client: Client, settings: Settings) -> Self {
        Self {
            overlay: Overlay::new(folder),
            shelf,
            client,
            settings,
            documents: BTreeMap::new(),
            files: BTreeMap::new(),
            reports: BTreeMap::new(),
            stale: BTreeSet::new(),
            views: BTreeMap::new(),
            published: BTreeMap::new(),
        }
    }

    /// Adds files of the workspace.
    pub(crate) fn add_files(&mut self, files: impl IntoIterator<Item = PathBuf>) {
        for path in files {
            let located = self.overlay.locate(&path);
            self.stale.insert(located.clone());
            self.files.insert(located, path);
        }
    }

    /// Files were made, changed or removed outside the editor.
    pub(crate) fn files_changed(&mut self, uris: impl IntoIterator<Item = Uri>) {
        for uri in uris {
            let path = path_of(&uri);
            let located = self.overlay.locate(&path);
            let is_new = path.is_file() && !self.files.contains_key(&located);
            if is_new && path.extension().is_some_and(|of| of == "aent") {
                self.files.insert(located.clone(), path);
            } else if !path.is_file() {
                self.files.remove(&located);
            }
            self.touch(&located);
            let incomplete = self.reports.iter().filter(|(_, report)| report.incomplete);
            self.stale.extend(incomplete.map(|(path, _)| path.clone()));
        }
    }

    /// Folders left the workspace.
    pub(crate) fn remove_folders(&mut self, folders: impl IntoIterator<Item = PathBuf>) {
        for folder in folders {
            let gone = self.files.iter().filter(|(_, path)| path.starts_with(&folder));
            self.stale.extend(gone.map(|(located, _)| located.clone()));
            self.files.retain(|_, path| !path.starts_with(&folder));
        }
    }

    /// A text was opened.
    pub(crate) fn open(&mut self, uri: Uri, version: i32, text: String) {
        let path = path_of(&uri);
        let located = self.overlay.locate(&path);
        let document = Document { uri, path, version, text: text.into() };
        self.overlay.set(located.clone(), document.text.clone());
        self.documents.insert(located.clone(), document);
        self.touch(&located);
    }

    /// An open text was changed.
    pub(crate) fn change(&mut self, uri: &Uri, version: i32, changes: Vec<TextDocumentContentChangeEvent>) {
        let located = self.located(uri);
        let Some(document) = self.documents.get_mut(&located) else { return };
        document.change(changes, self.client.encoding);
        document.version = version;
        self.overlay.set(located.clone(), document.text.clone());
        self.touch(&located);
    }

    /// A text was closed; from now on its file counts.
    pub(crate) fn close(&mut self, uri: &Uri) {
        let located = self.located(uri);
        self.documents.remove(&located);
        self.overlay.remove(&located);
        self.touch(&located);
    }

    /// The located path of a client's name.
    pub(crate) fn located(&self, uri: &Uri) -> PathBuf {
        self.overlay.locate(&path_of(uri))
    }

    /// How the client names a located path.
    pub(crate) fn uri(&self, located: &Path) -> Option<Uri> {
        if let Some(document) = self.documents.get(located) {
            return Some(document.uri.clone());
        }
        let path = self.files.get(located).map_or(located, PathBuf::as_path);
        uri::of_path(path)
    }

    /// A file as it is now.
    pub(crate) fn view(&mut self, uri: &Uri) -> Rc<View> {
        let located = self.located(uri);
        self.view_of(&located)
    }

    /// A file by its located path, as it is now.
    pub(crate) fn view_of(&mut self, located: &Path) -> Rc<View> {
        if let Some(view) = self.views.get(located) {
            return view.clone();
        }
        let path = self.compiled(located);
        let view = Rc::new(View::new(&path, &self.overlay, self.client.encoding));
        if self.documents.contains_key(located) {
            self.views.insert(located.to_owned(), view.clone());
        }
        view
    }

    /// The path by which a file is compiled: as the client names it, for its folder decides what it may import.
    fn compiled(&self, located: &Path) -> PathBuf {
        let document = self.documents.get(located).map(|of| &of.path);
        document.or_else(|| self.files.get(located)).map_or_else(|| located.to_owned(), Clone::clone)
    }

    /// All files of the workspace and all open texts, by located path.
    pub(crate) fn all(&self) -> BTreeSet<PathBuf> {
        self.files.keys().chain(self.documents.keys()).cloned().collect()
    }

    /// The files that read a file, itself among them.
    pub(crate) fn readers(&mut self, located: &Path) -> Vec<PathBuf> {
        self.refresh();
        let reads = |(_, report): &(&PathBuf, &Report)| report.reads.contains(located);
        self.reports.iter().filter(reads).map(|(path, _)| path.clone()).collect()
    }

    /// A file has another text: what was known of it and of its readers no longer holds.
    fn touch(&mut self, located: &Path) {
        self.stale.insert(located.to_owned());
        let readers = self.reports.iter().filter(|(_, report)| report.reads.contains(located));
        self.stale.extend(readers.map(|(path, _)| path.clone()));
        let stale = &self.stale;
        self.views.retain(|path, view| !stale.contains(path) && view.paths().all(|of| of != located));
    }

    /// Checks again what has changed.
    fn refresh(&mut self) {
        let known = self.all();
        for path in std::mem::take(&mut self.stale) {
            if !known.contains(&path) {
                self.reports.remove(&path);
                continue;
            }
            let view = self.view_of(&path);
            let reads: BTreeSet<PathBuf> = view.paths().map(Path::to_owned).collect();
            let findings = diagnostics::findings(&view, &path, self);
            let incomplete = findings.iter().any(|of| of.id == "unknown-import");
            self.reports.insert(path, Report { reads, incomplete, findings });
        }
    }

    /// What is found in each file, as `aent check` of all files finds it.
    pub(crate) fn findings(&mut self) -> BTreeMap<PathBuf, Vec<Finding>> {
        self.refresh();
        let others = |(path, report): (&PathBuf, &Report)| -> Vec<PathBuf> {
            report.reads.iter().filter(|of| *of != path).cloned().collect()
        };
        let imported: HashSet<PathBuf> = self.reports.iter().flat_map(others).collect();
        let mut seen = HashSet::new();
        let mut found = BTreeMap::<PathBuf, Vec<Finding>>::new();
        for (path, report) in &self.reports {
            // A file that another one imports needs no loss of its own.
            let needs_loss = !imported.contains(path) && !self.shelf.has(path);
            for finding in report.findings.iter().filter(|of| needs_loss || of.id != "missing-loss") {
                if seen.insert((&finding.path, finding.place, finding.id, &finding.message)) {
                    found.entry(finding.path.clone()).or_default().push(finding.clone());
                }
            }
        }
        found
    }

    /// What the client has to show instead of what it shows.
    pub(crate) fn news(&mut self) -> Vec<PublishDiagnosticsParams> {
        let found = self.findings();
        let mut news = Vec::new();
        let files: BTreeSet<&PathBuf> = found.keys().chain(self.published.keys()).collect();
        for path in files {
            let now: Vec<Diagnostic> =
                found.get(path).into_iter().flatten().map(|finding| finding.diagnostic.clone()).collect();
            if self.published.get(path).map_or(&[][..], Vec::as_slice) == now {
                continue;
            }
            let Some(uri) = self.uri(path) else { continue };
            let version = self.documents.get(path).map(|of| of.version);
            news.push((path.clone(), PublishDiagnosticsParams { uri, version, diagnostics: now }));
        }
        let mut all = Vec::new();
        for (path, params) in news {
            if params.diagnostics.is_empty() {
                self.published.remove(&path);
            } else {
                self.published.insert(path, params.diagnostics.clone());
            }
            all.push(params);
        }
        all
    }
}

impl Project {
    /// Takes over the files of another project with the texts of `overlay`, to see what would be.
    pub(crate) fn take_over(&mut self, other: &Self, overlay: Overlay) {
        self.overlay = overlay;
        self.documents = other.documents.clone();
        self.files = other.files.clone();
        self.stale = self.all();
    }
}
