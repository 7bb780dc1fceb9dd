//! Programs that call the functions of the library, every term and every controller, from a row of numbers.

/// A program that must check without errors.
pub(super) fn program(choices: &[u16]) -> String {
    let mut writer = Writer { choices, at: 0 };
    let mut lines = vec![HEAD.to_owned()];
    if writer.pick(3) == 1 {
        let given = [
            "grpo_advantages()",
            "rloo_advantages()",
            "whitened(gae(gamma = 0.9))",
            "entropy_advantages(advantages = returns)",
            "dr_grpo_advantages(score)",
        ];
        lines.push(format!("let advantages = {}", writer.one(&given)));
    }
    for number in 0..writer.pick(4) {
        let controller = writer.one(&CONTROLLERS).replace("SIGNAL", writer.one(&SIGNALS));
        lines.push(format!("controller c{number} = {controller}"));
        let used = writer.one(&MOVED).replace('C', &format!("c{number}"));
        lines.push(format!("loss moved{number} = {used} - token_mean(log_prob)"));
    }
    for number in 0..=writer.pick(3) {
        let loss = writer.scalar();
        lines.push(format!("loss l{number} = 0.1 * token_mean(log_prob) + {loss}"));
    }
    for number in 0..writer.pick(3) {
        let metric = writer.scalar();
        lines.push(format!("metric m{number} = {metric}"));
    }
    lines.join("\n")
}

struct Writer<'a> {
    choices: &'a [u16],
    at: usize,
}

impl Writer<'_> {
    fn pick(&mut self, options: usize) -> usize {
        let choice = self.choices.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        usize::from(choice) % options
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.pick(of.len())]
    }

    fn scalar(&mut self) -> String {
        match self.pick(6) {
            0 => self.one(&SCALARS).to_owned(),
            1 => {
                let mean = self.one(&["batch_mean", "batch_sum", "length_weighted_mean"]);
                format!("{mean}({})", self.one(&SEQUENCES))
            }
            2 => format!("token_mean(({}) * ({}))", self.one(&TOKENS), self.one(&TOKENS)),
            3 => format!("token_mean(where({}, {}, 0))", self.one(&TRUTHS), self.one(&TOKENS)),
            _ => {
                let mean = self.one(&MEANS);
                mean.replace('X', self.one(&TOKENS))
            }
        }
    }
}

const HEAD: &str = r#"import "std/surrogates.aent"
import "std/advantages.aent"
import "std/values.aent"
import "std/preferences.aent"
import "std/averages.aent"
import "std/entropy.aent"
import "std/regression.aent"
import "std/kl.aent"
import "std/mismatch.aent"
import "std/masks.aent"
input weight: token
input score: seq
input greedy: seq
input log_z: seq grad
input mismatched: seq
input token_rewards: token
input turn: token int
input rollout: seq int
input kept: candidates id
input teacher_ids: candidates id
input teacher_log_prob: candidates
input math: logits"#;

const MEANS: [&str; 14] = [
    "token_mean(X)",
    "token_sum(X)",
    "seq_mean_token_sum(X)",
    "seq_mean_token_mean(X)",
    "seq_mean_token_sum_norm(X)",
    "prompt_mean(X)",
    "rollout_mean(X, rollout)",
    "segment_mean_token_sum(X, by = turn)",
    "segment_mean_token_mean(X, turn)",
    "batch_mean(seq_std(X))",
    "kept_mean(X, score > 0)",
    "quantile(X, 0.3)",
    "quantile(X, 0)",
    "quantile(log(abs(X)), 1)",
];

