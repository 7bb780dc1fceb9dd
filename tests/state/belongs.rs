//! To whom a state belongs: to its controllers, and to nothing else of their file.

use super::{Folder, SPEC, advance, assert_refused, session};
use aent::{Compiler, Error, Session, SessionState, compile};

const ONE: &str = "
    param eps = 0.2 in 0 .. 1
    param low = 0.1 in 0 .. 1
    let h = clamped_entropy(drop = 30%)
    controller beta = band(signal = token_mean(h), target = low .. 0.5, step = 0.1, bounds = 0 .. 1, init = 0.01)
    loss = token_mean(clip_ppo(low = eps, high = eps)) - beta * token_mean(h)";

/// The state of `ONE` after a step.
fn saved() -> (SessionState, f64) {
    let mut session = session(ONE);
    advance(&mut session);
    let beta = session.coefficients()["beta"];
    assert!((beta - 0.01).abs() > 1e-6, "the coefficient has moved");
    (session.state(), beta)
}

#[track_caller]
fn restored(text: &str) -> Session {
    let mut session = session(text);
    let (state, beta) = saved();
    session.restore(state).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!((session.coefficients()["beta"], session.steps()), (beta, 1));
    session
}

#[track_caller]
fn refused(session: &mut Session) -> String {
    let before = (session.coefficients(), session.steps());
    let error = session.restore(saved().0).expect_err("another controller");
    assert!(matches!(error, Error::State(_)), "{error}");
    assert_eq!((session.coefficients(), session.steps()), before, "a refusal changes nothing");
    let sentence = error.to_string();
    assert!(!sentence.contains('%') && !sentence.contains('{'), "words of the author: {sentence}");
    sentence
}

#[test]
fn what_no_controller_depends_on_may_change() {
    for text in [
        format!("# another remark\n{ONE}\nmetric kl = token_mean(old_log_prob - log_prob)"),
        ONE.replace("let h =", "let _unused = exp(advantages)\n let h ="),
        format!("{ONE}\nmetric h = token_mean(entropy())"),
        // Lets in another order, names, layout.
        ONE.replace(
            "let h = clamped_entropy(drop = 30%)",
            "let p = clip_ppo(low = eps, high = eps)\nlet h = clamped_entropy(drop = 30%)",
        )
        .replace("token_mean(clip_ppo(low = eps, high = eps))", "token_mean(p)"),
        ONE.replace("let h =", "let   spread =").replace("(h)", "( spread )"),
        // Another loss, and a parameter that only the loss reads.
        ONE.replace("token_mean(clip_ppo(low = eps, high = eps)) - beta", "-beta")
            .replace("param eps = 0.2 in 0 .. 1", ""),
        ONE.replace("eps = 0.2", "eps = 0.25"),
        ONE.replace("loss =", "loss = 2 *"),
        // The same written out: a default that is given, a parameter's value, an operation folded.
        ONE.replace("low .. 0.5", "(0.05 + 0.05) .. 0.5"),
        ONE.replace("init = 0.01)", "init = 0.01, warmup = 0, reg = 0)"),
    ] {
        restored(&text);
    }
}

#[test]
fn another_controller_is_refused_by_name_with_what_differs() {
    for (from, to, words) in [
        (
            "low .. 0.5",
            "low .. 0.4",
            "controller `beta`: `target` is 0.1 .. 0.4 here and 0.1 .. 0.5 in the saved state",
        ),
        (
            "low = 0.1",
            "low = 0.2",
            "controller `beta`: `target` is 0.2 .. 0.5 here and 0.1 .. 0.5 in the saved state",
        ),
        ("step = 0.1", "step = 0.2", "`step` is 0.2 here and 0.1 in the saved state"),
        ("init = 0.01)", "init = 0.01, warmup = 3)", "`warmup` is 3 here and 0 in the saved state"),
        (
            "drop = 30%",
            "drop = 40%",
            "its signal is `token_mean(clamped_entropy(drop = 0.4))` here and `token_mean(clamped_entropy(drop = 0.3))` in",
        ),
        ("signal = token_mean(h)", "signal = -token_mean(h)", "its signal is `-token_mean("),
        ("let h =", "set temperature = 0.5\nlet h =", "clamped_entropy(drop = 0.3) at temperature 0.5"),
        (
            "band(signal = token_mean(h), target = low .. 0.5, step = 0.1, bounds = 0 .. 1, init = 0.01)",
            "constant(value = low)",
            "controller `beta`: it is `constant` here and `band` in the saved state",
        ),
    ] {
        assert!(ONE.contains(from), "{from}");
        let sentence = refused(&mut session(&ONE.replace(from, to)));
        assert!(sentence.contains(words), "expected `{words}` in: {sentence}");
        assert!(sentence.contains("restore_matching"), "says what to do: {sentence}");
    }
    // A parameter that the host sets counts as one that the file sets.
    let sentence =
        refused(&mut Session::new(Compiler::new().set("low", 0.3).compile("spec.aent", ONE).unwrap()));
    assert!(sentence.contains("`target` is 0.3 .. 0.5 here and 0.1 .. 0.5"), "{sentence}");
}

