//! The contract of a plugin: terms, reductions and controllers are objects behind traits, registered
//! under a name and made from a call's named arguments by serde. Built-ins take the same road.

mod aliases;
mod args;
mod bounds;
mod context;
mod entry;
mod introspect;
mod registry;
mod signature;
mod traits;

pub use aliases::{Alias, aliases};
pub use args::{ArgError, ArgNode, ArgSource, BuildError};
pub(crate) use args::{build, field_names, quoted, unknown_argument};
pub use bounds::Bounds;
pub(crate) use context::Frame;
pub use context::{EvalError, StepCounts, TermContext, TermValue};
pub use entry::{AnyEntry, Build, ControllerEntry, Entry, Info, ReductionEntry, TermEntry};
pub use introspect::{Parameter, parameters};
pub use registry::{Lookup, Registry, register, registry};
pub use signature::{ControllerSignature, Extra, Input, InputDefault, Reach, ReductionSignature, Signature};
pub use traits::{Controller, ControllerState, Reduction, Row, Term};

/// Everything a plugin crate needs in scope.
pub mod prelude {
    pub use super::{
        ArgError, Bounds, Controller, ControllerSignature, ControllerState, EvalError, Extra, Input, Reach,
        Reduction, ReductionSignature, Row, Signature, Term, TermContext, TermValue,
    };
    pub use crate::interval::Interval;
    pub use crate::kernels::{Moment, TokenSet};
    pub use crate::types::{Kind, Shape, Type, Unit};
    pub use serde::{Deserialize, Serialize};
    pub use tch::Tensor;
}

#[doc(hidden)]
pub mod private {
    pub use inventory;
}
