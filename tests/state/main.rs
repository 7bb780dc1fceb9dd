//! Saved states: bit for bit over long runs, refused where they do not belong, whole after a kill at any statistic.

#![expect(clippy::unwrap_used, reason = "what is unwrapped here is under test")]
#![expect(clippy::float_cmp, reason = "restored numbers are the same bit for bit")]

mod belongs;
mod damaged;
mod formats;

use aent::{Batch, Error, Output, Session, compile};
use aent_plugin_template as _;
use std::fs;
use std::path::PathBuf;
use tch::{Device, Kind, Tensor};

/// Every controller there is, each with a signal where it takes one.
const SPEC: &str = "
    param target = 0.9 in 0 .. 2
    let entropy = entropy()
    controller band   = band(signal = token_mean(entropy), target = target, step = 7e-3, bounds = 1e-5 .. 0.3, init = 2e-4, warmup = 3, reg = 0.1)
    controller linear = linear(from = 0.1, to = 1e-3, steps = 700)
    controller cosine = cosine(from = 0.1, to = 1e-3, steps = 300)
    controller fixed  = constant(value = 0.3)
    controller step   = template::step(signal = token_mean(template::tail_mass(k = 2)), target = 0.3, step = 0.013)
    loss = token_mean(clip_ppo()) - (band + linear + cosine + fixed + step) * token_mean(entropy)";

/// Another small batch at every step, the same in every run.
fn batch(step: u64) -> Batch {
    let phase = step as f64 * 0.61;
    let logits: Vec<f64> =
        (0..30).map(|at| (f64::from(at) * 1.7 + phase).sin() * (2.0 + phase.cos())).collect();
    let token = |shift: f64| {
        let numbers: Vec<f64> = (0..6).map(|at| (f64::from(at) + phase + shift).cos()).collect();
        Tensor::from_slice(&numbers).view([2, 3])
    };
    let actions: Vec<i64> = (0..6).map(|at| (at + step as i64) % 5).collect();
    Batch::new()
        .with("logits", Tensor::from_slice(&logits).view([2, 3, 5]).set_requires_grad(true))
        .with("actions", Tensor::from_slice(&actions).view([2, 3]))
        .with("response_mask", token(1.0).ge(-0.6))
        .with("old_log_prob", token(0.3) - 1.5)
        .with("advantages", token(2.0))
}

fn session(text: &str) -> Session {
    Session::new(compile(text).unwrap_or_else(|failure| panic!("{failure}")))
}

fn advance(session: &mut Session) -> Output {
    let output = session.forward(&batch(session.steps())).unwrap();
    session.update(&output).unwrap();
    output
}

