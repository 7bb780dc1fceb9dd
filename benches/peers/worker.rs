//! The Python process that computes the peers' formulas.

use crate::batch::DROP;
use crate::settings::Settings;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A peer's implementation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    /// Its formula in worker.py.
    pub(crate) formula: &'static str,
    /// Whether it goes through `torch.compile`.
    pub(crate) compiled: bool,
}

/// The process, which ends with this.
pub(crate) struct Worker {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    /// Its version of torch.
    pub(crate) torch: String,
}

impl Worker {
    /// Starts Python with the batch of a folder.
    pub(crate) fn start(folder: &Path, settings: &Settings) -> Self {
        let python = python();
        let mut process = Command::new(&python)
            .args(["-W", "ignore", concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/worker.py")])
            .env("OMP_NUM_THREADS", settings.threads.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start `{}`: {error}", python.display()));
        let (input, output) = (process.stdin.take(), process.stdout.take().map(BufReader::new));
        let output = output.expect("the output is piped");
        let mut worker = Self { process, input, output, torch: String::new() };
        let hello: Value = worker.answer();
        hello["torch"].as_str().unwrap_or_default().clone_into(&mut worker.torch);
        assert!(
            worker.torch.starts_with("2.11.0"),
            "expected torch 2.11.0 in `{}`, found `{}`",
            python.display(),
            worker.torch
        );
        let ready: Value = worker.ask_for(&json!({
            "folder": folder,
            "shape": settings.shape(),
            "threads": settings.threads,
            "drop": DROP,
        }));
        assert_eq!(ready["threads"], settings.threads, "either side has the same threads");
        worker
    }

    /// What `what` gives for a peer.
    pub(crate) fn ask<T: DeserializeOwned>(&mut self, what: &str, peer: Peer) -> T {
        self.ask_for(&json!({ "do": what, "peer": peer.formula, "compiled": peer.compiled }))
    }

    fn ask_for<T: DeserializeOwned>(&mut self, asked: &Value) -> T {
        let input = self.input.as_mut().expect("the input is open");
        writeln!(input, "{asked}").expect("the worker reads");
        self.answer()
    }

    fn answer<T: DeserializeOwned>(&mut self) -> T {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the worker writes text");
        assert!(!line.is_empty(), "the worker ended; its last words are above");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in the worker's answer: {line}"))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // The end of its input is the end of it.
        drop(self.input.take());
        let _ = self.process.wait();
    }
}

/// The Python that the torch in use belongs to, or else the active one.
fn python() -> PathBuf {
    let torch = std::env::var_os("LIBTORCH").and_then(|folder| Path::new(&folder).canonicalize().ok());
    let folders = torch.iter().flat_map(|folder| folder.ancestors());
    let mut candidates = folders.map(|folder| folder.join("bin/python3"));
    candidates.find(|python| python.exists()).unwrap_or_else(|| "python3".into())
}
