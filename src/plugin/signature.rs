//! Signatures: the inputs, result, reach and interval that an entry declares.

use super::{Count, Reach, Row};
use crate::fields;
use crate::interval::Interval;
use crate::types::{Type, Unit};

/// A tensor that an object reads besides its constant arguments. A call gives it by name, unless it is declared
/// [`positional`](Input::positional); the default is the batch field of that name, or a constant.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Input {
    /// The argument's name, and that of the default batch field.
    pub name: &'static str,
    /// The type it is broadcast to.
    pub ty: Type,
    /// Its value if the call does not give it.
    pub default: InputDefault,
    /// Its unit; [`Unit::Unknown`] means that of the batch field of the same name, if there is one.
    pub unit: Unit,
    /// Whether gradient flows through it; if not, the executor detaches it.
    pub gradient: bool,
    /// Whether a call may give it without its name.
    pub positional: bool,
    /// One line of documentation; a batch field of the same name brings its own.
    pub docs: &'static str,
}

/// The value of an input that the call does not give.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum InputDefault {
    /// The batch field of the same name.
    Field,
    /// A number.
    Constant(f64),
    /// The call must give it.
    Required,
}

impl Input {
    /// The batch field `name`, unless the call gives another value. If the language does not know the field, the batch
    /// must have it with the type `ty`. Two objects that read such a field with different types cannot be in one file,
    /// unless the file declares an `input` that fits both.
    pub const fn field(name: &'static str, ty: Type) -> Self {
        Self::new(name, ty, InputDefault::Field)
    }

    /// A number, unless the call gives another value.
    pub const fn constant(name: &'static str, ty: Type, value: f64) -> Self {
        Self::new(name, ty, InputDefault::Constant(value))
    }

    /// A value that every call must give.
    pub const fn required(name: &'static str, ty: Type) -> Self {
        Self::new(name, ty, InputDefault::Required)
    }

    const fn new(name: &'static str, ty: Type, default: InputDefault) -> Self {
        Self { name, ty, default, unit: Unit::Unknown, gradient: true, positional: false, docs: "" }
    }

    /// Sets its unit.
    #[must_use]
    pub const fn unit(mut self, unit: Unit) -> Self {
        self.unit = unit;
        self
    }

    /// Treats it as a constant in the gradient.
    #[must_use]
    pub const fn detached(mut self) -> Self {
        self.gradient = false;
        self
    }

    /// Documents it in one line.
    #[must_use]
    pub const fn docs(mut self, docs: &'static str) -> Self {
        self.docs = docs;
        self
    }

    /// Lets a call give it without its name, after the positional inputs declared before it.
    #[must_use]
    pub const fn positional(mut self) -> Self {
        self.positional = true;
        self
    }

    /// The unit that a value given for it must have.
    pub fn expected_unit(&self) -> Unit {
        match self.unit {
            Unit::Unknown => fields::find(self.name).map_or(Unit::Unknown, |field| field.unit),
            unit => unit,
        }
    }
}

/// A named value that a term gives besides its result, such as `policy.clipped`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Extra {
    /// Its name after the dot.
    pub name: &'static str,
    /// Its type.
    pub ty: Type,
    /// Its unit.
    pub unit: Unit,
    /// One line of documentation.
    pub docs: &'static str,
}

impl Extra {
    /// An extra without a unit, with one line of documentation.
    pub const fn new(name: &'static str, ty: Type, docs: &'static str) -> Self {
        Self { name, ty, unit: Unit::Unknown, docs }
    }

    /// Sets its unit.
    #[must_use]
    pub const fn unit(mut self, unit: Unit) -> Self {
        self.unit = unit;
        self
    }
}

/// The signature of a term.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Signature {
    /// Its inputs. Positional arguments fill the positional ones in this order.
    pub inputs: Vec<Input>,
    /// The row statistics it needs, in the order in which [`TermContext::row`](super::TermContext::row) numbers them.
    pub rows: Vec<Row>,
    /// The type of its value.
    pub result: Type,
    /// Its extras.
    pub extras: Vec<Extra>,
    /// Whether the value can carry gradient when its inputs do.
    pub gradient: bool,
    /// How much of the batch one value depends on.
    pub reach: Reach,
    /// The values it can take.
    pub interval: Interval,
    /// Its unit.
    pub unit: Unit,
    /// Whether it reads the padded length of the step; see [`TermContext::width`](super::TermContext::width).
    pub width: bool,
    /// The other counts of the step that it reads.
    pub counts: Vec<Count>,
    /// Whether it is a loss: training means to lower it.
    pub minimised: bool,
}

impl Signature {
    /// A token-wise, differentiable term without inputs.
    pub const fn new(result: Type) -> Self {
        Self {
            inputs: Vec::new(),
            rows: Vec::new(),
            result,
            extras: Vec::new(),
            gradient: true,
            reach: Reach::Token,
            interval: Interval::ALL,
            unit: Unit::Unknown,
            width: false,
            counts: Vec::new(),
            minimised: false,
        }
    }