const TOKENS: [&str; 78] = [
    "reinforce()",
    "decoupled_ppo()",
    "decoupled_ppo(cap = 1.1, low = 0.1)",
    "sapo()",
    "vespo()",
    "vespo(mismatch = old_log_prob - rollout_log_prob)",
    "dro(0.1)",
    "topr()",
    "topr(negative = 0.5)",
    "kl_cov(share = 30%)",
    "prime_rl(low = 0.05, high = 0.05)",
    "prime_rl_ipo()",
    "cfpo()",
    "fipo_weight(half_life = 3) * reinforce()",
    "reinforce(reinforce_pp_advantages(gamma = 0.9))",
    "reinforce(reinforce_pp_baseline_advantages())",
    "reinforce(rescaled_advantages(0.3))",
    "reinforce(leave_one_out_advantages())",
    "reinforce(best_only_advantages())",
    "reinforce(pass_at_k_advantages(2))",
    "reinforce(quantile_advantages())",
    "reinforce(opo_advantages())",
    "reinforce(gpg_advantages())",
    "reinforce(maxrl_advantages())",
    "squared_value()",
    "huber_value(delta = 0.7)",
    "squared_value(vtrace(gamma = 0.9, rho_bar = 1.3, c_bar = 0.9, lam = 0.8).returns)",
    "squared_value(gae(token_rewards = token_rewards, lam = 1 - 1 / (0.5 * length + 1)).returns)",
    "squared_value(segment_gae(by = turn, token_rewards = token_rewards, lam = 0.7).returns)",
    "reinforce(segment_gae(by = turn))",
    "entropy_ratio_clip(clip_ppo())",
    "outside_of_history(0.8)",
    "clip_ppo(advantages = entropy_advantages())",
    "likely_reinforced(threshold = 0.3)",
    "sampled_entropy()",
    "steer_weight() * clip_ppo()",
    "clip_ppo(advantages = decorrelated_advantages(0.1))",
    "k1(ref_log_prob)",
    "k2(old_log_prob)",
    "k3(ref_log_prob)",
    "straight_through(k3(ref_log_prob), k2(ref_log_prob))",
    "ratio_corrected(kl())",
    "token_tis() * clip_ppo(dual = 1.2)",
    "sequence_tis() * clip_ppo(delta = 1.1)",
    "icepop() * reinforce()",
    "geometric_mask(low = 0.9, high = 1.2) * reinforce()",
    "geometric_ratio() * log_prob",
    "batch_normalised(token_tis()) * reinforce()",
    "loglinear_old(0.3) * log_prob",
    "coin_divergence(log_prob, rollout_log_prob)",
    "kl(estimator = \"k1+\", input_clamp = 0.2)",
    "kl(estimator = \"abs+\", output_clamp = 0.1)",
    "kl(estimator = \"k3+\", input_clamp = 0.2, output_clamp = 0.1)",
    "kl(log_prob = old_log_prob, estimator = \"abs\")",
    "forward_kl()",
    "reverse_kl()",
    "jensen_shannon(beta = 0.2)",
    "jensen_shannon(temperature = 1.4)",
    "forward_kl(within = teacher_ids, of = teacher_log_prob, rest = \"renormalise\", temperature = 0.8)",
    "forward_kl(within = teacher_ids, of = teacher_log_prob, rest = \"ignore\")",
    "reverse_kl(within = teacher_ids, of = teacher_log_prob, rest = \"bucket\")",
    "reverse_kl(within = teacher_ids, of = teacher_log_prob, rest = \"renormalise\")",
    "jensen_shannon(within = teacher_ids, of = teacher_log_prob, rest = \"bucket\")",
    "jensen_shannon(within = teacher_ids, of = teacher_log_prob, rest = \"ignore\", beta = 0.7)",
    "clamped_entropy(top_p = 0.5, temperature = 0.7)",
    "clamped_entropy(drop = 50%)",
    "mass(min_p = 0.3)",
    "mass(top_p = 0.6)",
    "mass(drop = 40%)",
    "mass_entropy(min_p = 0.4)",
    "mass_entropy(drop = 20%, temperature = 1.3)",
    "renyi_entropy(alpha = 0.5)",
    "tsallis_entropy(q = 2)",
    "varentropy()",
    "cumsum(log_prob - old_log_prob)",
    "reverse_cumsum(entropy, discount = 0.7)",
    "segment_max(entropy, by = turn)",
    "segment_sum(log_prob, by = rollout) / segment_sum(1, by = rollout)",
];

const TRUTHS: [&str; 18] = [
    "top_entropy(share = 40%)",
    "complete()",
    "mixed_group()",
    "coin_kept(limit = 0.05)",
    "variation_kept(0.2)",
    "off_policy_kept(0.1)",
    "is_best()",
    "is_pair()",
    "m2po_kept(threshold = 0.05)",
    "accepted(bounds = 0.7 .. 1.2)",
    "accepted(statistic = \"k2\", bounds = 0 .. 0.02, level = \"seq_mean\")",
    "accepted(statistic = \"k3\", bounds = 0 .. 0.05, level = \"seq_sum\")",
    "accepted(level = \"seq_max\", bounds = 0 .. 1.2, guard = 0.3)",
    "accepted(old_log_prob = log_prob, level = \"seq_sum\", bounds = 0.8 .. 3)",
    "gppo(beta_high = 0.5).clipped",
    "gmpo(low = 0.2, high = 0.2).clipped",
    "vtrace(rho_bar = 1.1).clipped",
    "dppo(divergence = \"kl\", low = 0.01, high = 0.02).kept",
];

