//! The built-in reductions. Nothing here is public: they come in through the registry, as a plugin's do.

mod batch_mean;
mod batch_sum;
mod deviation;
mod extremes;
mod group;
mod group_max;
mod group_mean;
mod group_min;
mod group_std;
mod group_sum;
mod segment;
mod segment_max;
mod segment_mean;
mod segment_sum;
mod seq_max;
mod seq_mean;
mod seq_mean_token_mean;
mod seq_mean_token_sum;
mod seq_mean_token_sum_norm;
mod seq_min;
mod seq_std;
mod seq_sum;
mod token_max;
mod token_mean;
mod token_min;
mod token_sum;
