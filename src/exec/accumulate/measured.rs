//! The parts of a step as they were measured.

use crate::exec::part::Part;

/// A rank's measured parts, and where each begins among its rows.
#[derive(Debug, Default)]
pub(super) struct Measured {
    pub(super) parts: Vec<Part>,
    /// The first row of each part.
    starts: Vec<i64>,
    rows: i64,
}

impl Measured {
    pub(super) fn add(&mut self, part: Part) {
        self.starts.push(self.rows);
        self.rows += part.size().0;
        self.parts.push(part);
    }

    /// The first row of a part; zero where none was measured.
    pub(super) fn offset(&self, index: usize) -> i64 {
        self.starts.get(index).copied().unwrap_or(0)
    }

    /// The number of rows of all parts.
    pub(super) fn rows(&self) -> i64 {
        self.rows
    }
}
