//! The numbers of one batch, from which tensors of any kind are made.

use crate::Batch;
use std::ops::Range;
use tch::{Device, Kind, Tensor};

/// The numbers of one batch in f64, with every field of the language. Its tensors have lists of tokens besides: `kept` and
/// `teacher_ids` (`candidates id`), and `teacher_log_prob` (`candidates`); and another reference: `math` (`logits`).
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// B.
    pub sequences: usize,
    /// T.
    pub width: usize,
    /// V.
    pub vocabulary: usize,
    /// `[B, T, V]`
    pub logits: Vec<f64>,
    /// `[B, T, V]` of the reference, which bans the tokens that the policy bans.
    pub ref_logits: Vec<f64>,
    /// `[B, T]`
    pub actions: Vec<i64>,
    /// `[B, T]`
    pub mask: Vec<bool>,
    /// The real token fields, `[B, T]` each.
    pub tokens: Vec<(&'static str, Vec<f64>)>,
    /// `[B]`
    pub rewards: Vec<f64>,
    /// `[B]`
    pub group: Vec<i64>,
    /// `[B, T]` ids of turns, for files that declare `input turn: token int`.
    pub turn: Vec<i64>,
}

/// How many tokens are listed for each token.
pub const LISTED: usize = 4;

/// A batch with the tensors that gradient flows into.
#[derive(Debug)]
pub struct Leaves {
    /// The batch.
    pub batch: Batch,
    /// Its logits.
    pub logits: Tensor,
    /// Its values.
    pub values: Tensor,
}

impl Case {
    /// A token field.
    ///
    /// # Panics
    /// When there is no such field.
    pub fn token(&self, name: &str) -> &[f64] {
        let found = self.tokens.iter().find(|(of, _)| *of == name);
        &found.unwrap_or_else(|| panic!("no token field `{name}`")).1
    }

    /// The same batch with other values of a token field.
    #[must_use]
    pub fn with_token(mut self, name: &'static str, values: Vec<f64>) -> Self {
        self.tokens.retain(|(of, _)| *of != name);
        self.tokens.push((name, values));
        self
    }

    /// The tensors: logits in `kind`, the other real fields in `kind` or f32, whichever is wider.
    pub fn leaves(&self, kind: Kind, device: Device) -> Leaves {
        let wide = if kind == Kind::Double { Kind::Double } else { Kind::Float };
        let (b, t, v) = (self.sequences as i64, self.width as i64, self.vocabulary as i64);
        let leaf = |tensor: Tensor| tensor.to_device(device).detach().set_requires_grad(true);
        let logits = leaf(Tensor::from_slice(&self.logits).to_kind(kind).view([b, t, v]));
        let mut values = Tensor::zeros([b, t], (wide, device));
        let mut batch = Batch::new()
            .with("logits", logits.shallow_clone())
            .with(
                "ref_logits",
                Tensor::from_slice(&self.ref_logits).to_kind(kind).view([b, t, v]).to_device(device),
            )
            .with("math", Tensor::from_slice(&self.math()).to_kind(kind).view([b, t, v]).to_device(device))
            .with("actions", Tensor::from_slice(&self.actions).view([b, t]).to_device(device))
            .with("response_mask", Tensor::from_slice(&self.mask).view([b, t]).to_device(device))
            .with("rewards", Tensor::from_slice(&self.rewards).to_kind(wide).to_device(device))
            .with("group", Tensor::from_slice(&self.group).to_device(device))
            .with("turn", Tensor::from_slice(&self.turn).view([b, t]).to_device(device));
        let each = [b, t, LISTED as i64];
        for (name, ids) in [("kept", self.kept()), ("teacher_ids", self.teacher_ids())] {
            batch = batch.with(name, Tensor::from_slice(&ids.concat()).view(each).to_device(device));
        }
        let taught = Tensor::from_slice(&self.teacher_log_prob().concat()).to_kind(wide).view(each);
        batch = batch.with("teacher_log_prob", taught.to_device(device));
        for (name, numbers) in &self.tokens {
            let mut tensor = Tensor::from_slice(numbers).to_kind(wide).view([b, t]).to_device(device);
            if *name == "values" {
                tensor = leaf(tensor);
                values = tensor.shallow_clone();
            }
            batch = batch.with(*name, tensor);
        }
        Leaves { batch, logits, values }
    }

    /// The logits of another reference, which bans the same tokens.
    pub fn math(&self) -> Vec<f64> {
        let other = |z: &f64| if z.is_finite() { (3.0 * z).sin() - 0.5 * z } else { *z };
        self.ref_logits.iter().map(other).collect()
    }

    /// The tokens listed for each token as `kept`: the action and up to two others, with -1 among them.
    pub fn kept(&self) -> Vec<[i64; LISTED]> {
        self.listed(|action, v| [(action + 3) % v, -1, action, (action + 1) % v])
    }

    /// The tokens listed for each token as `teacher_ids`: the action and up to two others, or none for every fourth action.
    pub fn teacher_ids(&self) -> Vec<[i64; LISTED]> {
        self.listed(|action, v| {
            if action % 4 == 3 { [-1; LISTED] } else { [-1, (action + 2) % v, action, (action + 5) % v] }
        })
    }

