//! What generated programs are made of: shapes, fields, terms, reductions.

/// How many values there are; a value of a smaller shape may stand where a larger one is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Shape {
    Scalar,
    Seq,
    Token,
}

pub(crate) const SHAPES: [Shape; 3] = [Shape::Scalar, Shape::Seq, Shape::Token];

/// Fields of every batch that the tests make, and two terms that are named like one; the last three of each kind are
/// declared by the program.
pub(crate) const REALS: [(&str, Shape); 14] = [
    ("log_prob", Shape::Token),
    ("old_log_prob", Shape::Token),
    ("ref_log_prob", Shape::Token),
    ("rollout_log_prob", Shape::Token),
    ("advantages", Shape::Token),
    ("values", Shape::Token),
    ("old_values", Shape::Token),
    ("returns", Shape::Token),
    ("rewards", Shape::Seq),
    ("position", Shape::Token),
    ("length", Shape::Seq),
    ("weight", Shape::Token),
    ("score", Shape::Seq),
    ("scale", Shape::Scalar),
];
pub(crate) const BOOLS: [(&str, Shape); 4] = [
    ("response_mask", Shape::Token),
    ("flag", Shape::Token),
    ("chosen", Shape::Seq),
    ("enabled", Shape::Scalar),
];
pub(crate) const INPUTS: &str = "input weight: token\ninput score: seq\ninput scale: scalar\n\
    input flag: token bool\ninput chosen: seq bool\ninput enabled: scalar bool\n\
    input turn: token int\ninput rollout: seq int\n\
    input kept: candidates id\ninput teacher_ids: candidates id\ninput teacher_log_prob: candidates\n\
    input math: logits";

pub(crate) const TERMS: [(&str, &[(&str, bool)]); 43] = [
    ("clip_ppo()", &[("ratio", false), ("clipped", true), ("capped", true)]),
    ("clip_ppo(low = 10%, high = 0.28, dual = 3)", &[("ratio", false), ("clipped", true), ("capped", true)]),
    ("clip_ppo(delta = 4, guard = 5)", &[("ratio", false), ("clipped", true)]),
    ("gspo(low = 0.1, high = 0.1)", &[("ratio", false), ("clipped", true)]),
    ("gspo(level = \"token\")", &[("ratio", false), ("clipped", true)]),
    ("cispo(bounds = 0 .. 5)", &[("ratio", false), ("clipped", true)]),
    ("gppo(beta_low = 0.25, dual = 3)", &[("ratio", false), ("clipped", true), ("capped", true)]),
    ("dppo(low = 0.05, high = 0.05)", &[("ratio", false), ("kept", true)]),
    ("dppo(divergence = \"kl\")", &[("ratio", false), ("kept", true)]),
    (
        "clip_cov(share = 20%, bounds = 0.1 .. 5)",
        &[("covariance", false), ("clipped", true), ("chosen", true)],
    ),
    ("kl()", &[]),
    ("kl(estimator = \"k3+\")", &[]),
    ("kl(estimator = \"k2\")", &[]),
    ("entropy()", &[]),
    ("clamped_entropy(drop = 30%)", &[]),
    ("clamped_entropy(top_k = 3)", &[]),
    ("clamped_entropy(top_p = 0.9)", &[]),
    ("clamped_entropy(min_p = 0.05)", &[]),
    ("renyi_entropy(alpha = 2)", &[]),
    ("tsallis_entropy(q = 0.5)", &[]),
    ("varentropy()", &[]),
    ("mass(top_k = 2)", &[]),
    ("mass_entropy(top_k = 2)", &[]),
    ("entropy(temperature = 0.6)", &[]),
    ("log_prob(temperature = 1.7)", &[]),
    ("mass(within = kept, temperature = 0.8)", &[]),
    ("log_prob(within = kept)", &[]),
    ("entropy(within = kept)", &[]),
    ("mass(within = teacher_ids)", &[]),
    ("forward_kl(within = teacher_ids, of = teacher_log_prob, rest = \"bucket\")", &[]),
    ("reverse_kl(within = teacher_ids, of = teacher_log_prob, rest = \"ignore\")", &[]),
    ("jensen_shannon(within = teacher_ids, of = teacher_log_prob, rest = \"renormalise\")", &[]),
    ("forward_kl(of = math)", &[]),
    ("reverse_kl(of = math, temperature = 0.7)", &[]),
    ("jensen_shannon(beta = 0.3, of = math)", &[]),
    ("gae(gamma = 0.9, lam = 0.8)", &[("returns", false)]),
    ("vtrace(gamma = 0.9, lam = 0.8)", &[("returns", false), ("clipped", true)]),
    ("segment_gae(by = turn, gamma = 0.9, lam = 0.8)", &[("returns", false)]),
    ("cumsum(log_prob)", &[]),
    ("reverse_cumsum(values, discount = 0.9)", &[]),
    ("z_loss()", &[]),
    ("clip_value(clip = 0.3)", &[("clipped", true)]),
    ("template::tail_mass(k = 2)", &[]),
];

/// What makes a `seq` of a `token`, and what is added so that no values tie by construction.
pub(crate) const OF_TOKENS: [(&str, &str); 5] = [
    ("seq_mean", ""),
    ("seq_sum", ""),
    ("seq_max", " + returns"),
    ("seq_min", " + returns"),
    ("seq_std", " + returns"),
];

/// What makes a `token` of a `token` with ids, and what is added so that no values tie by construction.
pub(crate) const OF_SEGMENTS: [(&str, &str); 3] =
    [("segment_mean", ""), ("segment_sum", ""), ("segment_max", " + returns")];

/// The same of a `seq`.
pub(crate) const OF_SEQUENCES: [(&str, &str); 6] = [
    ("group_mean", ""),
    ("group_sum", ""),
    ("group_std", " + rewards"),
    ("group_max", " + rewards"),
    ("group_min", " + rewards"),
    ("group_rank", " + rewards"),
];
