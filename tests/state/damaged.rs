//! States that no run can have left are refused before anything changes.

use super::{Folder, advance, assert_refused, session};
use aent::{Session, SessionState};
use serde_json::{Value, json};
use std::fs;

const SPEC: &str = "
    let h = token_mean(entropy())
    controller beta = band(signal = h, target = 0 .. 0.5, step = 0.1, bounds = 1e-5 .. 0.3, init = 2e-4)
    controller pid  = pid(signal = h, target = 0.2, p = 0.1, i = 0.01)
    controller gate = step(signal = h, target = 0.2, step = 0.1, bounds = 0.1 .. 1, init = 0.2, gate = true)
    controller mean = average(signal = h)
    loss = token_mean(clip_ppo()) - (beta + pid + gate + 0 * mean) * h";

fn moved() -> Session {
    let mut session = session(SPEC);
    advance(&mut session);
    session
}

#[track_caller]
fn refused(damage: impl Fn(&mut SessionState), words: &str) {
    for matching in [false, true] {
        let mut state = moved().state();
        damage(&mut state);
        let mut fresh = session(SPEC);
        let before = fresh.state();
        let result = if matching { fresh.restore_matching(state).map(|_| ()) } else { fresh.restore(state) };
        let error = result.expect_err(words).to_string();
        assert!(error.contains(words), "expected `{words}` in: {error}");
        assert_eq!(fresh.state(), before, "a refusal changes nothing");
    }
}

#[test]
fn values_outside_of_a_controllers_bounds_are_refused() {
    for (value, words) in [
        (f64::NAN, "controller `beta` in the saved state: expected a finite `value`, found NaN"),
        (f64::INFINITY, "expected a finite `value`, found inf"),
        (99.0, "controller `beta` in the saved state: expected a `value` within 0.00001 .. 0.3, found 99"),
        (-1.0, "found -1"),
        (0.0, "found 0"),
    ] {
        refused(|state| state.controllers[0].state.value = value, words);
    }
    // The last controller is wrong and the first is right: none is taken up.
    refused(|state| state.controllers[3].state.value = f64::NAN, "controller `mean`");
}

#[test]
fn counts_that_would_overflow_are_refused() {
    refused(|state| state.steps = u64::MAX, "`steps`, found 18446744073709551615");
    refused(
        |state| state.controllers[1].state.observations = u64::MAX,
        "`observations`, found 18446744073709551615",
    );
    refused(|state| state.controllers[1].state.observations = (1 << 53) + 1, "at most 9007199254740992");
    // The highest that is taken up can be observed from.
    let mut state = moved().state();
    state.steps = 1 << 53;
    state.controllers[0].state.observations = 1 << 53;
    let mut high = session(SPEC);
    high.restore(state).unwrap();
    let output = high.forward(&super::batch(0)).unwrap();
    high.update(&output).unwrap();
}

#[test]
fn a_memory_of_the_wrong_length_or_without_numbers_is_refused() {
    refused(
        |state| state.controllers[0].state.memory.push(0.1),
        "controller `beta` in the saved state: expected a `memory` of length 0, found length 1",
    );
    refused(
        |state| state.controllers[1].state.memory.clear(),
        "controller `pid` in the saved state: expected a `memory` of length 1 to 2",
    );
    refused(
        |state| state.controllers[1].state.memory.push(0.0),
        "expected a `memory` of length 1 to 2, found length 3",
    );
    refused(
        |state| state.controllers[2].state.memory.clear(),
        "expected a `memory` of length 1, found length 0",
    );
    refused(
        |state| state.controllers[2].state.memory[0] = f64::NAN,
        "expected finite numbers in `memory`, found NaN",
    );
}

#[test]
fn a_controller_that_is_there_twice_is_refused() {
    refused(
        |state| {
            let first = state.controllers[0].clone();
            state.controllers.push(first);
        },
        "controller `beta` twice",
    );
}

