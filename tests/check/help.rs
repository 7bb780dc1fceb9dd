//! What the checker says to write instead, above all for names and habits from other frameworks and languages.

use aent::Compiler;
use aent::diag::{Diagnostic, Diagnostics};

/// A loss below each text that has none.
const LOSS: &str = "loss = -token_mean(advantages * log_prob)\n";

fn all(text: &str) -> Vec<Diagnostic> {
    let text = if text.contains("loss =") || text.contains("loss:") {
        text.to_owned()
    } else {
        format!("{text}\n{LOSS}")
    };
    let found: Diagnostics = match Compiler::new().compile("spec.aent", &text) {
        Ok(program) => program.warnings().clone(),
        Err(failure) => failure.diagnostics,
    };
    found.into_iter().collect()
}

/// Asserts that exactly one thing is found in the text, with this id, and that the help has this part.
#[track_caller]
fn helped(text: &str, id: &str, part: &str) {
    let found = all(text);
    let [item] = found.as_slice() else { panic!("expected one finding in `{text}`, found {found:#?}") };
    assert_eq!(item.id, id, "{text}: {item:#?}");
    let help = item.help.as_deref().unwrap_or_default();
    assert!(help.contains(part), "expected `{part}` for `{text}`, found `{help}`");
}

/// The text after the one fix in it.
#[track_caller]
fn fixed(text: &str) -> String {
    let found = all(text);
    let fixes: Vec<_> = found.iter().filter_map(|item| item.fix.as_ref()).collect();
    let [fix] = fixes.as_slice() else { panic!("expected one fix in `{text}`, found {found:#?}") };
    format!("{}{}{}", &text[..fix.span.start as usize], fix.replacement, &text[fix.span.end as usize..])
}

#[test]
fn functions_of_other_frameworks_are_translated() {
    for (call, part) in [
        ("grpo()", "clip_ppo(advantages = grpo_advantages())"),
        ("dapo()", "high = 0.28"),
        ("dpo()", "import \"std/preferences.aent\""),
        ("kto_loss()", "import \"std/preferences.aent\""),
        ("mean(log_prob)", "token_mean(x)"),
        ("masked_mean(log_prob)", "token_mean(x)"),
        ("sum(log_prob)", "token_sum(x)"),
        ("std(rewards)", "group_std(rewards)"),
        ("relu(log_prob)", "max(x, 0)"),
        ("pow(log_prob, 2)", "x^2"),
        ("square(log_prob)", "x^2"),
        ("log1p(log_prob)", "log(1 + x)"),
        ("minimum(log_prob, 0)", "`min`"),
        ("clip(log_prob, 0, 1)", "`clamp`"),
        ("logsigmoid(log_prob)", "-softplus(-x)"),
        ("stop_gradient(log_prob)", "`detach`"),
        ("sg(log_prob)", "`detach`"),
        ("softmax(log_prob)", "`log_prob`"),
        ("log_softmax(log_prob)", "`log_prob`"),
        ("cross_entropy()", "-log_prob"),
        ("nll()", "-log_prob"),
        ("kl_div()", "kl()"),
        ("ppo()", "`clip_ppo`"),
        ("geo_mean()", "`gmpo`"),
        ("tokn_mean(log_prob)", "did you mean `token_mean`?"),
    ] {
        helped(&format!("let a = {call}"), "unknown-name", part);
    }
}

#[test]
fn values_of_other_frameworks_are_translated() {
    for (value, part) in [
        ("logp", "`log_prob`"),
        ("log_probs", "`log_prob`"),
        ("old_log_probs", "`old_log_prob`"),
        ("ref_logprobs", "`ref_log_prob`"),
        ("adv", "`advantages`"),
        ("mask", "`response_mask`"),
        ("loss_mask", "`response_mask`"),
        ("uid", "`group`"),
        ("token_ids", "`actions`"),
        ("reward", "`rewards`"),
        ("eps", "`param eps = 0.2`"),
        ("clip_ratio_c", "`param"),
        ("KL", "`kl()`"),
        ("True", "`true`"),
        ("None", "leave the argument out"),
        ("weight", "declare it: `input weight: token`"),
    ] {
        helped(&format!("let a = {value}"), "unknown-name", part);
    }
}

