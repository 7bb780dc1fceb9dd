//! A small language for the losses of reinforcement learning on language models.
//! Losses run on the tensors of a host: libtorch through tch, or Python's torch.
//!
//! A loss is a short `.aent` file: any composition of surrogates, regularizers, masks and reductions, with
//! coefficients that controllers steer. It is checked before a model is loaded, reads the logits through one
//! request of row statistics, gives the same gradient however a step is cut into micro-batches, and its
//! controllers are saved and restored bit for bit.
//!
//! ```text
//! text ──parse──▶ ast::File ──check──▶ Program ──plan──▶ Plan ──step(&Batch)──▶ Output { loss, metrics, signals }
//!        syntax               check              plan            exec                        │
//!          load: imports        ▲                                 ▲                      update
//!                               └── plugin: terms, reductions, controllers ──┘               ▼
//!                                   (registered by name, built-ins like any other)      controllers move
//! ```
//!
//! ```
//! use aent::{Batch, Session};
//! use tch::{Device, Kind, Tensor};
//!
//! let program = aent::compile("
//!     let policy  = clip_ppo(low = 0.2, high = 0.28)
//!     let entropy = clamped_entropy(drop = 30%)
//!     controller beta = band(
//!         signal = token_mean(entropy), target = 0.05 .. 0.23, step = 1e-3, bounds = 1e-5 .. 3e-3, init = 2e-4,
//!     )
//!     loss = token_mean(policy) - beta * token_mean(entropy)
//! ").unwrap();
//! let mut session = Session::new(program);
//!
//! let float = (Kind::Float, Device::Cpu);
//! let logits = Tensor::randn([2, 3, 50], float).set_requires_grad(true);
//! let batch = Batch::new()
//!     .with("logits", logits.shallow_clone())
//!     .with("actions", Tensor::randint(50, [2, 3], (Kind::Int64, Device::Cpu)))
//!     .with("old_log_prob", Tensor::full([2, 3], -4.0, float))
//!     .with("advantages", Tensor::from_slice(&[1f32, -1.0]))
//!     .with("response_mask", Tensor::ones([2, 3], (Kind::Bool, Device::Cpu)));
//!
//! let output = session.forward(&batch)?;
//! output.backward()?; // then the optimizer's step
//! session.update(&output)?; // and the coefficient moves
//! assert_eq!(logits.grad().size(), [2, 3, 50]);
//! # Ok::<(), aent::Error>(())
//! ```
//!
//! Learn more: [`plugin`] to write terms, reductions and controllers; [`Accumulation`] for micro-batches;
//! [`ProcessGroup`] for steps over many processes; [`program`] for checked programs; [`kernels`] for row statistics alone.

#![cfg_attr(
    not(feature = "exec"),
    expect(dead_code, unused_imports, reason = "what only a running program reads")
)]

mod check;
mod compile;
mod control;
pub mod diag;
#[cfg(feature = "exec")]
mod exec;
pub mod fields;
#[cfg(feature = "tch")]
pub mod host;
pub mod interval;
#[cfg(feature = "exec")]
pub mod kernels;
pub mod load;
pub mod near;
mod panic;
pub mod passes;
pub mod plan;
pub mod plugin;
pub mod program;
mod reductions;
pub mod rows;
pub mod source;
pub mod span;
pub mod syntax;
pub mod tensor;
mod terms;
#[cfg(feature = "testing")]
pub mod testing;
pub mod types;

pub use check::{BUILTINS, Builtin, Fact, Facts, elsewhere};
pub use compile::{Analysis, Compiler, Failure, compile, compile_file};
#[cfg(feature = "exec")]
pub use exec::{
    Accumulation, Batch, Bound, Counts, Diagnosis, Error, Fit, GroupError, NonFinite, Options, Order, Output,
    PartOutput, ProcessGroup, Result, SavedController, SequenceShards, Session, SessionState, Summand,
};
#[cfg(feature = "exec")]
pub use kernels::{Head, Kernels};
pub use program::Program;

#[doc(hidden)]
pub extern crate self as aent;

/// Compiles the read-me's program with the doc tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadMe;