    /// What the reference finds of the tokens in `teacher_ids`; NaN where there is none.
    pub fn teacher_log_prob(&self) -> Vec<[f64; LISTED]> {
        let row = |(at, ids): (usize, [i64; LISTED])| {
            let logits = &self.ref_logits[at * self.vocabulary..][..self.vocabulary];
            ids.map(|id| {
                let is_token = (0..self.vocabulary as i64).contains(&id);
                if is_token { log_prob(logits, id as usize) } else { f64::NAN }
            })
        };
        self.teacher_ids().into_iter().enumerate().map(row).collect()
    }

    /// Lists without the same token twice; beside an action that is none, they are wrong in every way.
    fn listed(&self, list: impl Fn(i64, i64) -> [i64; LISTED]) -> Vec<[i64; LISTED]> {
        let v = self.vocabulary as i64;
        let row = |action: &i64| {
            if !(0..v).contains(action) {
                return [v + 7, i64::MIN, 0, 0];
            }
            let mut ids = list(*action, v);
            for at in 1..LISTED {
                if ids[..at].contains(&ids[at]) {
                    ids[at] = -1;
                }
            }
            ids
        };
        self.actions.iter().map(row).collect()
    }

    /// The sequences of a range, as one part of a step.
    #[must_use]
    pub fn part(&self, sequences: Range<usize>) -> Case {
        let tokens = sequences.start * self.width..sequences.end * self.width;
        let logits = tokens.start * self.vocabulary..tokens.end * self.vocabulary;
        Case {
            sequences: sequences.len(),
            width: self.width,
            vocabulary: self.vocabulary,
            logits: self.logits[logits.clone()].to_vec(),
            ref_logits: self.ref_logits[logits].to_vec(),
            actions: self.actions[tokens.clone()].to_vec(),
            mask: self.mask[tokens.clone()].to_vec(),
            tokens: self
                .tokens
                .iter()
                .map(|(name, values)| (*name, values[tokens.clone()].to_vec()))
                .collect(),
            rewards: self.rewards[sequences.clone()].to_vec(),
            group: self.group[sequences].to_vec(),
            turn: self.turn[tokens].to_vec(),
        }
    }

    /// The same batch without trailing columns that no sequence uses.
    #[must_use]
    pub fn trimmed(&self) -> Case {
        let used = |column: usize| (0..self.sequences).any(|row| self.mask[row * self.width + column]);
        let width = (0..self.width).rev().find(|column| used(*column)).map_or(1, |column| column + 1);
        Case {
            width,
            logits: columns(&self.logits, self.width * self.vocabulary, width * self.vocabulary),
            ref_logits: columns(&self.ref_logits, self.width * self.vocabulary, width * self.vocabulary),
            actions: columns(&self.actions, self.width, width),
            mask: columns(&self.mask, self.width, width),
            tokens: self.tokens.iter().map(|(name, x)| (*name, columns(x, self.width, width))).collect(),
            turn: columns(&self.turn, self.width, width),
            ..self.clone()
        }
    }

    /// The same batch with every masked number replaced by NaN, an infinity, a huge number or an invalid token id.
    #[must_use]
    pub fn poisoned(&self) -> Case {
        const POISON: [f64; 4] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e30];
        let mut case = self.clone();
        for at in (0..self.mask.len()).filter(|at| !self.mask[*at]) {
            case.actions[at] = -100;
            case.turn[at] = if at % 2 == 0 { i64::MIN } else { case.turn[0] };
            for (offset, (_, values)) in case.tokens.iter_mut().enumerate() {
                values[at] = POISON[(at + offset) % POISON.len()];
            }
            for logits in [&mut case.logits, &mut case.ref_logits] {
                for (token, logit) in logits[at * self.vocabulary..][..self.vocabulary].iter_mut().enumerate()
                {
                    *logit = POISON[(at + token / 2) % POISON.len()];
                }
            }
        }
        for sequence in (0..self.sequences).filter(|sequence| !self.is_valid(*sequence)) {
            case.rewards[sequence] = POISON[sequence % POISON.len()];
            case.group[sequence] = i64::MIN;
        }
        case
    }

    /// Whether a sequence has a token that counts.
    pub fn is_valid(&self, sequence: usize) -> bool {
        self.mask[sequence * self.width..][..self.width].contains(&true)
    }

    /// The same batch with every number rounded to a kind.
    #[must_use]
    pub fn rounded(&self, kind: Kind) -> Case {
        let round = |values: &[f64]| numbers(&Tensor::from_slice(values).to_kind(kind));
        let mut case = self.clone();
        case.logits = round(&self.logits);
        case.ref_logits = round(&self.ref_logits);
        case
    }
}

/// The logarithm of the softmax of a row at a token.
pub(super) fn log_prob(row: &[f64], token: usize) -> f64 {
    let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    row[token] - top - row.iter().map(|logit| (logit - top).exp()).sum::<f64>().ln()
}

/// The first `kept` of every `width` elements.
fn columns<T: Clone>(x: &[T], width: usize, kept: usize) -> Vec<T> {
    x.chunks(width).flat_map(|row| row[..kept].to_vec()).collect()
}

/// The numbers of a tensor, in order.
pub(super) fn numbers(tensor: &Tensor) -> Vec<f64> {
    let flat = tensor.detach().to_device(Device::Cpu).to_kind(Kind::Double).flatten(0, -1).contiguous();
    Vec::try_from(flat).expect("a flat tensor of f64 is a vector")
}
