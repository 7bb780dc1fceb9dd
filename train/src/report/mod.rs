//! The report of a run: one self-contained page and the same plots as PNG.

pub mod run;

pub use run::Run;
