//! `aent eval`

#![expect(clippy::float_cmp, reason = "what is zero or unchanged is so exactly")]

use super::fixture::{Folder, Ran, SPEC, batch};
use serde_json::Value;
use std::fs;
use tch::{Kind, Tensor};

fn folder() -> Folder {
    let folder = Folder::with("spec.aent", SPEC);
    batch(&folder, &[]);
    folder
}

fn eval(folder: &Folder, more: &[&str]) -> Ran {
    folder.run(&[&["eval", "spec.aent", "--batch", "batch.safetensors"], more].concat())
}

fn loss(ran: &Ran) -> f64 {
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    ran.json()["loss"].as_f64().unwrap()
}

/// The formula of `SPEC` at `eps`, in plain f64 operations.
fn expected_loss(folder: &Folder, eps: f64, beta: f64) -> f64 {
    let field = |name| folder.tensor("batch.safetensors", name);
    let logits = field("logits").to_kind(Kind::Double);
    let mask = field("response_mask").to_kind(Kind::Double);
    let count = mask.sum(Kind::Double);
    let log_probs = logits.log_softmax(-1, Kind::Double);
    let log_prob = log_probs.gather(-1, &field("actions").unsqueeze(-1), false).squeeze_dim(-1);
    let ratio = (log_prob - field("old_log_prob").to_kind(Kind::Double)).exp();
    let gain = -field("advantages").to_kind(Kind::Double).unsqueeze(1);
    let policy = (&gain * &ratio).maximum(&(&gain * ratio.clamp(1.0 - eps, 1.0 + eps)));
    // `drop = 30%` of 11 tokens leaves out the 3 lowest.
    let (kept, _) = logits.topk(8, -1, true, true);
    let kept = kept.log_softmax(-1, Kind::Double);
    let entropy = -(kept.exp() * &kept).sum_dim_intlist([-1i64].as_slice(), false, Kind::Double);
    let mean = |x: Tensor| ((x * &mask).sum(Kind::Double) / &count).double_value(&[]);
    mean(policy) - beta * mean(entropy)
}

#[test]
fn the_object_has_loss_metrics_and_controllers() {
    let folder = folder();
    let ran = eval(&folder, &[]);
    let json = ran.json();
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert_eq!(json.as_object().unwrap().keys().collect::<Vec<_>>(), ["loss", "metrics", "controllers"]);
    assert!((json["loss"].as_f64().unwrap() - expected_loss(&folder, 0.2, 1e-3)).abs() < 1e-6);
    assert!((0.0..=1.0).contains(&json["metrics"]["clip_fraction"].as_f64().unwrap()));
    let beta = json["controllers"]["beta"].as_object().unwrap();
    assert_eq!(beta.keys().collect::<Vec<_>>(), ["value", "signal", "next"]);
    let number = |key: &str| beta[key].as_f64().unwrap();
    assert_eq!(number("value"), 1e-3);
    // The entropy is above the band, so the coefficient falls by the published rule, to its lower bound at most.
    let fallen = 1e-3 - 1e-3 * (number("signal") - 0.23);
    assert!((number("next") - fallen.max(1e-5)).abs() < 1e-12, "{beta:?}");
}

#[test]
fn parameters_are_set_by_name() {
    let folder = folder();
    assert!((loss(&eval(&folder, &["--set", "eps=0.05"])) - expected_loss(&folder, 0.05, 1e-3)).abs() < 1e-6);
    assert!((loss(&eval(&folder, &["--set", "eps=5%"])) - expected_loss(&folder, 0.05, 1e-3)).abs() < 1e-6);
    eval(&folder, &["--set", "epz=0.05"]).refused("did you mean `eps`?");
    eval(&folder, &["--set", "eps=2"]).refused("param-out-of-range");
}

