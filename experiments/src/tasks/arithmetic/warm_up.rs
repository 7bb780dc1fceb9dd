//! Supervised warm-up to partial skill, done once per seed and shared by all specs.

use std::path::PathBuf;

use tch::Tensor;

use super::model::Model;
use super::problem::Sums;
use super::settings::Settings;
use crate::error::TrainError;
use crate::optimizer::Adam;
use crate::runner::random::Random;
use crate::runner::{read_tensors, write_tensors};
use crate::tasks::Start;

/// Trains a model on demonstrations, unless the seed's shared folder already has one.
pub(super) fn warm_up(settings: &Settings, start: &Start<'_>) -> Result<(), TrainError> {
    let file = file(start);
    if file.exists() {
        return Ok(());
    }
    let sums = Sums::new(settings, start.seed, start.device);
    let model = Model::new(settings, &mut Random::at(start.seed, 0, "model"), start.device);
    let params = model.params();
    let mut adam = Adam::new(&params, settings.warmup_rate, Some(settings.max_gradient_norm));
    let (mut average, mut skilled) = (f64::NAN, false);
    for step in 0..settings.warmup_steps {
        let mut random = Random::at(start.seed, step, "demonstrations");
        let forgotten = if skilled { settings.forgotten_carries } else { settings.forgotten_at_first };
        let shown = sums.demonstrations(settings.warmup_batch, forgotten, &mut random);
        let loss = model
            .score(&shown.prompts, &shown.answers)
            .flatten(0, 1)
            .cross_entropy_for_logits(&shown.answers.flatten(0, 1));
        loss.backward();
        adam.step();
        let loss = loss.double_value(&[]);
        average = if step == 0 { loss } else { 0.9 * average + 0.1 * loss };
        let done = skilled && average < settings.warmup_loss;
        skilled |= average < settings.warmup_loss_at_first;
        if done || step % 100 == 99 {
            (start.say)(&format!("warm-up, step {}: cross-entropy {average:.3}", step + 1));
        }
        if done {
            break;
        }
    }
    let named: Vec<(&str, &Tensor)> = params.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    write_tensors(&file, &named)
}

/// The model that [`warm_up`] saved.
pub(super) fn warmed_up(settings: &Settings, start: &Start<'_>) -> Result<Model, TrainError> {
    let mut model = Model::new(settings, &mut Random::at(start.seed, 0, "model"), start.device);
    let file = file(start);
    model.restore(&read_tensors(&file)?).map_err(|error| error.of_file(&file))?;
    Ok(model)
}

fn file(start: &Start<'_>) -> PathBuf {
    start.shared.join("warmed-up.safetensors")
}