    /// Says that it is a loss, so that the checker warns where a file raises it.
    #[must_use]
    pub const fn minimised(mut self) -> Self {
        self.minimised = true;
        self
    }

    /// Adds an input.
    #[must_use]
    pub fn input(mut self, input: Input) -> Self {
        self.inputs.push(input);
        self
    }

    /// Adds a row statistic.
    #[must_use]
    pub fn row(mut self, row: Row) -> Self {
        self.rows.push(row);
        self
    }

    /// Sets the row statistics that these arguments need.
    #[must_use]
    pub fn rows(mut self, rows: impl IntoIterator<Item = Row>) -> Self {
        self.rows = rows.into_iter().collect();
        self
    }

    /// Sets whether it reads the padded length of the step.
    #[must_use]
    pub fn reads_width(mut self, reads: bool) -> Self {
        self.width = reads;
        self
    }

    /// Adds an extra.
    #[must_use]
    pub fn extra(mut self, extra: Extra) -> Self {
        self.extras.push(extra);
        self
    }

    /// Declares that it reads a count of the step.
    #[must_use]
    pub fn reads(mut self, count: Count) -> Self {
        self.counts.push(count);
        self
    }

    /// Declares that the value never carries gradient.
    #[must_use]
    pub fn detached(mut self) -> Self {
        self.gradient = false;
        self
    }

    /// Sets how much of the batch one value depends on.
    #[must_use]
    pub fn reach(mut self, reach: Reach) -> Self {
        self.reach = reach;
        self
    }

    /// Sets the values it can take.
    #[must_use]
    pub fn interval(mut self, interval: Interval) -> Self {
        self.interval = interval;
        self
    }

    /// Sets its unit.
    #[must_use]
    pub fn unit(mut self, unit: Unit) -> Self {
        self.unit = unit;
        self
    }
}

/// How the value of a reduction compares with its operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Between the operand's least and greatest value, as a mean.
    Mean,
    /// It grows with the batch, as a sum does.
    Extensive,
    /// Neither.
    Other,
}

/// A reduction's signature. Its first positional argument is the value it reduces.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ReductionSignature {
    /// The type it reduces; truth values are taken as 0 and 1.
    pub from: Type,
    /// The type of its value.
    pub to: Type,
    /// Its further inputs.
    pub inputs: Vec<Input>,
    /// Whether the whole step's value is the sum of its parts' values, given the step's counts. A reduction that is not
    /// additive and depends on more than a sequence is computed on the whole step.
    pub additive: bool,
    /// How much of the batch one value depends on.
    pub reach: Reach,
    /// How the value compares with the operand.
    pub scale: Scale,
    /// Whether it reads the padded length of the step; see [`TermContext::width`](super::TermContext::width).
    pub width: bool,
    /// The other counts of the step that it reads.
    pub counts: Vec<Count>,
}

impl ReductionSignature {
    /// A mean from one type to another, additive over the parts of a step.
    pub const fn new(from: Type, to: Type) -> Self {
        Self {
            from,
            to,
            inputs: Vec::new(),
            additive: true,
            reach: Reach::Batch,
            scale: Scale::Mean,
            width: false,
            counts: Vec::new(),
        }
    }

    /// Adds an input.
    #[must_use]
    pub fn input(mut self, input: Input) -> Self {
        self.inputs.push(input);
        self
    }

    /// Sets how much of the batch one value depends on.
    #[must_use]
    pub fn reach(mut self, reach: Reach) -> Self {
        self.reach = reach;
        self
    }

    /// Sets whether it reads the padded length of the step.
    #[must_use]
    pub fn reads_width(mut self, reads: bool) -> Self {
        self.width = reads;
        self
    }

    /// Declares that it reads a count of the step.
    #[must_use]
    pub fn reads(mut self, count: Count) -> Self {
        self.counts.push(count);
        self
    }

    /// Declares that the value grows with the batch.
    #[must_use]
    pub fn extensive(mut self) -> Self {
        self.scale = Scale::Extensive;
        self
    }

    /// Declares that the value may leave the range of the operand.
    #[must_use]
    pub fn not_a_mean(mut self) -> Self {
        self.scale = Scale::Other;
        self
    }

    /// Declares that parts do not add up, so that it is computed on the whole step.
    #[must_use]
    pub fn whole_step(mut self) -> Self {
        self.additive = false;
        self
    }
}

/// The signature of a controller.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ControllerSignature {
    /// Whether it takes `signal = EXPR`, a scalar.
    pub signal: bool,
    /// One line about the signal.
    pub signal_docs: &'static str,
}

impl ControllerSignature {
    /// A controller that observes steps but no signal.
    pub const fn new() -> Self {
        Self { signal: false, signal_docs: "" }
    }

    /// Declares that it observes a scalar, documented in one line.
    #[must_use]
    pub const fn signal(mut self, docs: &'static str) -> Self {
        self.signal = true;
        self.signal_docs = docs;
        self
    }
}
