//! The files as the editor shows them: what is open comes from the editor, everything else from the disk.

use aent::load::{Disk, Loader};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

/// A loader that prefers open texts. Relative paths, by which messages name files, begin at its folder.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overlay {
    /// The texts by the path that [`Loader::locate`] gives.
    open: Rc<RefCell<BTreeMap<PathBuf, Arc<str>>>>,
    folder: PathBuf,
}

impl Overlay {
    /// An overlay without open texts.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { open: Rc::default(), folder }
    }

    /// Sets the text of a file.
    pub(crate) fn set(&self, path: PathBuf, text: Arc<str>) {
        self.open.borrow_mut().insert(path, text);
    }

    /// Leaves a file to the disk again.
    pub(crate) fn remove(&self, path: &Path) {
        self.open.borrow_mut().remove(path);
    }

    /// The open text of a located file.
    pub(crate) fn text(&self, path: &Path) -> Option<Arc<str>> {
        self.open.borrow().get(path).cloned()
    }

    /// The same open texts, for changes that nobody else sees.
    pub(crate) fn copy(&self) -> Self {
        Self { open: Rc::new(RefCell::new(self.open.borrow().clone())), folder: self.folder.clone() }
    }

    /// The path of a file as messages name it: from the folder, if it lies there.
    pub(crate) fn shown<'p>(&self, path: &'p Path) -> &'p Path {
        path.strip_prefix(&self.folder).unwrap_or(path)
    }

    /// The folder that relative paths begin at, and those around it.
    pub(crate) fn folders(&self) -> impl Iterator<Item = &Path> {
        self.folder.ancestors()
    }

    fn absolute(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }

    fn open_bytes(&self, path: &Path) -> Option<Vec<u8>> {
        self.text(&self.locate(path)).map(|text| text.as_bytes().to_vec())
    }
}

impl Loader for Overlay {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.open_bytes(path).map_or_else(|| Disk.read(&self.absolute(path)), Ok)
    }

    fn read_import(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.open_bytes(path).map_or_else(|| Disk.read_import(&self.absolute(path)), Ok)
    }

    fn locate(&self, path: &Path) -> PathBuf {
        Disk.locate(&self.absolute(path))
    }

    fn project(&self, file: &Path) -> Option<PathBuf> {
        Disk.project(&self.absolute(file))
    }
}