#[test]
fn a_renamed_an_added_and_a_removed_controller_are_told_apart() {
    let renamed = ONE.replace("beta", "weight");
    let sentence = refused(&mut session(&renamed));
    for words in [
        "controller `weight` is not in the saved state",
        "controller `beta` is in the saved state and not here",
        "if `beta` was renamed to `weight`, write that name into the saved state, or name it `beta` again",
    ] {
        assert!(sentence.contains(words), "expected `{words}` in: {sentence}");
    }
    // And that works.
    let (mut state, beta) = saved();
    state.controllers[0].name = "weight".to_owned();
    let mut other = session(&renamed);
    other.restore(state).unwrap();
    assert_eq!(other.coefficients()["weight"], beta);

    let added =
        ONE.replace("loss =", "controller ramp = linear(from = 1, to = 0, steps = 10)\nloss = ramp +");
    let sentence = refused(&mut session(&added));
    assert!(sentence.starts_with("controller `ramp` is not in the saved state; "), "{sentence}");
    assert!(!sentence.contains("renamed"), "{sentence}");

    let mut both = session(&added);
    advance(&mut both);
    let error = session(ONE).restore(both.state()).unwrap_err().to_string();
    assert!(error.starts_with("controller `ramp` is in the saved state and not here; "), "{error}");
}

#[test]
fn what_fits_is_taken_up_and_the_rest_named() {
    let (state, beta) = saved();
    let text = ONE.replace("loss =", "controller ramp = linear(from = 1, to = 0, steps = 10)\nloss = ramp +");
    let mut added = session(&text);
    let fit = added.restore_matching(state.clone()).unwrap();
    assert_eq!((fit.taken, fit.missing), (vec!["beta".to_owned()], vec!["ramp".to_owned()]));
    assert!(fit.unexpected.is_empty() && fit.changed.is_empty());
    assert_eq!((added.coefficients()["beta"], added.coefficients()["ramp"], added.steps()), (beta, 1.0, 1));

    let mut changed = session(&ONE.replace("low .. 0.5", "low .. 0.4"));
    let fit = changed.restore_matching(state).unwrap();
    assert_eq!((fit.taken.len(), changed.coefficients()["beta"]), (0, 0.01));
    assert_eq!(fit.changed[0].0, "beta");
    assert!(fit.changed[0].1.contains("0.1 .. 0.4 here"), "{:?}", fit.changed);
}

#[test]
fn a_file_without_controllers_takes_up_any_state() {
    let mut plain = session("loss = token_mean(clip_ppo())");
    plain.restore(SessionState::default()).unwrap();
    assert_eq!(plain.steps(), 0);
    plain.restore(saved().0).unwrap();
    assert_eq!(plain.steps(), 1);
    // One with controllers needs theirs.
    let error = session(ONE).restore(SessionState::default()).unwrap_err().to_string();
    assert!(error.starts_with("controller `beta` is not in the saved state"), "{error}");
}

#[test]
fn two_ways_to_share_a_value_are_one_signal_and_two_signals_are_two() {
    let text = |signal: &str| {
        format!(
            "let h = entropy()\nlet a = token_mean(h)\nlet b = token_mean(h * h)\n\
             controller c = step(signal = {signal}, target = 0.2)\nloss = c * a + token_mean(clip_ppo()) + 0 * b"
        )
    };
    let signal = |of: &str| compile_signal(&text(of));
    assert_eq!(signal("a + b * a"), signal("token_mean(h) + token_mean(h * h) * token_mean(entropy())"));
    let all = [
        "a + b * a",
        "b + a * a",
        "(a + b) * a",
        "a - b * a",
        "a + b * b",
        "a - (b - a)",
        "a - b - a",
        "-a",
        "a",
        "where(a > 0, a, b)",
    ];
    for (at, one) in all.iter().enumerate() {
        for other in &all[at + 1..] {
            assert_ne!(signal(one), signal(other));
        }
    }
}

fn compile_signal(text: &str) -> String {
    let program = compile(text).unwrap_or_else(|failure| panic!("{failure}"));
    program.expression(program.controllers[0].signal.unwrap())
}