#[test]
fn results_hold_the_loss_its_gradient_and_every_let() {
    let folder = folder();
    let ran = eval(&folder, &["--out", "out.safetensors"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let mut names: Vec<_> = folder.tensors("out.safetensors").into_iter().map(|(name, _)| name).collect();
    names.sort();
    assert_eq!(names, ["grad.logits", "let.entropy", "let.policy", "loss"]);
    let stored = folder.tensor("out.safetensors", "loss").double_value(&[]);
    assert!((stored - loss(&ran)).abs() < 1e-7);
    let gradient = folder.tensor("out.safetensors", "grad.logits");
    assert_eq!((gradient.size(), gradient.kind()), (vec![3, 4, 11], Kind::Float));
    // Nothing flows to masked positions.
    assert_eq!(gradient.get(2).narrow(0, 1, 3).abs().max().double_value(&[]), 0.0);
    assert_eq!(folder.tensor("out.safetensors", "let.entropy").size(), [3, 4]);
}

#[test]
fn gradients_agree_with_differences_of_the_loss() {
    let folder = folder();
    assert_eq!(eval(&folder, &["--dtype", "f64", "--out", "out.safetensors"]).code, 0);
    let gradient = folder.tensor("out.safetensors", "grad.logits");
    assert_eq!(gradient.kind(), Kind::Double);
    let logits = folder.tensor("batch.safetensors", "logits").to_kind(Kind::Double);
    let step = 1e-6;
    let moved = |sign: f64| {
        let change = Tensor::zeros_like(&logits);
        let _ = change.get(0).get(1).get(5).fill_(sign * step);
        batch(&folder, &[("logits", &logits + change)]);
        loss(&eval(&folder, &[]))
    };
    let difference = (moved(1.0) - moved(-1.0)) / (2.0 * step);
    assert!((gradient.double_value(&[0, 1, 5]) - difference).abs() < 1e-7, "{difference}");
}

#[test]
fn hidden_states_and_the_output_layer_stand_in_for_logits_and_get_gradients() {
    let folder = folder();
    let (float, cpu) = (Kind::Double, tch::Device::Cpu);
    let hidden = (Tensor::arange(60, (float, cpu)) * 1.3).sin().view([3, 4, 5]);
    let weight = (Tensor::arange(55, (float, cpu)) * 0.7).cos().view([11, 5]);
    batch(&folder, &[("logits", hidden.matmul(&weight.tr()))]);
    let expected = eval(&folder, &["--out", "logits.safetensors"]);
    let of_logits = folder.tensor("logits.safetensors", "grad.logits").view([12, 11]);
    batch(&folder, &[("hidden", hidden.shallow_clone()), ("lm_head", weight.shallow_clone())]);
    folder.without("batch.safetensors", "logits");
    for parts in [&["--microbatches", "3"][..], &[]] {
        let found = eval(&folder, &[&["--out", "hidden.safetensors"], parts].concat());
        assert!((loss(&found) - loss(&expected)).abs() < 1e-12);
        let of = |name: &str| folder.tensor("hidden.safetensors", name);
        let by_hidden = of_logits.matmul(&weight).view([3, 4, 5]);
        let by_weight = of_logits.tr().matmul(&hidden.view([12, 5]));
        assert!(of("grad.hidden").allclose(&by_hidden, 0.0, 1e-12, false));
        assert!(of("grad.lm_head").allclose(&by_weight, 0.0, 1e-12, false));
    }
}

#[test]
fn gradients_of_values_and_log_probs_are_written_where_used() {
    let text = "loss = -token_mean(advantages * log_prob) + token_mean((values - returns) ^ 2)\n";
    let folder = Folder::with("spec.aent", text);
    let ones = Tensor::ones([3, 4], (Kind::Float, tch::Device::Cpu));
    batch(&folder, &[("log_prob", -&ones), ("values", &ones * 2.0), ("returns", ones.shallow_clone())]);
    assert_eq!(eval(&folder, &["--out", "out.safetensors"]).code, 0);
    let valid = 8.0;
    let values = folder.tensor("out.safetensors", "grad.values");
    assert!((values.double_value(&[0, 0]) - 2.0 / valid).abs() < 1e-7);
    assert_eq!(values.double_value(&[2, 3]), 0.0);
    let log_prob = folder.tensor("out.safetensors", "grad.log_prob");
    assert!((log_prob.double_value(&[1, 0]) - 1.0 / valid).abs() < 1e-7);
    assert_eq!(folder.tensor("out.safetensors", "grad.logits").abs().max().double_value(&[]), 0.0);
}

#[test]
fn fields_declared_with_grad_have_their_gradient_written_however_the_step_is_cut() {
    let text = "input log_z: seq grad\ninput router: scalar grad\n\n\
                loss = batch_mean((log_z + seq_mean(log_prob)) ^ 2) + 0.5 * router\n";
    let folder = Folder::with("spec.aent", text);
    let options = (Kind::Double, tch::Device::Cpu);
    let log_prob = -Tensor::ones([3, 4], options);
    let log_z = Tensor::from_slice(&[0.5, 1.0, 3.0]);
    batch(&folder, &[("log_prob", log_prob), ("log_z", log_z), ("router", Tensor::from(2.0))]);
    for parts in [&[][..], &["--microbatches", "3"]] {
        let arguments = [&["--out", "out.safetensors"], parts].concat();
        assert_eq!(eval(&folder, &arguments).code, 0, "{parts:?}");
        let router = folder.tensor("out.safetensors", "grad.router");
        assert!((router.double_value(&[]) - 0.5).abs() < 1e-12, "{parts:?}: {router}");
        let found = folder.tensor("out.safetensors", "grad.log_z");
        // d/dz mean((z + mean log_prob)²), where every log-probability is -1.
        let expected = Tensor::from_slice(&[0.5, 1.0, 3.0].map(|z| 2.0 * (z - 1.0) / 3.0));
        assert!((&found - expected).abs().max().double_value(&[]) < 1e-6, "{parts:?}: {found}");
    }
}

#[test]
fn ids_are_read_from_a_file_and_written_as_they_are() {
    let text = "input turn: token int\n\nlet same = turn\n\n\
                loss = token_mean(segment_sum(log_prob, by = same))\n\n\
                metric turns = batch_sum(segment_count(by = turn))\n";
    let folder = Folder::with("spec.aent", text);
    let large = i64::MAX - 1;
    let turn = Tensor::from_slice(&[5, 5, large, 5, 0, 0, 0, 9, large, 1, 2, 3]).view([3, 4]);
    for parts in [&[][..], &["--microbatches", "3", "--dtype", "f64"]] {
        batch(&folder, &[("turn", turn.shallow_clone())]);
        let ran = eval(&folder, &[&["--out", "out.safetensors"], parts].concat());
        // What the mask leaves out is in no turn.
        assert_eq!(ran.json()["metrics"]["turns"], 4.0, "{}", ran.stderr);
        let written = folder.tensor("out.safetensors", "let.same");
        assert_eq!(written.int64_value(&[0, 2]), large, "{parts:?}");
        batch(&folder, &[("turn", turn.to_kind(Kind::Float))]);
        eval(&folder, parts).refused("`turn`: expected int64 or int32 ids");
    }
}

#[test]
fn micro_batches_give_the_result_of_the_whole() {
    let folder = folder();
    let whole = eval(&folder, &["--dtype", "f64", "--out", "whole.safetensors"]).json();
    for parts in ["1", "2", "3", "7"] {
        let cut =
            eval(&folder, &["--dtype", "f64", "--microbatches", parts, "--out", "cut.safetensors"]).json();
        let near = |a: &Value, b: &Value| (a.as_f64().unwrap() - b.as_f64().unwrap()).abs() < 1e-12;
        assert!(near(&whole["loss"], &cut["loss"]));
        assert!(near(&whole["metrics"]["clip_fraction"], &cut["metrics"]["clip_fraction"]));
        assert!(near(&whole["controllers"]["beta"]["signal"], &cut["controllers"]["beta"]["signal"]));
        for name in ["grad.logits", "let.policy", "let.entropy"] {
            let difference =
                folder.tensor("whole.safetensors", name) - folder.tensor("cut.safetensors", name);
            assert!(difference.abs().max().double_value(&[]) < 1e-12, "{name} in {parts} parts");
        }
    }
}

#[test]
fn controllers_go_on_from_a_saved_state() {
    let folder = folder();
    let first = eval(&folder, &["--save-state", "state.json"]).json();
    let second = eval(&folder, &["--state", "state.json"]).json();
    assert_eq!(second["controllers"]["beta"]["value"], first["controllers"]["beta"]["next"]);
    folder.write("spec.aent", format!("{SPEC}\nmetric another = token_mean(log_prob)"));
    let more = eval(&folder, &["--state", "state.json"]).json();
    assert_eq!(more["controllers"], second["controllers"]);
    folder.write("spec.aent", SPEC.replace("0.23", "0.5"));
    eval(&folder, &["--state", "state.json"])
        .refused("controller `beta`: `target` is 0.05 .. 0.5 here and 0.05 .. 0.23");
    eval(&folder, &["--state", "state.json"]).refused("without `--state` all controllers begin anew");
    eval(&folder, &["--state", "missing.json"]).refused("missing.json");
    folder.write("state.json", "{");
    eval(&folder, &["--state", "state.json"]).refused("not a saved state");
}

#[test]
fn repeating_adds_seconds_and_memory() {
    let json = eval(&folder(), &["--repeat", "3"]).json();
    for half in ["forward", "backward"] {
        assert!(json["seconds"][half].as_f64().unwrap() > 0.0);
    }
    if cfg!(target_os = "linux") {
        assert!(json["peak_rss_bytes"].as_u64().unwrap() > 1 << 20);
    }
}

#[test]
fn kinds_are_converted_and_read_as_they_come() {
    let folder = folder();
    let exact = loss(&eval(&folder, &["--dtype", "f64"]));
    assert!((exact - expected_loss(&folder, 0.2, 1e-3)).abs() < 1e-12);
    assert!((loss(&eval(&folder, &["--dtype", "bf16"])) - exact).abs() < 0.05);
    assert!((loss(&eval(&folder, &["--kernels", "reference"])) - exact).abs() < 1e-6);
    let mask = folder.tensor("batch.safetensors", "response_mask");
    let actions = folder.tensor("batch.safetensors", "actions");
    let logits = folder.tensor("batch.safetensors", "logits");
    for kind in [Kind::Half, Kind::BFloat16] {
        batch(
            &folder,
            &[
                ("response_mask", mask.to_kind(Kind::Uint8)),
                ("actions", actions.to_kind(Kind::Int)),
                ("logits", logits.to_kind(kind)),
            ],
        );
        assert!((loss(&eval(&folder, &[])) - exact).abs() < 0.05);
    }
}

#[test]
fn a_batch_that_does_not_fit_is_refused_in_a_sentence() {
    let folder = folder();
    batch(&folder, &[("old_log_prob", Tensor::zeros([3, 5], (Kind::Float, tch::Device::Cpu)))]);
    eval(&folder, &[]).refused("`old_log_prob`: expected [3, 4]");
    batch(&folder, &[("actions", Tensor::full([3, 4], 11, (Kind::Int64, tch::Device::Cpu)))]);
    eval(&folder, &[]).refused("`actions` at [0, 0]: expected a token id in 0 .. 10, found 11");
    batch(&folder, &[("old_log_prob", Tensor::full([3, 4], f64::NAN, (Kind::Float, tch::Device::Cpu)))]);
    eval(&folder, &[]).refused("`old_log_prob` at [0, 0]");
    batch(&folder, &[("logits", Tensor::zeros([3, 4], (Kind::Float, tch::Device::Cpu)))]);
    eval(&folder, &[]).refused("`logits`");
    batch(&folder, &[("logits", Tensor::zeros([3, 4, 11], (Kind::Int64, tch::Device::Cpu)))]);
    eval(&folder, &[]).refused("`logits`");
    batch(&folder, &[("response_mask", Tensor::full([3, 4], 2, (Kind::Uint8, tch::Device::Cpu)))]);
    eval(&folder, &["--microbatches", "2"]).refused("`response_mask`");
    folder.write("spec.aent", "loss = token_mean(kl())\n");
    batch(&folder, &[]);
    eval(&folder, &[]).refused("the batch has no `ref_log_prob`");
}

#[test]
fn a_file_that_is_no_batch_is_refused_in_a_sentence() {
    let folder = folder();
    folder.run(&["eval", "spec.aent", "--batch", "missing"]).refused("cannot read the batch `missing`");
    let whole = fs::read(folder.path("batch.safetensors")).unwrap();
    for (broken, part) in [
        (Vec::new(), "no safetensors file"),
        (b"not a batch at all".to_vec(), "no safetensors file"),
        (whole[..whole.len() - 5].to_vec(), "cut off or damaged"),
        ([&whole[..], b"more"].concat(), "cut off or damaged"),
        ([&[0xff; 8], &whole[8..]].concat(), "no safetensors file"),
        ([&whole[..8], &vec![b'x'; whole.len() - 8][..]].concat(), "its header cannot be read"),
    ] {
        folder.write("batch.safetensors", broken);
        eval(&folder, &[]).refused(part);
    }
}

#[test]
fn a_place_that_cannot_be_written_is_refused() {
    let folder = folder();
    eval(&folder, &["--out", "missing/out.safetensors"]).refused("cannot write `missing/out.safetensors`");
    eval(&folder, &["--save-state", "missing/state.json"]).refused("cannot write `missing/state.json`");
}

#[test]
fn a_step_without_a_valid_token_is_zero_and_moves_nothing() {
    let folder = folder();
    batch(&folder, &[("response_mask", Tensor::zeros([3, 4], (Kind::Bool, tch::Device::Cpu)))]);
    let json = eval(&folder, &["--out", "out.safetensors"]).json();
    assert_eq!(json["loss"].as_f64(), Some(0.0));
    assert_eq!(json["controllers"]["beta"]["next"], json["controllers"]["beta"]["value"]);
    assert_eq!(folder.tensor("out.safetensors", "grad.logits").abs().max().double_value(&[]), 0.0);
}

#[test]
fn a_device_that_is_not_there_is_refused() {
    if !tch::Cuda::is_available() {
        eval(&folder(), &["--device", "cuda"]).refused("`cuda:0` cannot be used");
    }
    eval(&folder(), &["--device", "cuda:99"]).refused("`cuda:99` cannot be used");
}

#[test]
fn losses_have_numbers_of_their_own_and_an_assertion_is_a_remark() {
    let text = "param scale = 1\nloss policy = token_mean(clip_ppo())\nloss entropy = -1e-3 * token_mean(entropy)\n\
                assert scale * token_mean(entropy) < 0.5, \"too random\"\n";
    let folder = folder();
    folder.write("spec.aent", text);
    let ran = eval(&folder, &[]);
    let json = ran.json();
    assert_eq!(
        json.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["loss", "losses", "metrics", "controllers"]
    );
    let of = |name: &str| json["losses"][name].as_f64().unwrap();
    assert!((of("policy") + of("entropy") - json["loss"].as_f64().unwrap()).abs() < 1e-6);
    assert_eq!(ran.code, 0, "an assertion does not fail the step");
    let words = "too random: expected `scale * token_mean(entropy) < 0.5`, found ";
    assert!(ran.stderr.contains(words) && ran.stderr.contains("spec.aent:4:8"), "{}", ran.stderr);
    let quiet = eval(&folder, &["--set", "scale=0"]);
    assert_eq!((quiet.code, quiet.stderr.as_str()), (0, ""));
}

#[test]
fn the_temperature_of_each_row_comes_from_the_file() {
    let text = |heat: &str| format!("{heat}loss = -token_mean(advantages * log_prob)\n");
    let folder = Folder::with("spec.aent", text("input heat: seq\n\nset temperature = heat\n\n"));
    batch(&folder, &[("heat", Tensor::from_slice(&[0.5f32, 0.5, 0.5]))]);
    let found = loss(&eval(&folder, &[]));
    let plain = Folder::with("spec.aent", text("set temperature = 0.5\n\n"));
    batch(&plain, &[]);
    assert!((found - loss(&eval(&plain, &[]))).abs() < 1e-6);
    batch(&folder, &[("heat", Tensor::from_slice(&[0.5f32, -0.5, 0.5]))]);
    eval(&folder, &[]).refused("`heat` at [1]: expected a temperature above zero and finite, found -0.5");
    batch(&folder, &[]);
    eval(&folder, &[]).refused("`heat`");
}
