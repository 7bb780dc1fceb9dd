//! Training tasks, runner and report.

pub mod report;
