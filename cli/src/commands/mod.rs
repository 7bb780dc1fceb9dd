//! One file a command.

pub(crate) mod check;
pub(crate) mod compare;
pub(crate) mod eval;
pub(crate) mod explain;
pub(crate) mod fmt;
pub(crate) mod input;
pub(crate) mod terms;
pub(crate) mod train;
