//! The memory that a step takes at most beyond the logits, each in a process of its own.

use crate::batch::{Batch, Entropy};
use crate::machine::{forget_peak, memory};
use crate::settings::Settings;
use crate::worker::{Peer, Worker};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::Command;

const OPTION: &str = "--peak-of";

/// What this process was started for by another of the same program.
pub(crate) struct Asked {
    entropy: Entropy,
    overwrites: bool,
    folder: PathBuf,
}

/// Whether this is such a process.
pub(crate) fn asked() -> Option<Asked> {
    let mut arguments = std::env::args().skip_while(|argument| argument != OPTION).skip(1);
    let name = arguments.next()?;
    let (_, entropy) = Entropy::ALL.into_iter().find(|(of, _)| *of == name)?;
    let overwrites = arguments.next()?.parse().ok()?;
    Some(Asked { entropy, overwrites, folder: arguments.next()?.into() })
}

impl Asked {
    /// The bytes, in digits; no digits where the system does not tell.
    pub(crate) fn answer(&self, settings: &Settings) -> String {
        let batch = Batch::in_files(&self.folder, settings.shape());
        // The mapped logits count once they were read, and so does what the first step loads.
        batch.touch();
        let batch = if self.overwrites { batch.given_up() } else { batch };
        drop(batch.step(self.entropy));
        let measured = || {
            forget_peak()?;
            let before = memory("VmRSS:")?;
            drop(batch.step(self.entropy));
            Some(memory("VmHWM:")? - before)
        };
        measured().map_or_else(String::new, |bytes| bytes.to_string())
    }
}

/// The bytes that our step takes.
pub(crate) fn ours(entropy: Entropy, overwrites: bool, folder: &Path) -> Option<u64> {
    let (name, _) = Entropy::ALL.into_iter().find(|(_, of)| *of == entropy)?;
    let mut arguments: Vec<_> = std::env::args_os().collect();
    let program = std::env::current_exe().ok()?;
    arguments.extend([OPTION.into(), name.into(), overwrites.to_string().into(), folder.into()]);
    let ran = Command::new(program).args(&arguments[1..]).output().ok()?;
    String::from_utf8(ran.stdout).ok()?.trim().parse().ok()
}

/// The bytes that a peer's step takes. To see that it works, the process at hand will do.
pub(crate) fn theirs(peer: Peer, worker: &mut Worker, folder: &Path, settings: &Settings) -> Option<u64> {
    #[derive(Deserialize)]
    struct Peak {
        bytes: u64,
    }
    // Where the system does not tell us, it does not tell them.
    memory("VmHWM:")?;
    let peak: Peak = if settings.quick {
        worker.ask("peak", peer)
    } else {
        Worker::start(folder, settings).ask("peak", peer)
    };
    Some(peak.bytes)
}