#[test]
fn a_suggestion_fits_its_place_and_is_never_what_was_written() {
    // `pid` is a controller, `token_sum` a reduction, `mass_entropy` needs arguments.
    for name in ["pidd", "token_su", "bandd"] {
        helped(&format!("let a = {name}"), "unknown-name", "declare it");
    }
    helped("let a = 1 - global_step", "unknown-name", "`step`");
    helped("fn f(x, r) = x\nlet a = f(log_prob, token_mean)", "not-a-value", "call it: `token_mean(x)`");
    helped("let a = band", "not-a-value", "controller beta = band(...)");
    helped("let A = rewards\nlet b = a", "unknown-name", "did you mean `A`?");
    helped("controller b = entropy_band(target = 1)", "unknown-name", "they are `adaptive_kl`,");
    helped("controller b = bnd(target = 1)", "unknown-name", "did you mean `band`?");
}

#[test]
fn arguments_of_other_frameworks_are_translated() {
    for (call, part) in [
        ("clip_ppo(eps = 0.2)", "`low = 0.2, high = 0.2`"),
        ("clip_ppo(epsilon_high = 0.2)", "`high`"),
        ("clip_ppo(clip_ratio_low = 0.2)", "`low`"),
        ("clip_ppo(clip_ratio_c = 3)", "`dual`"),
        ("kl(kl_type = \"k3\")", "`estimator`"),
        ("group_mean(rewards, by = group)", "`group`"),
        ("kl(foo = 1)", "its arguments are `estimator`, `input_clamp`,"),
        ("token_mean(log_prob, foo = 1)", "takes no arguments"),
    ] {
        helped(&format!("let a = {call}"), "unknown-argument", part);
    }
}

#[test]
fn choices_are_translated_and_quoted() {
    helped("let a = kl(estimator = \"low_var_kl\")", "argument-value", "`estimator = \"k3\"`");
    helped("let a = kl(estimator = \"K3\")", "argument-value", "`estimator = \"k3\"`");
    helped("let a = gspo(level = \"seq\")", "argument-value", "`level = \"sequence\"`");
    helped("let a = kl(estimator = k3)", "argument-type", "`\"k3\"`");
    helped("let a = kl(estimator = low_var_kl)", "argument-type", "`\"k3\"`");
    helped("let a = kl(\"k3\")", "argument-needs-name", "`estimator = \"k3\"`");
    let target = "controller b = band(signal = token_mean(entropy), target = \"0.1..0.5\")";
    helped(target, "argument-type", "`target = 0.1 .. 0.5`");
}

#[test]
fn what_is_unknown_is_told_before_what_is_missing() {
    let signal = "signal = token_mean(entropy)";
    helped(&format!("controller b = band({signal}, targets = 0.1)"), "unknown-argument", "`target`");
    let found = all("controller b = cosine(from = 1, step = 100)");
    let ids: Vec<_> = found.iter().map(|item| (item.id, item.message.as_str())).collect();
    let missing = ("missing-argument", "`cosine` needs the argument `to`");
    assert_eq!(ids, [missing, ("unknown-argument", "`cosine` has no argument `step`")]);
    helped("controller b = cosine()", "missing-argument", "`cosine(from = ..., to = ..., steps = ...)`");
    helped("let a = pass_at_k(rewards)", "missing-argument", "`pass_at_k(samples = ..., k = ...)`");
    helped("let a = pass_at_k(k = 2)", "missing-argument", "`pass_at_k(right = ..., samples = ...)`");
    let by_position = "controller b = adaptive_kl(token_mean(kl()), 0.1)";
    helped(by_position, "argument-needs-name", "`adaptive_kl(signal = ..., target = ..., samples = ...)`");
}

#[test]
fn habits_of_other_languages_are_answered() {
    for (text, id, part) in [
        ("loss: token_mean(clip_ppo())", "syntax-error", "`loss = ...`"),
        ("let a = clip_ppo(low: 0.2)", "syntax-error", "`low = ...`"),
        ("loss = token_mean(clip_ppo(low: 0.2))", "syntax-error", "`low = ...`"),
        ("fn f(a: token) = a", "syntax-error", "no type"),
        ("fn f(a) { a }", "syntax-error", "`{ let a = ... return a }`"),
        ("input w: [B, T]", "unexpected-character", "`input w: token`"),
        ("let a = log_prob[0]", "unexpected-character", "no indexing"),
        ("let a = quantile([0.1, 0.5], 0.5)", "unexpected-character", "`a .. b`"),
        ("let a = clip_ppo().mean()", "syntax-error", "`token_mean(...)`"),
        ("let a = log_prob.exp()", "syntax-error", "`exp(...)`"),
        ("let a = np.exp(log_prob)", "syntax-error", "without `np.`"),
        ("let a = 0.001 entropy", "syntax-error", "`0.001 * entropy`"),
        ("let a = 2 (log_prob)", "syntax-error", "`2 * (`"),
        ("for i in 3", "unknown-statement", "no loops"),
        ("loss critic token_mean(entropy)", "syntax-error", "`loss critic = ...`"),
        ("assert token_mean(entropy) < 1", "syntax-error", "\"weights explode\""),
        ("param a = \"x\" in \"x\" \"y\"", "syntax-error", "in \"k1\", \"k3\""),
        ("fn f(a) { let b = a }", "syntax-error", "`{ let a = ... return a }`"),
        ("fn f(a) = { return a }", "missing-expression", "no `=` before it"),
        ("fn f(a) {\n  let b = a * 2\n  b\n}", "syntax-error", "`{ let a = ... return a }`"),
        ("extra a = log_prob", "unknown-statement", "in the block of a `fn`"),
        (
            "param use_kl = 1\nif use_kl {\n  let a = kl()\n}\nlet b = a * use_kl",
            "unknown-statement",
            "where(",
        ),
        ("let temperature = 0.7", "unused-let", "`set temperature = ...`"),
        ("# aent allow(unused-let)", "unknown-directive", "`# aent: allow(unused-let)`"),
    ] {
        helped(text, id, part);
    }
}

