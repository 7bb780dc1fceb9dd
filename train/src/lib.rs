//! Training tasks, runner and report.
