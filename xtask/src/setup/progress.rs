//! Shows the progress of an installation: a bar on a terminal, otherwise a line every few seconds.

use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::steps::elapsed;

/// The time between two lines without a terminal.
const EVERY: Duration = Duration::from_secs(10);

/// A stage of work that fills a folder.
pub(crate) struct Progress {
    title: &'static str,
    folder: PathBuf,
    expected: u64,
    bar: Option<ProgressBar>,
    started: Instant,
    told: Instant,
    measured: Instant,
    most: u64,
}

impl Progress {
    /// Starts to watch `folder`, which should reach `expected` bytes.
    pub(crate) fn new(title: &'static str, folder: PathBuf, expected: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let template = "      {msg} {bar:30} {bytes} of about {total_bytes}, {elapsed}";
            let style =
                ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(expected).with_style(style).with_message(title)
        });
        let now = Instant::now();
        Self { title, folder, expected, bar, started: now, told: now, measured: now, most: 0 }
    }

    /// Call this often; it measures and shows only as often as is useful.
    pub(crate) fn tick(&mut self) {
        if self.measured.elapsed() < Duration::from_secs(1) {
            return;
        }
        // Pip removes what it has unpacked, so the folder may shrink near the end.
        self.most = self.most.max(size(&self.folder));
        self.measured = Instant::now();
        if let Some(bar) = &self.bar {
            bar.set_length(self.expected.max(self.most));
            bar.set_position(self.most);
        } else if self.told.elapsed() >= EVERY {
            self.told = Instant::now();
            println!("      {}", line(self.title, self.most, self.expected, self.started.elapsed()));
        }
    }

    /// Ends the stage.
    pub(crate) fn finish(self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        println!("      {}: done in {}", self.title, elapsed(self.started.elapsed()));
    }
}

fn line(title: &str, bytes: u64, expected: u64, time: Duration) -> String {
    format!("{title}: {} of about {}, {}", gigabytes(bytes), gigabytes(expected), elapsed(time))
}

/// A size in decimal gigabytes.
pub(crate) fn gigabytes(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}

/// The bytes of all files below a folder. Files that vanish meanwhile count as zero.
pub(crate) fn size(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_how_far_it_is() {
        let text = line("downloading", 1_230_000_000, 2_700_000_000, Duration::from_secs(42));
        assert_eq!(text, "downloading: 1.2 GB of about 2.7 GB, 42 s");
    }

    #[test]
    fn a_folders_size_counts_what_lies_below() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("below")).unwrap();
        fs::write(folder.path().join("a"), [0; 10]).unwrap();
        fs::write(folder.path().join("below/b"), [0; 5]).unwrap();
        assert_eq!(size(folder.path()), 15);
        assert_eq!(size(&folder.path().join("no")), 0);
    }
}
