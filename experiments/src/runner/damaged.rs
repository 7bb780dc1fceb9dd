//! Damaged checkpoints: refused with the file's name, or restored to the last bit, never in part and never with a panic.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use tch::{Device, Kind, Tensor};
use tempfile::TempDir;

use super::checkpoint::{read_tensors, write_tensors};
use super::job::Job;
use super::objective::Objective;
use crate::tasks::{Learner, Probe, Start};

const SPEC: &str = "let entropy = entropy()
    controller beta = band(signal = token_mean(entropy), target = 0.5, step = 0.1, bounds = 0 .. 1, init = 0.1)
    loss = token_mean(clip_ppo()) - beta * token_mean(entropy)";
const STEPS: u64 = 3;

/// A run of three steps, and what continues it.
struct Trained {
    folder: TempDir,
    program: aent::Program,
    learner: Box<dyn Learner>,
}

impl Trained {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let changes =
            ["vocabulary=13", "width=4", "layers=1", "heads=1", "warmup_steps=2", "prompts=2", "group=2"];
        let changes = changes.iter().chain(&["held_out=4", "epochs=1", "longest_answer=4"]);
        let changes: Vec<_> = changes.map(|of| of.split_once('=').unwrap()).collect();
        let changes: Vec<_> =
            changes.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let task = crate::tasks::named("arithmetic", None, &changes, Some(STEPS)).unwrap();
        let start = Start {
            seed: 3,
            case: "main",
            device: Device::Cpu,
            shared: folder.path(),
            probe: Probe { kept: aent::rows::TokenSet::Drop(0.3), band: None },
            say: &|_| {},
        };
        task.prepare(&start).unwrap();
        let learner = task.start(&start).unwrap();
        let mut trained = Self { folder, program: aent::compile(SPEC).unwrap(), learner };
        trained.go_on().unwrap();
        trained
    }

    /// Trains from the checkpoint to the last step.
    fn go_on(&mut self) -> Result<Objective, String> {
        let mut objective = Objective::new(self.program.clone());
        let job = Job {
            folder: self.folder.path(),
            steps: STEPS,
            checkpoint_every: STEPS,
            device: Device::Cpu,
            stop: &AtomicBool::new(false),
            warn: &|_| {},
        };
        job.train(self.learner.as_mut(), &mut objective, |_, _| {}).map_err(|error| error.to_string())?;
        Ok(objective)
    }

    fn checkpoint(&self) -> std::path::PathBuf {
        self.folder.path().join("checkpoint.safetensors")
    }

    /// Asserts that a checkpoint is refused by its name or restored as it is, and says whether it is restored.
    fn judge(&mut self, what: &str) -> bool {
        match self.go_on() {
            Err(said) => {
                assert!(
                    said.contains("checkpoint.safetensors") || said.contains("metrics.jsonl"),
                    "{what}: {said}"
                );
                false
            }
            Ok(objective) => {
                let saved = read_tensors(&self.checkpoint()).unwrap();
                for (name, tensor) in self.learner.save() {
                    assert_eq!(bits(&tensor), bits(&saved[&name]), "{what}: {name}");
                }
                let loss = Vec::<u8>::try_from(&saved["runner.loss"]).unwrap();
                let loss: aent::SessionState = serde_json::from_slice(&loss).unwrap();
                let state: aent::SessionState = serde_json::from_str(&objective.state().unwrap()).unwrap();
                assert_eq!(state, loss, "{what}");
                true
            }
        }
    }
}

/// How many bytes the header has, with its length before it.
fn header(whole: &[u8]) -> usize {
    8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize
}

fn bits(tensor: &Tensor) -> Vec<u8> {
    let bytes = tensor.contiguous().view(-1).view_dtype(Kind::Uint8);
    Vec::try_from(&bytes).unwrap()
}

#[test]
fn a_checkpoint_that_was_cut_anywhere_is_refused() {
    let mut trained = Trained::new();
    let whole = fs::read(trained.checkpoint()).unwrap();
    // Every byte of the names and shapes, then now and then, and the last.
    let header = header(&whole);
    for length in (0..header + 64).chain((header..whole.len()).step_by(61)).chain([whole.len() - 1]) {
        fs::write(trained.checkpoint(), &whole[..length]).unwrap();
        assert!(!trained.judge(&format!("cut at {length}")));
    }
    fs::write(trained.checkpoint(), &whole).unwrap();
    assert!(trained.judge("whole"));
}

#[test]
fn a_checkpoint_with_a_wrong_byte_is_refused_or_restored_as_it_is() {
    let mut trained = Trained::new();
    let whole = fs::read(trained.checkpoint()).unwrap();
    let header = header(&whole);
    let (mut refused, mut restored) = (0, 0);
    for at in (0..header).chain((header..whole.len()).step_by(41)) {
        for flip in [0x01, 0x80] {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            fs::write(trained.checkpoint(), &bytes).unwrap();
            let counted = if trained.judge(&format!("byte {at} with {flip:#x}")) {
                &mut restored
            } else {
                &mut refused
            };
            *counted += 1;
        }
    }
    assert!(refused > header / 2 && restored > 100, "{refused} refused, {restored} restored");
}

#[test]
fn a_checkpoint_with_other_tensors_is_refused_by_their_names() {
    let mut trained = Trained::new();
    let path = trained.checkpoint();
    let whole = read_tensors(&path).unwrap();
    let write = |tensors: &BTreeMap<String, Tensor>, path: &Path| {
        let named: Vec<_> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        write_tensors(path, &named).unwrap();
    };
    for name in whole.keys() {
        let tensor = &whole[name];
        let others = [
            None,
            Some(Tensor::zeros([0], (tensor.kind(), Device::Cpu))),
            Some(Tensor::zeros([1, 1, 1, 1, 1], (tensor.kind(), Device::Cpu))),
            Some(tensor.to_kind(Kind::Half)),
        ];
        for other in others {
            let mut tensors: BTreeMap<_, _> =
                whole.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect();
            tensors.remove(name);
            tensors.extend(other.map(|tensor| (name.clone(), tensor)));
            write(&tensors, &path);
            let said = trained.go_on().map(|_| ()).expect_err(name);
            let is_own = name.starts_with("runner.");
            assert!(said.contains("checkpoint.safetensors"), "{name}: {said}");
            assert!(is_own || said.contains(&format!("`{name}`")), "{name}: {said}");
        }
    }
    // Of a step that no run makes, and of another loss.
    for (name, tensor) in [
        ("runner.step", Tensor::from_slice(&[-1i64])),
        ("runner.step", Tensor::from_slice(&[i64::MAX])),
        ("runner.loss", Tensor::from_slice(b"\xff\xfe")),
        ("runner.loss", Tensor::from_slice(b"{\"format\":99,\"steps\":1,\"controllers\":[]}")),
        ("runner.loss", Tensor::from_slice(b"{\"format\":2,\"steps\":1,\"controllers\":[]}")),
    ] {
        let mut tensors: BTreeMap<_, _> =
            whole.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect();
        tensors.insert(name.to_owned(), tensor);
        write(&tensors, &path);
        assert!(!trained.judge(name), "{name}");
    }
}
