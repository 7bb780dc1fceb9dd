//! Names of arguments in verl, TRL, NeMo-RL, OpenRLHF and others, names of their choices, and what a file writes for them.

/// Arguments: names of others, and the name of the argument here, where the callee has it.
pub(super) const ARGUMENTS: &[(&str, &[&str])] = &[
    (
        "low",
        &[
            "epsilon_low",
            "eps_low",
            "clip_ratio_low",
            "clip_low",
            "eps_clip_low",
            "ratio_clip_min",
            "clip_eps_low",
            "low_clip",
        ],
    ),
    (
        "high",
        &[
            "epsilon_high",
            "eps_high",
            "clip_ratio_high",
            "clip_high",
            "eps_clip_high",
            "ratio_clip_max",
            "clip_eps_high",
            "high_clip",
        ],
    ),
    ("dual", &["clip_ratio_c", "dual_clip", "ratio_clip_c", "eps_clip_c"]),
    ("bounds", &["clip_ratio", "range", "limits", "min_max", "min", "max"]),
    ("clip", &["cliprange_value", "value_clip", "eps_clip_value", "clip_eps", "vf_clip"]),
    (
        "estimator",
        &["kl_type", "kl_penalty", "kl_loss_type", "kl_estimator", "kl_approximator", "type", "kind"],
    ),
    ("level", &["importance_sampling_level", "loss_level", "per"]),
    ("old_log_prob", &["old_log_probs", "old_logps", "old_logprobs", "old_action_log_probs", "anchor"]),
    ("ref_log_prob", &["ref_log_probs", "ref_logps", "ref_logprobs", "reference"]),
    ("rollout_log_prob", &["rollout_log_probs", "rollout_logprobs", "sampling_per_token_logps"]),
    ("log_prob", &["log_probs", "logps", "logprobs", "logp", "per_token_logps"]),
    ("advantages", &["advantage", "adv", "advs"]),
    ("lam", &["lambda_", "gae_lambda", "lmbda"]),
    ("gamma", &["discount", "discount_factor"]),
    ("by", &["over", "group", "turn", "turns", "turn_ids", "segment", "segments", "segment_ids", "ids"]),
    ("group", &["by", "index", "uid", "groups", "group_by"]),
    ("target", &["setpoint", "goal", "desired", "target_kl", "target_entropy", "kl_target"]),
    ("signal", &["of", "observe", "input", "value", "x"]),
    ("step", &["lr", "rate", "learning_rate", "delta"]),
    ("steps", &["total_steps", "num_steps", "total", "over", "duration"]),
    ("from", &["start", "begin", "initial"]),
    ("to", &["end", "final", "stop"]),
    ("init", &["initial", "start", "initial_value", "init_kl_coef"]),
    ("k", &["top_k", "n"]),
    ("drop", &["drop_fraction", "clamp"]),
    ("length", &["norm", "max_length", "max_tokens", "divisor"]),
];

/// Names for one number on both sides of a ratio, which the terms with `low` and `high` take as two.
pub(super) const BOTH_SIDES: &[&str] = &[
    "eps",
    "epsilon",
    "clip",
    "clip_eps",
    "eps_clip",
    "clip_ratio",
    "clip_range",
    "cliprange",
    "clip_epsilon",
    "ratio_clip",
];

/// Choices of others, and the choice here, where the argument has it.
pub(super) const CHOICES: &[(&str, &[&str])] = &[
    ("k1", &["kl", "low_var_kl_k1", "log_ratio"]),
    ("k2", &["mse", "squared"]),
    ("k3", &["low_var_kl", "low_variance", "schulman"]),
    ("k3+", &["low_var_kl+"]),
    ("k1+", &["kl+"]),
    ("sequence", &["seq", "sequence_level", "seq_mean", "geometric"]),
    ("token", &["tok", "token_level"]),
    ("tv", &["total_variation"]),
];

/// The word here for a word of others, if `has` it.
pub(super) fn translate(
    table: &'static [(&'static str, &'static [&'static str])],
    name: &str,
    has: impl Fn(&str) -> bool,
) -> Option<&'static str> {
    table.iter().find(|(here, names)| has(here) && names.contains(&name)).map(|(here, _)| *here)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::{AnyEntry, ParameterType, registry};

    #[test]
    fn arguments_and_choices_exist() {
        let parameters = || registry().iter().flat_map(|of| of.declaration().parameters.to_vec());
        let inputs = |name: &str| {
            registry().iter().any(|of| match of {
                AnyEntry::Term(of) => of.signature().inputs.iter().any(|of| of.name == name),
                AnyEntry::Reduction(of) => of.signature().inputs.iter().any(|of| of.name == name),
                AnyEntry::Controller(of) => of.signature().signal && name == "signal",
            })
        };
        for (here, _) in ARGUMENTS {
            assert!(parameters().any(|of| of.name == *here) || inputs(here), "{here}");
        }
        for (here, _) in CHOICES {
            let has = |ty| matches!(ty, ParameterType::Choice(names) if names.contains(here));
            assert!(parameters().any(|of| has(of.ty)), "{here}");
        }
    }
}
