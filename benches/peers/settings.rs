//! What is measured: sizes and rounds, from the environment.

use std::path::Path;
use tempfile::TempDir;

/// The rows are those of so many sequences, of equal length.
pub(crate) const SEQUENCES: i64 = 4;

/// Sizes and rounds of a run.
pub(crate) struct Settings {
    /// `AENT_BENCH_ROWS`: how many rows of logits there are.
    pub(crate) rows: i64,
    /// `AENT_BENCH_VOCABULARY`: how long a row is.
    pub(crate) vocabulary: i64,
    /// `AENT_BENCH_ROUNDS`: how often everything is measured.
    pub(crate) rounds: usize,
    /// `AENT_BENCH_THREADS`: how many threads either side has.
    pub(crate) threads: i32,
    /// Whether everything is small, only to see that it works.
    pub(crate) quick: bool,
}

impl Settings {
    /// `AENT_BENCH_QUICK=1` is for tiny sizes, and so is `cargo test --bench peers`.
    pub(crate) fn of_environment() -> Self {
        let measured = std::env::args().any(|arg| arg == "--bench");
        let quick = !measured || std::env::var_os("AENT_BENCH_QUICK").is_some_and(|value| value != "0");
        let [rows, vocabulary, rounds] = if quick { [16, 1500, 1] } else { [256, 151_936, 5] };
        let rows = number("AENT_BENCH_ROWS", rows);
        assert!(rows % SEQUENCES == 0, "`AENT_BENCH_ROWS`: expected a multiple of {SEQUENCES}, found {rows}");
        Self {
            rows,
            vocabulary: number("AENT_BENCH_VOCABULARY", vocabulary),
            rounds: number("AENT_BENCH_ROUNDS", rounds) as usize,
            threads: number("AENT_BENCH_THREADS", 2) as i32,
            quick,
        }
    }

    /// B, T and V.
    pub(crate) fn shape(&self) -> [i64; 3] {
        [SEQUENCES, self.rows / SEQUENCES, self.vocabulary]
    }

    /// The bytes of the logits.
    pub(crate) fn bytes(&self) -> u64 {
        (self.rows * self.vocabulary) as u64 * 4
    }

    /// A folder in memory, where there is room for logits and gradient, or else on disk.
    pub(crate) fn folder(&self) -> TempDir {
        let in_memory = Path::new("/dev/shm");
        let room = rustix::fs::statvfs(in_memory).map_or(0, |found| found.f_bavail * found.f_frsize);
        let folder =
            if room > 3 * self.bytes() { tempfile::tempdir_in(in_memory) } else { tempfile::tempdir() };
        folder.expect("a folder for the logits")
    }
}

fn number(name: &str, otherwise: i64) -> i64 {
    let Ok(text) = std::env::var(name) else { return otherwise };
    match text.parse() {
        Ok(number) if number > 0 => number,
        _ => panic!("`{name}`: expected a number of at least 1, found `{text}`"),
    }
}
