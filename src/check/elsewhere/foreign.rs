//! Names of functions and values in torch, numpy, verl, TRL, NeMo-RL, OpenRLHF and other languages, and what a file
//! writes for them.
//!
//! Names of whole terms and functions are not here: each declares what others call it (`aliases`).

/// Names of others with one answer.
pub(super) struct Foreign {
    /// The names.
    pub(super) names: &'static [&'static str],
    /// What to write.
    pub(super) answer: Answer,
}

/// What to write for a name.
#[derive(Clone, Copy)]
pub(super) enum Answer {
    /// Another name, with the same arguments if it is called.
    Name(&'static str),
    /// A sentence, without its full stop.
    Help(&'static str),
}

const fn is(answer: &'static str, names: &'static [&'static str]) -> Foreign {
    Foreign { names, answer: Answer::Name(answer) }
}

const fn help(answer: &'static str, names: &'static [&'static str]) -> Foreign {
    Foreign { names, answer: Answer::Help(answer) }
}

/// Names that are called.
pub(super) const CALLS: &[Foreign] = &[
    // Algorithms that are more than one call.
    help(
        "GRPO is `clip_ppo(advantages = grpo_advantages())` with `import \"std/advantages.aent\"`; the whole file is examples/recipes/grpo.aent",
        &["grpo", "grpo_loss"],
    ),
    help(
        "DAPO is `clip_ppo(advantages = grpo_advantages(), low = 0.2, high = 0.28)` with `import \"std/advantages.aent\"`; the whole file is examples/recipes/dapo.aent",
        &["dapo", "dapo_loss"],
    ),
    help(
        "with the pair as `group` and `chosen` in the batch, `import \"std/preferences.aent\"` has `dpo`, `ipo`, `simpo`, `orpo` and `kto`",
        &["dpo_loss", "ipo_loss", "simpo_loss", "orpo_loss", "kto_loss", "preference_loss"],
    ),
    // Means and sums.
    help(
        "say over what: `token_mean(x)` over all tokens, `seq_mean_token_mean(x)` in each sequence first, `batch_mean(rewards)` over sequences; tokens that the mask leaves out never count",
        &["mean", "nanmean", "masked_mean", "average_loss", "agg_loss", "avg"],
    ),
    help(
        "say over what: `seq_sum(x)` in each sequence, `token_sum(x)` over all tokens; tokens that the mask leaves out never count",
        &["sum", "nansum", "masked_sum"],
    ),
    help(
        "over the samples of a prompt it is `group_std(rewards)`; over sequences or tokens, `import \"std/advantages.aent\"` has `batch_std` and `token_variance`",
        &["std", "var", "masked_std", "masked_var", "variance"],
    ),
    // Functions.
    help("write `max(x, 0)`", &["relu", "clamp_min"]),
    help("write `x^2`, with the exponent behind `^`", &["pow", "power", "square"]),
    help("write `log(1 + x)`", &["log1p"]),
    help("write `exp(x) - 1`", &["expm1"]),
    help("write `-softplus(-x)`", &["logsigmoid", "log_sigmoid"]),
    is("min", &["minimum", "amin", "fmin"]),
    is("max", &["maximum", "amax", "fmax"]),
    is("clamp", &["clip", "bound"]),
    is("sigmoid", &["expit", "logistic"]),
    is("log", &["ln"]),
    is("abs", &["fabs", "absolute"]),
    is("detach", &["stop_gradient", "stop_grad", "stopgrad", "sg", "no_grad"]),
    is("where", &["select", "cond", "ifelse", "iff"]),
    help(
        "`log_prob` is the log-softmax of the logits at the action, and `exp(log_prob)` its probability; `entropy` and other row statistics read the whole row",
        &[
            "softmax",
            "log_softmax",
            "logsumexp",
            "gather_log_probs",
            "logprobs_from_logits",
            "selective_log_softmax",
            "get_log_probs",
        ],
    ),
    help(
        "the negative log-likelihood of the actions is `-log_prob`",
        &["cross_entropy", "nll", "nll_loss", "ce", "ce_loss", "sft", "sft_loss", "negative_log_likelihood"],
    ),
    help(
        "against the reference policy at the sampled tokens it is `kl()`, over the whole vocabulary `reverse_kl()` or `forward_kl()`",
        &["kl_div", "kl_divergence", "kld", "kl_loss", "compute_approx_kl", "kl_penalty_loss"],
    ),
    is("entropy", &["entropy_from_logits", "compute_entropy", "get_entropy", "shannon_entropy"]),
    help(
        "there are no loops: a formula holds for every token of the batch, and reductions such as `token_mean(x)` add up",
        &["range", "len", "enumerate", "zip"],
    ),
];

/// Names that stand for values.
pub(super) const VALUES: &[Foreign] = &[
    is(
        "log_prob",
        &[
            "logp",
            "logps",
            "logprob",
            "logprobs",
            "log_probs",
            "logpi",
            "log_pi",
            "new_logprobs",
            "new_log_prob",
            "curr_logprobs",
            "action_log_probs",
            "per_token_logps",
            "current_log_probs",
        ],
    ),
    is(
        "old_log_prob",
        &[
            "old_logp",
            "old_logps",
            "old_logprob",
            "old_logprobs",
            "old_log_probs",
            "old_action_log_probs",
            "old_per_token_logps",
            "prev_logprobs",
            "prox_logp",
            "proximal_logprobs",
        ],
    ),
    is(
        "ref_log_prob",
        &[
            "ref_logp",
            "ref_logps",
            "ref_logprob",
            "ref_logprobs",
            "ref_log_probs",
            "reference_log_prob",
            "ref_per_token_logps",
            "reference_policy_logprobs",
            "base_action_log_probs",
        ],
    ),
    is(
        "rollout_log_prob",
        &[
            "rollout_logp",
            "rollout_logprobs",
            "rollout_log_probs",
            "sampling_per_token_logps",
            "generation_logprobs",
            "vllm_logprobs",
            "inference_logprobs",
            "behavior_log_prob",
        ],
    ),
    is("advantages", &["adv", "advs", "advantage"]),
    help(
        "the mask is `response_mask`, and tokens that it leaves out never count: a formula rarely needs it",
        &[
            "mask",
            "loss_mask",
            "action_mask",
            "completion_mask",
            "attention_mask",
            "eos_mask",
            "token_mask",
            "valid_mask",
            "padding_mask",
        ],
    ),
    is("group", &["uid", "uids", "group_id", "group_ids", "prompt_id", "prompt_ids", "prompt_idx"]),
    help(
        "which turn a token is in comes with the batch: `input turn: token int`",
        &["turn", "turns", "turn_id", "turn_ids", "segment_ids", "step_ids"],
    ),
    help(
        "token ids are the batch's `actions`, which only row statistics such as `log_prob` read; to pick tokens, declare `input kept: token bool`",
        &[
            "token_ids",
            "tokens",
            "input_ids",
            "responses",
            "response_ids",
            "completion_ids",
            "labels",
            "action",
        ],
    ),
    is("rewards", &["reward", "score", "scores", "reward_score"]),
    help(
        "a reward for each token is an input: `input token_rewards: token`",
        &["token_level_rewards", "token_level_scores"],
    ),
    is("values", &["value", "vpreds", "vpred", "critic_values"]),
    is("returns", &["value_targets", "target_values"]),
    is("old_values", &["prev_values"]),
    help(
        "the divergence from the reference policy at the sampled tokens is `kl()`",
        &["KL", "kl_loss", "kld"],
    ),
    help(
        "the importance ratio is `exp(log_prob - old_log_prob)`",
        &["ratio", "ratios", "importance_ratio", "coef_1"],
    ),
    help(
        "a constant is declared before it is used: `param eps = 0.2`",
        &[
            "eps",
            "epsilon",
            "epsilon_low",
            "epsilon_high",
            "clip_eps",
            "clip_ratio",
            "clip_ratio_low",
            "clip_ratio_high",
            "clip_ratio_c",
            "cliprange",
            "beta",
            "alpha",
            "gamma",
            "lam",
            "coef",
            "kl_coef",
            "entropy_coef",
            "entropy_coeff",
            "vf_coef",
            "temperature",
            "lr",
        ],
    ),
    is("step", &["steps", "global_step", "global_steps", "iteration", "epoch"]),
    is("true", &["True", "TRUE"]),
    is("false", &["False", "FALSE"]),
    help("there is no empty value: leave the argument out", &["None", "null", "nil", "nan", "NaN"]),
    help("there is no infinity: write a number that is large enough, such as `1e9`", &["inf", "Infinity"]),
];

/// The answer to a name of others in one of the tables.
pub(super) fn find(table: &'static [Foreign], name: &str) -> Option<Answer> {
    table.iter().find(|of| of.names.contains(&name)).map(|of| of.answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::{AnyEntry, registry};
    use crate::{BUILTINS, compile, fields};

    /// The pieces of code in a sentence.
    fn code(sentence: &str) -> impl Iterator<Item = &str> {
        sentence.split('`').skip(1).step_by(2)
    }

    /// Whether a file with this piece of code, as a statement or as a value, has no error.
    fn is_right(piece: &str) -> bool {
        let first = piece.split(' ').next().unwrap_or_default();
        let given = "input x: token\ninput c: token bool\ninput a: token\ninput b: token\n";
        let rest = "loss = -token_mean(log_prob)\n";
        if ["param", "input", "controller", "import", "let"].contains(&first) {
            return compile(&format!("{piece}\n{rest}")).is_ok();
        }
        let pair = "input chosen: seq bool\nlet of_pair = seq_sum(log_prob - ref_log_prob)\n";
        let value = if piece.contains("chosen") { piece.replace('x', "of_pair") } else { piece.to_owned() };
        let text = format!("import \"std/advantages.aent\"\n{given}{pair}let value = {value}\n{rest}");
        compile(&text).is_ok()
    }

    #[test]
    fn every_answer_can_be_written_as_it_stands() {
        for of in CALLS.iter().chain(VALUES) {
            match of.answer {
                Answer::Name(name) => {
                    let is_known = BUILTINS.iter().any(|of| of.name == name) || is_right(name);
                    assert!(is_known, "`{name}` for {:?}", of.names);
                }
                // `batch_std`, `^` and the like name things without an argument.
                Answer::Help(help) => {
                    for piece in code(help).filter(|piece| piece.contains(['(', ' '])) {
                        assert!(is_right(piece), "`{piece}` for {:?}", of.names);
                    }
                }
            }
        }
    }

    #[test]
    fn no_name_of_others_is_one_of_ours() {
        let ours = |name: &str, is_call: bool| {
            BUILTINS.iter().any(|of| of.name == name)
                || fields::find(name).is_some()
                || registry().iter().any(|of| match of {
                    AnyEntry::Controller(_) => false,
                    of => of.declaration().name == name,
                }) && is_call
        };
        for name in CALLS.iter().flat_map(|of| of.names) {
            assert!(!ours(name, true), "{name}");
        }
        for name in VALUES.iter().flat_map(|of| of.names) {
            assert!(!ours(name, false), "{name}");
        }
    }

    #[test]
    fn no_name_is_answered_twice() {
        for table in [CALLS, VALUES] {
            let mut names: Vec<&str> = table.iter().flat_map(|of| of.names).copied().collect();
            names.sort_unstable();
            let count = names.len();
            names.dedup();
            assert_eq!(names.len(), count);
        }
    }
}
