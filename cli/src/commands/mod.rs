//! The commands, one file each.

pub(crate) mod check;
#[cfg(feature = "train")]
pub(crate) mod compare;
pub(crate) mod completions;
#[cfg(feature = "eval")]
pub(crate) mod device;
pub(crate) mod diff;
#[cfg(feature = "eval")]
pub(crate) mod eval;
pub(crate) mod explain;
pub(crate) mod files;
pub(crate) mod fmt;
pub(crate) mod input;
pub(crate) mod man;
pub(crate) mod terms;
#[cfg(feature = "train")]
pub(crate) mod train;
