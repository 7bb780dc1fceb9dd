//! The logits and what we do with them: one step, forward and backward.

use aent::kernels::{KernelOptions, RowInputs, row_statistics};
use aent::rows::{RowStatistic, Statistic, TokenSet};
use std::path::Path;
use std::time::Instant;
use tch::{Device, Kind, Tensor};

/// The share of the vocabulary that the clamped entropy drops.
pub(crate) const DROP: f64 = 0.3;
/// What the entropy weighs in the loss, as in worker.py.
const ENTROPY_WEIGHT: f64 = 0.01;

/// Over which tokens the entropy is taken; the log-probability is always over all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entropy {
    /// All.
    Full,
    /// All but the lowest 30%.
    Clamped,
    /// The 1,024 likeliest.
    Likeliest,
}

impl Entropy {
    /// Every one of them, with its name on the command line.
    pub(crate) const ALL: [(&'static str, Self); 3] =
        [("full", Self::Full), ("clamped", Self::Clamped), ("likeliest", Self::Likeliest)];

    /// What is computed, in words.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Full => "log-prob and full entropy",
            Self::Clamped => "log-prob and entropy without the lowest 30%",
            Self::Likeliest => "log-prob and entropy of the 1,024 likeliest",
        }
    }

    fn set(self) -> TokenSet {
        match self {
            Self::Full => TokenSet::All,
            Self::Clamped => TokenSet::Drop(DROP),
            Self::Likeliest => TokenSet::TopK(1024),
        }
    }
}

/// `[B, T, V]` logits with actions and advantages; every row counts.
pub(crate) struct Batch {
    logits: Tensor,
    actions: Tensor,
    advantages: Tensor,
    mask: Tensor,
    options: KernelOptions,
}

/// What a step gives.
pub(crate) struct Step {
    /// The loss.
    pub(crate) loss: f64,
    /// The gradient of the logits.
    pub(crate) gradient: Tensor,
    /// How long forward and backward took together.
    pub(crate) seconds: f64,
}

impl Batch {
    /// Mapped from the files of a folder, which are made where there are none.
    pub(crate) fn in_files(folder: &Path, shape: [i64; 3]) -> Self {
        let [b, t, _] = shape;
        Self::of(
            mapped(folder, "logits", &shape, Kind::Float),
            mapped(folder, "actions", &[b, t], Kind::Int64),
            mapped(folder, "advantages", &[b, t], Kind::Float),
        )
    }

    /// With logits that are there already.
    pub(crate) fn with_logits(logits: Tensor) -> Self {
        let size = logits.size();
        let rows = [size[0], size[1]];
        let actions = Tensor::randint(size[2], rows, (Kind::Int64, Device::Cpu));
        Self::of(logits, actions, Tensor::ones(rows, (Kind::Float, Device::Cpu)))
    }

    fn of(logits: Tensor, actions: Tensor, advantages: Tensor) -> Self {
        let mask = Tensor::ones(actions.size(), (Kind::Bool, Device::Cpu));
        Self { logits, actions, advantages, mask, options: KernelOptions::default() }
    }

    /// The same in memory of its own, which a step may write the gradient to.
    pub(crate) fn given_up(&self) -> Self {
        let [logits, actions, advantages] = [&self.logits, &self.actions, &self.advantages].map(Tensor::copy);
        let options = KernelOptions { overwrite_logits: true, ..self.options };
        Self { options, ..Self::of(logits, actions, advantages) }
    }

    /// Takes another batch's logits again.
    pub(crate) fn restore(&self, from: &Self) {
        self.logits.shallow_clone().copy_(&from.logits);
    }

    /// Draws the values; the same on every run.
    pub(crate) fn fill(&self) {
        tch::manual_seed(0);
        let vocabulary = self.logits.size()[2];
        let _ = self.logits.shallow_clone().normal_(0.0, 3.0);
        let _ = self.actions.shallow_clone().random_to_(vocabulary);
        let _ = self.advantages.shallow_clone().normal_(0.0, 1.0);
    }

    /// Reads every logit, so that the mapping is in memory.
    pub(crate) fn touch(&self) {
        assert!(self.logits.sum(Kind::Double).double_value(&[]).is_finite());
    }

    /// How many logits there are.
    pub(crate) fn count(&self) -> usize {
        self.logits.numel()
    }

    /// Forward and backward. The gradient is written to memory of its own, unless the logits were given up.
    pub(crate) fn step(&self, entropy: Entropy) -> Step {
        let of = |set, statistic| RowStatistic::new(set, 1.0, statistic);
        let request = [of(TokenSet::All, Statistic::LogProb), of(entropy.set(), Statistic::Entropy)];
        let start = Instant::now();
        let leaf = self.logits.detach().set_requires_grad(true);
        let [logits, actions, mask] = [&leaf, &self.actions, &self.mask].map(Into::into);
        let inputs = RowInputs::new(&logits, &actions, &mask);
        let found = row_statistics(&inputs, &request, &self.options).expect("the batch fits the request");
        let found: Vec<Tensor> =
            found.iter().map(|found| found.tch().expect("the statistics are tch's")).collect();
        let gain = (&found[0] * &self.advantages).mean(Kind::Float);
        let loss: Tensor = -gain - found[1].mean(Kind::Float) * ENTROPY_WEIGHT;
        loss.backward();
        let loss = loss.double_value(&[]);
        Step { loss, gradient: leaf.grad(), seconds: start.elapsed().as_secs_f64() }
    }

    /// Puts a gradient where the peers find it.
    pub(crate) fn write_gradient(&self, folder: &Path, gradient: &Tensor) {
        mapped(folder, "gradient", &self.logits.size(), Kind::Float).copy_(gradient);
    }
}

fn mapped(folder: &Path, name: &str, shape: &[i64], kind: Kind) -> Tensor {
    let path = folder.join(name);
    let path = path.to_str().expect("the folder's name is text");
    Tensor::from_file(path, true, shape.iter().product::<i64>(), (kind, Device::Cpu)).view(shape)
}
