//! The commands, one file each.

pub(crate) mod check;
#[cfg(feature = "train")]
pub(crate) mod compare;
#[cfg(feature = "eval")]
pub(crate) mod device;
#[cfg(feature = "eval")]
pub(crate) mod eval;
pub(crate) mod explain;
pub(crate) mod fmt;
pub(crate) mod input;
pub(crate) mod terms;
#[cfg(feature = "train")]
pub(crate) mod train;
