//! The program `aent` as its users meet it: exit codes, what is written where, the keys that other programs read.

#![expect(clippy::unwrap_used, reason = "a test that cannot read what it wrote has failed")]

mod check;
mod compare;
mod eval;
mod explain;
mod files;
mod finite;
mod fixture;
mod fmt;
mod folders;
mod formats;
mod general;
mod lsp;
mod snapshots;
mod terms;
mod train;
