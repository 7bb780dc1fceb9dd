//! The ranks of a step: how they exchange tensors and reports.

mod gathered;
mod group;
mod meeting;
mod vocabulary;

pub(super) use gathered::gathered;
pub use group::ProcessGroup;
pub(super) use group::gather;
pub(super) use meeting::{At, Place, Report, meet, refuse, rows_before};
pub(super) use vocabulary::Vocabulary;
