//! The file from which a run continues: the learner's tensors, the loss's state and the step.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use tch::{Device, Kind, Tensor};

use crate::error::TrainError;

const STEP: &str = "runner.step";
const LOSS: &str = "runner.loss";

/// The state of a run after `step` global steps.
pub(super) struct Checkpoint {
    /// The number of steps made.
    pub(super) step: u64,
    /// The loss's state, as JSON.
    pub(super) loss: String,
    /// The learner's tensors.
    pub(super) tensors: BTreeMap<String, Tensor>,
}

impl Checkpoint {
    /// Writes the file atomically: a kill leaves the old checkpoint or the new one. Step and state are stored as
    /// tensors because two files could not be replaced together.
    pub(super) fn save(
        path: &Path,
        step: u64,
        loss: &str,
        learner: &[(String, Tensor)],
    ) -> Result<(), TrainError> {
        let step = Tensor::from_slice(&[step as i64]);
        let loss = Tensor::from_slice(loss.as_bytes());
        let named: Vec<(&str, &Tensor)> = learner
            .iter()
            .map(|(name, tensor)| (name.as_str(), tensor))
            .chain([(STEP, &step), (LOSS, &loss)])
            .collect();
        write_tensors(path, &named)
    }

    /// Reads the checkpoint, if there is one.
    pub(super) fn load(path: &Path, device: Device) -> Result<Option<Self>, TrainError> {
        if !path.exists() {
            return Ok(None);
        }
        let mut tensors = read_tensors(path)?;
        let (step, loss) = (tensors.remove(STEP), tensors.remove(LOSS));
        let step = step.filter(|of| (of.kind(), of.size()) == (Kind::Int64, vec![1]));
        let step = step.and_then(|of| u64::try_from(of.int64_value(&[0])).ok());
        let loss = loss.filter(|of| (of.kind(), of.dim()) == (Kind::Uint8, 1));
        let loss = loss.and_then(|of| String::from_utf8(Vec::try_from(&of).ok()?).ok());
        let (Some(step), Some(loss)) = (step, loss) else {
            return Err(TrainError::refused(format!(
                "`{}` is not a checkpoint of `aent train`; delete that run's folder",
                path.display()
            )));
        };
        let tensors = tensors.into_iter().map(|(name, tensor)| (name, tensor.to_device(device))).collect();
        Ok(Some(Checkpoint { step, loss, tensors }))
    }
}

/// Reads a safetensors file that [`write_tensors`] wrote.
pub fn read_tensors(path: &Path) -> Result<BTreeMap<String, Tensor>, TrainError> {
    let read = Tensor::read_safetensors(path).map_err(io::Error::other);
    Ok(read.map_err(TrainError::file("read", path))?.into_iter().collect())
}

/// Writes a safetensors file atomically.
pub fn write_tensors(path: &Path, named: &[(&str, &Tensor)]) -> Result<(), TrainError> {
    let fill = |beside: &Path| Tensor::write_safetensors(named, beside).map_err(io::Error::other);
    aent_files::replace(path, fill).map_err(TrainError::file("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_checkpoint_brings_back_what_was_saved() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint.safetensors");
        assert!(Checkpoint::load(&path, Device::Cpu).unwrap().is_none());
        let weight = Tensor::from_slice(&[0.1_f32, -0.2]);
        Checkpoint::save(&path, 25, r#"{"é": 1}"#, &[("weight".to_string(), weight.shallow_clone())])
            .unwrap();
        let back = Checkpoint::load(&path, Device::Cpu).unwrap().unwrap();
        assert_eq!((back.step, back.loss.as_str()), (25, r#"{"é": 1}"#));
        assert_eq!(back.tensors["weight"], weight);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