#[test]
fn files_are_judged_as_states_are() {
    let folder = Folder::new("damaged");
    let path = folder.file("state.json");
    let whole = serde_json::to_string(&moved().state()).unwrap();
    let with = |from: &str, to: &str| {
        assert!(whole.contains(from), "{from} in {whole}");
        fs::write(&path, whole.replacen(from, to, 1)).unwrap();
    };
    with("\"observations\":1", "\"observations\":-1");
    assert_refused(&mut session(SPEC), &path, &["is not a saved state"]);
    with("\"observations\":1", "\"observations\":18446744073709551615");
    assert_refused(&mut session(SPEC), &path, &["`observations`"]);
    with("\"value\":", "\"value\":NaN, \"was\":");
    assert_refused(&mut session(SPEC), &path, &["is not a saved state"]);
    with("\"value\":", "\"value\":1e999, \"was\":");
    assert_refused(&mut session(SPEC), &path, &[]);
    with("\"value\":", "\"value\":77, \"was\":");
    assert_refused(&mut session(SPEC), &path, &["`value` within"]);
    for text in [
        "",
        "null",
        "[]",
        "3",
        "{}",
        "{\"format\": 2}",
        "{\"format\": 1, \"steps\": 0, \"controllers\": [[]]}",
    ] {
        fs::write(&path, text).unwrap();
        assert_refused(&mut session(SPEC), &path, &["is not a saved state"]);
    }
}

/// A file is refused with its name, and nothing changes, or it is restored as it reads.
fn refused_or_restored(path: &std::path::PathBuf, what: &str) -> bool {
    let mut fresh = session(SPEC);
    let before = fresh.state();
    let refused = fresh.load(path).err();
    if let Some(error) = refused {
        assert!(matches!(error, aent::Error::State(_)), "{what}: {error}");
        assert_eq!(fresh.state(), before, "{what}: a refusal changes nothing");
        return false;
    }
    // Arguments are the session's own: one that a file lacks is at its default.
    let found = fresh.state();
    let restored = |state: &SessionState| {
        let of = |of: &aent::SavedController| (of.name.clone(), (of.signal.clone(), of.state.clone()));
        state.controllers.iter().map(of).collect::<std::collections::BTreeMap<_, _>>()
    };
    let read = SessionState::read(path).unwrap();
    assert_eq!((found.steps, restored(&found)), (read.steps, restored(&read)), "{what}");
    true
}

#[test]
fn a_wrong_byte_is_refused_or_restored_as_it_reads() {
    let folder = Folder::new("flipped");
    let path = folder.file("state.json");
    let whole = serde_json::to_vec(&moved().state()).unwrap();
    let (mut refused, mut restored) = (0, 0);
    for at in 0..whole.len() {
        for flip in [0x01, 0x02, 0x08, 0x20, 0x80] {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            fs::write(&path, &bytes).unwrap();
            let what = format!("byte {at}: {}", String::from_utf8_lossy(&bytes));
            *if refused_or_restored(&path, &what) { &mut restored } else { &mut refused } += 1;
        }
    }
    // Most bytes are words; those of numbers may make another number.
    assert!(refused > 2 * whole.len() && restored > 50, "{refused} refused, {restored} restored");
}

#[test]
fn a_key_that_is_missing_is_refused_and_one_that_nobody_knows_is_left() {
    let folder = Folder::new("keys");
    let path = folder.file("state.json");
    let whole = serde_json::to_value(moved().state()).unwrap();
    let mut all = Vec::new();
    objects(&whole, "", &mut all);
    assert!(all.len() > 10, "{all:?}");
    let mut missing = 0;
    for at in &all {
        let keys: Vec<String> = whole.pointer(at).unwrap().as_object().unwrap().keys().cloned().collect();
        for key in keys {
            for other in
                [None, Some(Value::Null), Some(json!("other")), Some(json!([[]])), Some(json!({"a": 1}))]
            {
                let mut damaged = whole.clone();
                let fields = damaged.pointer_mut(at).unwrap().as_object_mut().unwrap();
                fields.remove(&key);
                let is_gone = other.is_none();
                fields.extend(other.map(|other| (key.clone(), other)));
                fs::write(&path, damaged.to_string()).unwrap();
                let restored = refused_or_restored(&path, &format!("{at}/{key}: {damaged}"));
                missing += u32::from(is_gone && !restored);
            }
        }
        let mut damaged = whole.clone();
        let fields = damaged.pointer_mut(at).unwrap().as_object_mut().unwrap();
        fields.insert("nobody".to_owned(), json!([1, "x"]));
        fs::write(&path, damaged.to_string()).unwrap();
        // Arguments are compared, so one too many belongs to another controller.
        assert_eq!(refused_or_restored(&path, &damaged.to_string()), !at.ends_with("/args"), "{at}");
    }
    assert!(missing > 15, "{missing} keys are needed");
}

/// Every object of a file, by its path.
fn objects(value: &Value, at: &str, all: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            all.push(at.to_owned());
            fields.iter().for_each(|(name, value)| objects(value, &format!("{at}/{name}"), all));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, of)| objects(of, &format!("{at}/{index}"), all));
        }
        _ => {}
    }
}
