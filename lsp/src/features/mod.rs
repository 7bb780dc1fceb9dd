//! What an editor can ask, one file for each question.

pub(crate) mod completion;
pub(crate) mod definition;
pub(crate) mod describe;
pub(crate) mod diagnostics;
pub(crate) mod explain;
pub(crate) mod fixes;
pub(crate) mod folding;
pub(crate) mod format;
pub(crate) mod highlight;
pub(crate) mod hints;
pub(crate) mod hover;
pub(crate) mod references;
pub(crate) mod rename;
pub(crate) mod selection;
pub(crate) mod signature;
pub(crate) mod symbols;