#[test]
fn a_broken_function_causes_no_second_error() {
    for definition in [
        "fn ratio(a, b) { exp(a - b) }",
        "fn ratio(a: token, b) = exp(a - b)",
        "def ratio(a, b): return exp(a - b)",
        "fn ratio(a, b) = exp(a -",
    ] {
        let text = format!("{definition}\nlet r = ratio(log_prob, old_log_prob)\nlet q = ratio(r, r)");
        assert_eq!(all(&text).len(), 1, "{text}: {:#?}", all(&text));
    }
}

#[test]
fn controllers_and_settings_say_what_they_cannot_read() {
    let beta = |arguments: &str| {
        format!(
            "controller goal = linear(from = 0, to = 1, steps = 10)\ncontroller b = {arguments}\nloss = goal * token_mean(clip_ppo()) - b * token_mean(entropy)"
        )
    };
    let signal = "signal = token_mean(entropy)";
    helped(
        &beta(&format!("band({signal}, target = batch_mean(rewards))")),
        "argument-not-constant",
        "target = 0",
    );
    helped(&beta(&format!("band({signal} + b, target = 0.1)")), "used-before-definition", "`average`");
    helped(
        &beta(&format!("band({signal}, target = -1 .. -0.5)")),
        "target-out-of-reach",
        "no entropy is negative",
    );
    let turned = "controller b = dual_ascent(signal = -token_mean(entropy), at_least = 0.3)\n\
                  loss = token_mean(clip_ppo()) + b * token_mean(kl())";
    helped(turned, "target-out-of-reach", "sign");
    helped(
        &beta("band(signal = token_mean(exp(log_prob)), target = 1.5)"),
        "target-out-of-reach",
        "can have",
    );
    let temperature = "set temperature = 1 + step\nloss = token_mean(clip_ppo())";
    helped(temperature, "invalid-temperature", "clamp(1 + step, 0.1, 2)");
    let temperature = "input heat: scalar\nset temperature = heat\nloss = token_mean(clip_ppo() * heat)";
    helped(temperature, "invalid-temperature", "input heat: seq");
}

#[test]
fn what_is_certain_can_be_applied() {
    for (text, expected) in [
        ("let a = logp", "let a = log_prob"),
        ("let a = minimum(log_prob, 0)", "let a = min(log_prob, 0)"),
        ("let a = tokn_mean(log_prob)", "let a = token_mean(log_prob)"),
        ("let a = kl(estimator = k3)", "let a = kl(estimator = \"k3\")"),
        ("let a = kl(\"k3\")", "let a = kl(estimator = \"k3\")"),
        ("let a = kl(estimator = \"mse\")", "let a = kl(estimator = \"k2\")"),
        ("let a = clip_ppo(epsilon_low = 0.1)", "let a = clip_ppo(low = 0.1)"),
        ("let a = clip_ppo(low: 0.1)", "let a = clip_ppo(low = 0.1)"),
        ("let a = 0.1 entropy", "let a = 0.1 * entropy"),
        ("let a = np.exp(log_prob)", "let a = exp(log_prob)"),
        ("let a = log_prob**2", "let a = log_prob^2"),
        ("let a = log_prob \u{2212} 1", "let a = log_prob - 1"),
        ("a = log_prob", "let a = log_prob"),
        ("let a = .5", "let a = 0.5"),
        ("let a = log_prob > 0 && true", "let a = log_prob > 0 and true"),
        ("// a comment", "# a comment"),
        ("# aent allow(unused-let)", "# aent: allow(unused-let)"),
        ("lett a = 1", "let a = 1"),
    ] {
        assert_eq!(fixed(text), expected);
    }
}
