//! The built-in terms. Nothing here is public: they come in through the registry, as a plugin's do.

mod accepted;
mod cispo;
mod clamped_entropy;
mod clip_cov;
mod clip_ppo;
mod clip_value;
mod dppo;
mod entropy;
mod forward_kl;
mod gmpo;
mod gppo;
mod gspo;
mod jensen_shannon;
mod kl;
mod log_prob;
mod m2po_kept;
mod reverse_kl;
mod surrogate;
