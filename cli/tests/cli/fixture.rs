//! Folders with files, batches, and the program run in them.

use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use tch::{Kind, Tensor};

/// A right file that uses most of the language.
pub(crate) const SPEC: &str = "\
param eps = 0.2 in 0 .. 1
let policy = clip_ppo(low = eps, high = eps)
let entropy = clamped_entropy(drop = 30%)
controller beta = band(signal = token_mean(entropy), target = 0.05 .. 0.23, init = 1e-3)
loss = token_mean(policy) - beta * token_mean(entropy)
metric clip_fraction = token_mean(policy.clipped)
";

/// What a run of the program left.
pub(crate) struct Ran {
    /// The exit status.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

impl Ran {
    /// Standard output as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}{}", self.stdout, self.stderr))
    }

    /// Asserts that the program refused, in one sentence without a panic.
    pub(crate) fn refused(&self, part: &str) {
        assert_eq!(self.code, 1, "{}{}", self.stdout, self.stderr);
        assert!(self.stderr.contains(part), "expected `{part}` in: {}", self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        assert_eq!(self.stdout, "");
    }
}

/// A folder of its own.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// With one file in it.
    pub(crate) fn with(name: &str, text: impl AsRef<[u8]>) -> Self {
        let folder = Self::new();
        folder.write(name, text);
        folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// The tensors of a result.
    pub(crate) fn tensors(&self, name: &str) -> Vec<(String, Tensor)> {
        Tensor::read_safetensors(self.path(name)).unwrap()
    }

    pub(crate) fn tensor(&self, file: &str, name: &str) -> Tensor {
        let tensors = self.tensors(file);
        let names: Vec<_> = tensors.iter().map(|(name, _)| name.clone()).collect();
        let found = tensors.into_iter().find(|(of, _)| of == name);
        found.unwrap_or_else(|| panic!("`{name}` is not among {names:?}")).1
    }

    /// Takes a tensor out of a file.
    pub(crate) fn without(&self, file: &str, name: &str) {
        let mut tensors = self.tensors(file);
        tensors.retain(|(of, _)| of != name);
        Tensor::write_safetensors(&tensors, self.path(file)).unwrap();
    }

    /// Runs the program in this folder.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, b"")
    }

    /// Runs the program with something on its standard input.
    pub(crate) fn run_with(&self, args: &[&str], stdin: &[u8]) -> Ran {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A program that does not read its input closes the pipe.
        let _ = child.stdin.take().unwrap().write_all(stdin);
        let output = child.wait_with_output().unwrap();
        Ran {
            code: output.status.code().expect("the program exits by itself"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aent"));
        command.args(args).current_dir(self.0.path()).env_remove("CLICOLOR_FORCE");
        command
    }
}

/// A batch of 3 sequences of 4 tokens over 11 token ids, with fields added or replaced.
pub(crate) fn batch(folder: &Folder, changes: &[(&str, Tensor)]) {
    let numbers = |count: i64, scale: f64| {
        (Tensor::arange(count, (Kind::Double, tch::Device::Cpu)) * 0.7).sin() * scale
    };
    let mut fields = vec![
        ("logits", numbers(3 * 4 * 11, 2.0).view([3, 4, 11]).to_kind(Kind::Float)),
        ("actions", Tensor::arange(12, (Kind::Int64, tch::Device::Cpu)).remainder(11).view([3, 4])),
        (
            "response_mask",
            Tensor::from_slice(&[1i64, 1, 1, 1, 1, 1, 1, 0, 1, 0, 0, 0]).view([3, 4]).to_kind(Kind::Bool),
        ),
        ("old_log_prob", (numbers(12, 0.3) - 2.4).view([3, 4]).to_kind(Kind::Float)),
        ("advantages", Tensor::from_slice(&[1f32, -1.0, 0.5])),
    ];
    for (name, tensor) in changes {
        fields.retain(|(of, _)| of != name);
        fields.push((name, tensor.shallow_clone()));
    }
    Tensor::write_safetensors(&fields, folder.path("batch.safetensors")).unwrap();
}