/// Coefficients and loss as bits.
fn bits(session: &Session, output: &Output) -> Vec<u64> {
    let coefficients = session.coefficients();
    coefficients.values().copied().chain([output.loss().f64_at(&[]).unwrap()]).map(f64::to_bits).collect()
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("aent-state-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[track_caller]
fn assert_refused(session: &mut Session, path: &PathBuf, words: &[&str]) {
    let (steps, coefficients) = (session.steps(), session.coefficients());
    let error = session.load(path).expect_err("the state does not belong here");
    assert!(matches!(error, Error::State(_)), "{error}");
    let sentence = error.to_string();
    for word in words {
        assert!(sentence.contains(word), "expected `{word}` in: {sentence}");
    }
    assert_eq!((session.steps(), session.coefficients()), (steps, coefficients), "a refusal changes nothing");
}

#[test]
fn a_session_restored_at_any_step_goes_on_like_one_that_never_stopped() {
    let folder = Folder::new("long");
    let path = folder.file("state.json");
    let mut uninterrupted = session(SPEC);
    let mut interrupted = session(SPEC);
    let mut moved = 0;
    for step in 0..600u64 {
        let before = uninterrupted.coefficients();
        let expected = advance(&mut uninterrupted);
        // Saved and killed often at first, then now and then.
        if step < 40 || step % 37 == 0 {
            interrupted.save(&path).unwrap();
            interrupted = session(SPEC);
            interrupted.load(&path).unwrap();
        }
        let found = advance(&mut interrupted);
        assert_eq!(bits(&interrupted, &found), bits(&uninterrupted, &expected), "step {step}");
        moved += u32::from(before["band"] != uninterrupted.coefficients()["band"]);
    }
    assert_eq!((interrupted.steps(), uninterrupted.steps()), (600, 600));
    assert_eq!(interrupted.state(), uninterrupted.state());
    assert!(moved > 100, "the band moved {moved} times");
}

#[test]
fn the_number_of_steps_is_the_number_of_observations() {
    let mut session = session(SPEC);
    assert_eq!(session.steps(), 0);
    let output = session.forward(&batch(0)).unwrap();
    assert_eq!(session.steps(), 0, "a step is taken when it is observed");
    session.update(&output).unwrap();
    advance(&mut session);
    assert_eq!(session.steps(), 2);
    let state = session.state();
    assert!(state.controllers.iter().all(|controller| controller.state.observations == 2), "{state:?}");
}

#[test]
fn an_output_is_observed_once() {
    let mut session = session(SPEC);
    let output = advance(&mut session);
    let (steps, coefficients) = (session.steps(), session.coefficients());
    let error = session.update(&output).unwrap_err();
    assert!(
        matches!(&error, Error::Step(text) if text.contains("this output was observed before")),
        "{error}"
    );
    assert_eq!((session.steps(), session.coefficients()), (steps, coefficients));
}

#[test]
fn a_state_survives_json_bit_for_bit() {
    let mut session = session(
        "controller c = average(signal = token_mean(log_prob))\n\
         controller d = anchored(signal = token_mean(log_prob), share = 1, bounds = -2 .. 2)\n\
         loss = c * d * token_mean(clip_ppo())",
    );
    for value in [0.1 + 0.2, f64::MIN_POSITIVE, 1.0 / 3.0, 5e-324, 1e300, 0.1f64.next_up(), -0.0] {
        let mut state = session.state();
        state.controllers[0].state.value = value;
        state.controllers[1].state.memory = vec![-value];
        let text = serde_json::to_string(&state).unwrap();
        let back: aent::SessionState = serde_json::from_str(&text).unwrap();
        session.restore(back).unwrap();
        let found = session.state();
        let found = [found.controllers[0].state.value, found.controllers[1].state.memory[0]];
        assert_eq!(found.map(f64::to_bits), [value, -value].map(f64::to_bits), "{value:e}");
    }
}

#[test]
fn a_truncated_file_is_refused_wherever_it_was_cut() {
    let folder = Folder::new("truncated");
    let (whole, cut) = (folder.file("state.json"), folder.file("cut.json"));
    let mut saved = session("controller c = constant(value = 0.3)\nloss = token_mean(log_prob) * c");
    saved.save(&whole).unwrap();
    let bytes = fs::read(&whole).unwrap();
    for length in 0..bytes.len() {
        fs::write(&cut, &bytes[..length]).unwrap();
        assert_refused(&mut saved, &cut, &["cut.json", "is not a saved state"]);
    }
    fs::write(&cut, &bytes).unwrap();
    saved.load(&cut).unwrap();
    assert_refused(&mut saved, &folder.file("nowhere.json"), &["cannot read", "nowhere.json"]);
}

#[test]
fn saving_replaces_a_file_at_once_and_leaves_nothing_beside_it() {
    let folder = Folder::new("atomic");
    let path = folder.file("state.json");
    let mut writer = session(SPEC);
    writer.save(&path).unwrap();
    // A reader at any statistic finds a whole state, the old one or the new one.
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut last, mut reads) = (0, 0u32);
            while !done.load(std::sync::atomic::Ordering::Relaxed) || reads == 0 {
                let text = fs::read_to_string(&path).unwrap();
                let state: aent::SessionState = serde_json::from_str(&text).expect("a whole state");
                assert!(state.steps >= last, "states follow one another");
                (last, reads) = (state.steps, reads + 1);
            }
            reads
        });
        for _ in 0..60 {
            advance(&mut writer);
            writer.save(&path).unwrap();
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(reader.join().unwrap() > 0);
    });
    let names: Vec<_> = fs::read_dir(&folder.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["state.json"]);
    // Where nothing can be written, what was there stays.
    let error = writer.save(folder.file("no-such-folder").join("state.json")).unwrap_err();
    assert!(matches!(&error, Error::State(text) if text.contains("cannot write")), "{error}");
    session(SPEC).load(&path).unwrap();
}

#[test]
fn a_path_without_a_folder_is_one_in_the_working_folder() {
    let name = format!("aent-state-{}.json", std::process::id());
    let saved = session(SPEC);
    saved.save(&name).unwrap();
    let loaded = session(SPEC).load(&name);
    fs::remove_file(&name).unwrap();
    loaded.unwrap();
}

#[test]
fn a_signal_that_is_no_number_moves_nothing() {
    let mut session = session(
        "controller c = band(signal = token_mean(log(advantages)), target = 0, bounds = 0 .. 1, init = 0.5)\n\
         loss = token_mean(log_prob) * c",
    );
    let logits = Tensor::zeros([1, 2, 3], (Kind::Float, Device::Cpu)).set_requires_grad(true);
    let step = |advantages: [f32; 2]| {
        Batch::new()
            .with("logits", logits.shallow_clone())
            .with("actions", Tensor::zeros([1, 2], (Kind::Int64, Device::Cpu)))
            .with("response_mask", Tensor::ones([1, 2], (Kind::Bool, Device::Cpu)))
            .with("advantages", Tensor::from_slice(&advantages).view([1, 2]))
    };
    let output = session.forward(&step([-1.0, 1.0])).unwrap();
    assert!(output.signals().unwrap()["c"].is_nan());
    session.update(&output).unwrap();
    assert_eq!((session.coefficients()["c"], session.steps()), (0.5, 1));
    let output = session.forward(&step([3.0, 3.0])).unwrap();
    session.update(&output).unwrap();
    assert!(session.coefficients()["c"] < 0.5);
}
