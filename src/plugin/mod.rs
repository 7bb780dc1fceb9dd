//! The plugin interface: terms, reductions and controllers are objects behind traits, declared by an attribute,
//! registered under a name and made from a call's named arguments. Built-ins use it too.
//!
//! ```
//! use aent::plugin::prelude::*;
//!
//! /// The log-probability scaled.
//! ///
//! /// Formula: `scale · log π(a)`.
//! ///
//! /// Source: an example.
//! #[term(name = "acme::scaled_log_prob", example = "acme::scaled_log_prob(scale = 2)")]
//! struct Scaled {
//!     /// What the log-probability is multiplied with.
//!     #[param(above = 0)]
//!     scale: f64,
//! }
//!
//! impl Term for Scaled {
//!     fn signature() -> Signature {
//!         Signature::new(Type::TOKEN).input(Input::field("log_prob", Type::TOKEN))
//!     }
//!
//!     fn eval(&self, ctx: &TermContext<'_>) -> Result<TermValue, EvalError> {
//!         Ok((ctx.input("log_prob") * self.scale).into())
//!     }
//! }
//! ```

mod args;
mod bounds;
mod context;
mod declaration;
mod entry;
mod field;
mod mask;
mod parameter;
mod reach;
mod registry;
mod segments;
mod signature;
mod traits;

pub use aent_macros::{choice, controller, reduction, term};
#[cfg(feature = "testing")]
pub(crate) use args::check as check_argument;
pub use args::{ArgError, ArgNode, ArgSource, BuildError};
pub(crate) use args::{build, quoted, restore, unknown_argument};
pub use bounds::Bounds;
pub use context::{EvalError, TermContext, TermValue};
pub(crate) use context::{Frame, Lazy, StepCounts};
pub use declaration::{Alias, Declaration};
pub use entry::{AnyEntry, Build, ControllerEntry, Entry, Plugin, ReductionEntry, TermEntry};
pub use field::{FieldArg, TaughtBy, Teacher, TokenList};
pub(crate) use mask::Mask;
pub use parameter::{Argument, Limit, Limits, Literal, Parameter, ParameterType, Presence};
pub use reach::{Count, Reach};
pub use registry::{Lookup, Registry, register, registry};
pub use segments::Segments;
pub use signature::{ControllerSignature, Extra, Input, InputDefault, ReductionSignature, Scale, Signature};
pub use traits::{Controller, ControllerState, Reduction, Row, Term};

/// Everything a plugin crate needs in scope.
pub mod prelude {
    pub use super::{
        Alias, ArgError, Bounds, Controller, ControllerSignature, ControllerState, Count, EvalError, Extra,
        Input, Reach, Reduction, ReductionSignature, Row, Segments, Signature, TaughtBy, Teacher, Term,
        TermContext, TermValue, TokenList, choice, controller, reduction, term,
    };
    pub use crate::interval::Interval;
    pub use crate::rows::{Divergence, FieldName, Rest, Statistic, Taught, TokenSet};
    pub use crate::tensor::{DType, Tensor};
    pub use crate::types::{Kind, Shape, Type, Unit};
    pub use serde::{Deserialize, Serialize};
}

#[doc(hidden)]
pub mod private {
    pub use inventory;
    pub use serde;
}
