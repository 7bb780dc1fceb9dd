//! The program `aent` as its users meet it: exit codes, what is written where, the keys that other programs read.

mod check;
mod eval;
mod explain;
mod fixture;
mod fmt;
mod general;
mod snapshots;
mod terms;
mod train;
