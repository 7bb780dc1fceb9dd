//! The built-in terms. Nothing here is public: they come in through the registry, as a plugin's do.

mod clamped_entropy;
mod clip_ppo;
mod clip_value;
mod entropy;
mod forward_kl;
mod jensen_shannon;
mod kl;
mod log_prob;
mod reverse_kl;