#[test]
fn a_signal_that_shares_every_value_has_a_short_text() {
    use std::fmt::Write as _;
    let mut text = "let x0 = token_mean(log_prob)\n".to_owned();
    for at in 1..200 {
        writeln!(text, "let x{at} = x{} + x{}", at - 1, at - 1).unwrap();
    }
    text += "controller c = step(signal = x199, target = 0.2)\nloss = c * token_mean(clip_ppo())";
    assert!(compile_signal(&text).len() < 10_000);
}

#[test]
fn a_state_of_another_release_of_a_plugin_is_taken_up() {
    let folder = Folder::new("release");
    let path = folder.file("state.json");
    let mut before = session(SPEC);
    advance(&mut before);
    before.save(&path).unwrap();
    // Nothing in the file says which release wrote it, so none can be refused.
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(!text.contains(env!("CARGO_PKG_VERSION")) && !text.contains("aent-plugin-template"), "{text}");
    // An argument that this release has and that one had not is at its default.
    let mut state: serde_json::Value = serde_json::from_str(&text).unwrap();
    let last = state["controllers"].as_array_mut().unwrap().last_mut().unwrap();
    assert_eq!(last["kind"], "template::step");
    assert!(last["args"].as_object_mut().unwrap().remove("bounds").is_some());
    std::fs::write(&path, state.to_string()).unwrap();
    let mut after = session(SPEC);
    after.load(&path).unwrap();
    assert_eq!(after.coefficients(), before.coefficients());
    // One that is gone cannot be compared.
    let mut state: serde_json::Value = serde_json::from_str(&text).unwrap();
    state["controllers"][0]["args"]["momentum"] = 0.5.into();
    std::fs::write(&path, state.to_string()).unwrap();
    assert_refused(
        &mut session(SPEC),
        &path,
        &["controller `band`", "`momentum` is not set here and 0.5 in"],
    );
}

#[test]
fn controllers_of_one_name_in_two_imported_files_have_states_of_their_own() {
    let folder = Folder::new("imported");
    let of = |signal: &str| {
        format!(
            "controller beta = band(signal = {signal}, target = 9, step = 0.1, bounds = 0 .. 1, init = 0.01)"
        )
    };
    std::fs::write(folder.file("wide.aent"), of("token_mean(entropy())")).unwrap();
    std::fs::write(folder.file("narrow.aent"), of("token_mean(clamped_entropy(top_k = 2))")).unwrap();
    let text = "import \"wide.aent\" as wide\nimport \"narrow.aent\" as narrow\n\
        loss = token_mean(clip_ppo()) - wide.beta * token_mean(entropy()) - narrow.beta * token_mean(log_prob)";
    std::fs::write(folder.file("main.aent"), text).unwrap();
    let session = || Session::new(aent::compile_file(folder.file("main.aent")).unwrap());
    let mut moved = session();
    let output = advance(&mut moved);
    let signals = output.signals().unwrap();
    assert!(signals["wide.beta"] > signals["narrow.beta"] + 0.1, "{signals:?}");
    let coefficients = moved.coefficients();
    assert_eq!(coefficients.keys().collect::<Vec<_>>(), ["narrow.beta", "wide.beta"]);
    assert!(coefficients["wide.beta"] < coefficients["narrow.beta"], "{coefficients:?}");
    let mut restored = session();
    restored.restore(moved.state()).unwrap();
    assert_eq!(restored.coefficients(), coefficients);
}

#[test]
fn a_controller_is_named_behind_the_fewest_names_and_of_those_the_first() {
    let folder = Folder::new("diamond");
    let write = |file: &str, text: &str| std::fs::write(folder.file(file), text).unwrap();
    write(
        "beta.aent",
        "controller beta = band(signal = token_mean(entropy()), target = 9, step = 0.1, bounds = 0 .. 1, init = 0.1)",
    );
    write("left.aent", "import \"beta.aent\" as l\nlet left = l.beta");
    write("right.aent", "import \"beta.aent\" as r\nlet right = r.beta");
    write("far.aent", "import \"left.aent\"\nlet far = left");
    let named = |imports: &str, value: &str| {
        let text = format!("{imports}\nloss = token_mean(clip_ppo()) - {value} * token_mean(entropy())");
        write("main.aent", &text);
        let program = aent::compile_file(folder.file("main.aent")).unwrap();
        Session::new(program).coefficients().into_keys().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(named("import \"left.aent\"\nimport \"right.aent\"", "left"), "l.beta");
    assert_eq!(named("import \"right.aent\"\nimport \"left.aent\"", "left"), "r.beta");
    // Chains of the same length: the file that is fewer imports away comes first.
    assert_eq!(named("import \"far.aent\"\nimport \"right.aent\"", "far"), "r.beta");
    assert_eq!(named("import \"far.aent\" as f\nimport \"right.aent\"", "f.far"), "r.beta");
    assert_eq!(named("import \"far.aent\" as f\nimport \"beta.aent\"", "f.far"), "beta");
}
