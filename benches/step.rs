//! What a step costs beyond its formula: a session against the same loss written by hand in tch, forward and
//! backward, taken in turns in one run, after loss and gradient were found equal.

#![expect(clippy::print_stdout, reason = "a benchmark talks to the terminal")]

use aent::{Batch, Session, compile};
use std::time::Instant;
use tch::{Device, Kind, Tensor};

const SHAPE: [i64; 3] = [8, 512, 32_000];

/// The formula in the language and by hand.
struct Pairing {
    name: &'static str,
    spec: &'static str,
    by_hand: fn(&Fields) -> Tensor,
}

const PAIRINGS: [Pairing; 2] = [
    Pairing {
        name: "clip PPO, token mean",
        spec: "loss = token_mean(clip_ppo(low = 0.2, high = 0.2))",
        by_hand: |fields| {
            let logp = fields.logits.log_softmax(-1, Kind::Float);
            fields.mean(&fields.surrogate(&logp))
        },
    },
    Pairing {
        name: "clip PPO and full entropy",
        spec: "loss = token_mean(clip_ppo(low = 0.2, high = 0.2)) - 0.01 * token_mean(entropy())",
        by_hand: |fields| {
            let logp = fields.logits.log_softmax(-1, Kind::Float);
            let entropy = -(logp.exp() * &logp).sum_dim_intlist([-1i64].as_slice(), false, Kind::Float);
            fields.mean(&fields.surrogate(&logp)) - fields.mean(&entropy) * 0.01
        },
    },
];

struct Fields {
    logits: Tensor,
    actions: Tensor,
    mask: Tensor,
    old_log_prob: Tensor,
    advantages: Tensor,
}

impl Fields {
    fn surrogate(&self, logp: &Tensor) -> Tensor {
        let logp = logp.gather(-1, &self.actions.unsqueeze(-1), false).squeeze_dim(-1);
        let ratio = (logp - &self.old_log_prob).exp();
        let gain = -&self.advantages;
        (&gain * &ratio).maximum(&(&gain * ratio.clamp(0.8, 1.2)))
    }

    fn mean(&self, x: &Tensor) -> Tensor {
        let mask = self.mask.to_kind(Kind::Float);
        (x * &mask).sum(Kind::Float) / mask.sum(Kind::Float)
    }

    /// The same with a leaf that has no gradient yet, so that no step adds to that of another.
    fn fresh(&self) -> Self {
        Self {
            logits: self.logits.detach().set_requires_grad(true),
            actions: self.actions.shallow_clone(),
            mask: self.mask.shallow_clone(),
            old_log_prob: self.old_log_prob.shallow_clone(),
            advantages: self.advantages.shallow_clone(),
        }
    }

    fn batch(&self) -> Batch {
        Batch::new()
            .with("logits", self.logits.shallow_clone())
            .with("actions", self.actions.shallow_clone())
            .with("response_mask", self.mask.shallow_clone())
            .with("old_log_prob", self.old_log_prob.shallow_clone())
            .with("advantages", self.advantages.shallow_clone())
    }
}

fn main() {
    // `cargo test --benches` runs this too: small then, to see that it works.
    let measured = std::env::args().any(|arg| arg == "--bench");
    let ([b, t, v], rounds) = if measured { (SHAPE, rounds()) } else { ([2, 8, 50], 1) };
    println!("[{b}, {t}] tokens, V = {v}, f32, {} threads, {rounds} rounds", tch::get_num_threads());
    for valid in [0.6, 1.0] {
        let fields = fields([b, t, v], valid);
        for pairing in &PAIRINGS {
            compare(pairing, &fields, valid, rounds);
        }
    }
}

fn rounds() -> usize {
    std::env::var("AENT_BENCH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(9)
}

/// Responses that fill a share of the width on average, as a batch of samples has them.
fn fields([b, t, v]: [i64; 3], valid: f64) -> Fields {
    tch::manual_seed(0);
    let float = (Kind::Float, Device::Cpu);
    let logits = (Tensor::randn([b, t, v], float) * 2.0).set_requires_grad(true);
    let actions = Tensor::randint(v, [b, t], (Kind::Int64, Device::Cpu));
    let lengths = if valid < 1.0 {
        (Tensor::rand([b, 1], float) * 0.8 + (valid - 0.4)) * t as f64
    } else {
        Tensor::full([b, 1], t as f64, float)
    };
    let mask = Tensor::arange(t, float).unsqueeze(0).lt_tensor(&lengths);
    let old_log_prob = Tensor::randn([b, t], float) * 0.3 - (v as f64).ln() - 2.0;
    Fields { logits, actions, mask, old_log_prob, advantages: Tensor::randn([b, t], float) }
}

fn compare(pairing: &Pairing, fields: &Fields, valid: f64, rounds: usize) {
    let session = Session::new(compile(pairing.spec).unwrap_or_else(|failure| panic!("{failure}")));
    let ours = |fields: &Fields| {
        let output = session.forward(&fields.batch()).expect("the batch is right");
        output.backward().expect("the loss has a gradient");
        output.loss().detach().tch().expect("the loss is tch's")
    };
    let theirs = |fields: &Fields| {
        let loss = (pairing.by_hand)(fields);
        loss.backward();
        loss.detach()
    };
    check(fields, &ours, &theirs);
    let (mut our_times, mut their_times) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        our_times.push(timed(fields, &ours));
        their_times.push(timed(fields, &theirs));
    }
    let (ours, theirs) = (median(our_times), median(their_times));
    println!(
        "{:<28} {:>3.0}% valid: session {:7.1} ms, by hand {:7.1} ms, overhead {:+.1}%",
        pairing.name,
        valid * 100.0,
        ours * 1e3,
        theirs * 1e3,
        (ours / theirs - 1.0) * 100.0
    );
}

fn check(fields: &Fields, ours: &dyn Fn(&Fields) -> Tensor, theirs: &dyn Fn(&Fields) -> Tensor) {
    let run = |step: &dyn Fn(&Fields) -> Tensor| {
        let fresh = fields.fresh();
        (step(&fresh).double_value(&[]), fresh.logits.grad())
    };
    let (expected, gradient) = run(theirs);
    let (found, apart) = run(ours);
    assert!((found - expected).abs() <= 1e-5 * expected.abs().max(1.0), "loss: {found} and {expected}");
    let apart = (apart - &gradient).abs_().max().double_value(&[]);
    let (least, most) = gradient.aminmax(None::<i64>, false);
    let largest = most.double_value(&[]).max(-least.double_value(&[]));
    assert!(apart <= 1e-5 * largest, "gradient: {apart} apart, of {largest}");
}

/// Seconds of one step.
fn timed(fields: &Fields, step: &dyn Fn(&Fields) -> Tensor) -> f64 {
    let fresh = fields.fresh();
    let start = Instant::now();
    let value = step(&fresh).double_value(&[]);
    let seconds = start.elapsed().as_secs_f64();
    assert!(value.is_finite());
    seconds
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