const SEQUENCES: [&str; 20] = [
    "rloo_clip()",
    "sppo()",
    "gvpo(0.3)",
    "a2po(0.4)",
    "flowrl(log_z, 0.7)",
    "gmpo()",
    "gmpo().ratio",
    "difficulty(0.6) * seq_sum(entropy)",
    "kl_in_reward(0.1)",
    "group_rank(score) * seq_sum(log_prob)",
    "group_rank(score, group = rollout) * seq_sum(log_prob)",
    "overlong_penalty(4, 2)",
    "pair_gap(seq_sum(log_prob))",
    "tpo_target()",
    "segment_count(by = turn) * seq_max(entropy)",
    "remax_advantages(greedy) * seq_sum(log_prob)",
    "pass_at_k(group_sum(rewards > 0), group_sum(1), k = 2)",
    "group_max(seq_sum(log_prob)) - group_min(seq_mean(entropy))",
    "seq_mean(clip_cov(share = 90%, bounds = 0.01 .. 5))",
    "group_std(seq_sum(log_prob))",
];

const SCALARS: [&str; 19] = [
    "luspo()",
    "dpo()",
    "dpo(beta = 0.5, smoothing = 0.1)",
    "ipo()",
    "simpo()",
    "orpo()",
    "kto(mismatched)",
    "tpo()",
    "real()",
    "real(tau = 0.2, good = score > 0.5)",
    "positive_nll()",
    "effective_share(token_tis())",
    "explained_variance()",
    "batch_std(rewards)",
    "token_variance(log_prob)",
    "segments(turn)",
    "prompts()",
    "quantile(seq_sum(log_prob), 0.75)",
    "token_max(entropy) - token_min(log_prob)",
];

const SIGNALS: [&str; 5] = [
    "token_mean(entropy)",
    "token_mean(kl(estimator = \"k2\"))",
    "batch_mean(rewards)",
    "token_mean(log_prob)",
    "token_mean(clamped_entropy(drop = 30%))",
];

const CONTROLLERS: [&str; 21] = [
    "band(signal = SIGNAL, target = 0.3 .. 0.6, step = 1e-2, bounds = 1e-4 .. 0.05, init = 0.02, warmup = 2)",
    "band(signal = SIGNAL, target = 0.3, step = 1e-1, reg = 0.5)",
    "adaptive_kl(signal = SIGNAL, target = 0.1, samples = 64, horizon = 100)",
    "adaptive_kl(signal = SIGNAL, target = 0.5, samples = 8, horizon = 50, limit = 0.5, warmup = 1)",
    "anchored(signal = SIGNAL, share = 0.4, step = 0.1)",
    "anchored(signal = SIGNAL, share = 1.5, step = 0.1, anchor = 2, warmup = 1, init = 0.2)",
    "average(signal = SIGNAL)",
    "average(signal = SIGNAL, decay = 0.9, warmup = 2, init = 0.3)",
    "average(signal = SIGNAL, until = 3, bounds = -0.5 .. 0.5)",
    "constant(value = 0.05)",
    "cosine(from = 1e-2, to = 1e-3, steps = 5, warmup = 2)",
    "linear(from = 1e-2, to = 1e-3, steps = 6, warmup = 1)",
    "doubling(signal = SIGNAL, at_most = 0.3)",
    "doubling(signal = SIGNAL, at_least = 0.5, tolerance = 1.1, factor = 3, bounds = 1e-3 .. 20, warmup = 1)",
    "dual_ascent(signal = SIGNAL, at_least = 0.3)",
    "dual_ascent(signal = SIGNAL, at_most = 0.2, step = 0.5, init = 0.1, bounds = 0.05 .. 2, warmup = 1)",
    "pid(signal = SIGNAL, target = 0.4, p = 0.1, i = 0.05, d = 0.02)",
    "pid(signal = SIGNAL, target = 0.2, p = -0.3, i = -0.2, bounds = -1 .. 1, limit = 0.5, warmup = 1)",
    "piecewise(points = \"1: 1e-2, 3: 5e-2, 8: 0\")",
    "piecewise(points = \"0: 1e-2, 4: 0.3\", between = \"steps\")",
    "step(signal = SIGNAL, target = 0.4, step = 0.1, gate = true, warmup = 1)",
];

/// Where a coefficient `C` stands.
const MOVED: [&str; 8] = [
    "token_mean(clip_ppo()) - C * token_mean(entropy)",
    "token_mean(clip_ppo(high = 0.1 + clamp(C, 0, 0.5)))",
    "token_mean(clamped_entropy(top_k = clamp(10 * C, 1, 4)))",
    "token_mean(clamped_entropy(top_p = clamp(0.3 + C + step / 9, 0.3, 0.9)))",
    "token_mean(kl(output_clamp = clamp(C, 0.01, 3)))",
    "token_mean(entropy(temperature = clamp(1 + C, 0.5, 2)))",
    "token_mean(reverse_cumsum(entropy, discount = clamp(C, 0, 1)))",
    "C * token_mean(where(step < 3, k2(ref_log_prob), k3(ref_log_prob)))",
];
