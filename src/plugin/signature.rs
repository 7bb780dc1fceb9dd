//! What an entry declares of its calls: inputs, result, how far it looks, what values it takes.

use super::Row;
use crate::fields;
use crate::interval::Interval;
use crate::types::{Type, Unit};

/// A tensor that an object reads besides its serde arguments. A call gives it by name, unless it is declared
/// [`positional`](Input::positional); without an argument it is the batch field of that name, or a constant.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Input {
    /// The argument's name, which is also the batch field's where the default is one.
    pub name: &'static str,
    /// The type it is broadcast to.
    pub ty: Type,
    /// What it is when the call does not give it.
    pub default: InputDefault,
    /// What it stands for; [`Unit::Unknown`] leaves it to the batch field of the same name, if there is one.
    pub unit: Unit,
    /// Whether gradient flows through it. The executor detaches it where it does not.
    pub gradient: bool,
    /// Whether a call may give it without its name.
    pub positional: bool,
    /// One line about it; the batch field of the same name has one of its own.
    pub docs: &'static str,
}

/// What an input is when the call does not give it.
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
    /// The batch field `name`, unless the call gives another value. It may be a field that the language does not know;
    /// then the batch has to bring it in the type `ty`. Two objects that read one such field in two types cannot stand in
    /// one file, unless the file declares an `input` that fits both.
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

    /// Says what it stands for.
    #[must_use]
    pub const fn unit(mut self, unit: Unit) -> Self {
        self.unit = unit;
        self
    }

    /// Says that it is a constant for the gradient.
    #[must_use]
    pub const fn detached(mut self) -> Self {
        self.gradient = false;
        self
    }

    /// Says in one line what it is for.
    #[must_use]
    pub const fn docs(mut self, docs: &'static str) -> Self {
        self.docs = docs;
        self
    }

    /// Says that a call may give it without its name, after the positional inputs declared before it.
    #[must_use]
    pub const fn positional(mut self) -> Self {
        self.positional = true;
        self
    }

    /// What a value given for it has to stand for.
    pub fn expected_unit(&self) -> Unit {
        match self.unit {
            Unit::Unknown => fields::find(self.name).map_or(Unit::Unknown, |field| field.unit),
            unit => unit,
        }
    }
}

/// A named value that a term gives next to its result: `policy.clipped`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Extra {
    /// Its name behind the dot.
    pub name: &'static str,
    /// Its type.
    pub ty: Type,
    /// What it stands for.
    pub unit: Unit,
    /// One line about it.
    pub docs: &'static str,
}

impl Extra {
    /// An extra of no particular unit, with one line about it.
    pub const fn new(name: &'static str, ty: Type, docs: &'static str) -> Self {
        Self { name, ty, unit: Unit::Unknown, docs }
    }

    /// Says what it stands for.
    #[must_use]
    pub const fn unit(mut self, unit: Unit) -> Self {
        self.unit = unit;
        self
    }
}

/// How far across the batch one value of the result looks. It decides what a micro-batch needs to know of
/// the rest of its step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// A token's value depends on that token only.
    Token,
    /// It depends on tokens of the same sequence.
    Sequence,
    /// It depends on other sequences: it is computed on the whole step.
    Batch,
}

impl Reach {
    /// `token`, `sequence` or `batch`.
    pub fn as_str(self) -> &'static str {
        match self {
            Reach::Token => "token",
            Reach::Sequence => "sequence",
            Reach::Batch => "batch",
        }
    }
}

/// What a term reads and gives.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Signature {
    /// What it reads. Positional arguments fill those that are declared positional, in this order.
    pub inputs: Vec<Input>,
    /// The row statistics it needs, in the order in which [`TermContext::row`](super::TermContext::row) numbers them.
    pub rows: Vec<Row>,
    /// The type of its value.
    pub result: Type,
    /// Further values.
    pub extras: Vec<Extra>,
    /// Whether the value can carry gradient when its inputs do.
    pub gradient: bool,
    /// How far one value looks.
    pub reach: Reach,
    /// The values it can take.
    pub interval: Interval,
    /// What it stands for.
    pub unit: Unit,
    /// Whether it reads the padded length of the step; see [`TermContext::width`](super::TermContext::width).
    pub width: bool,
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
        }
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

    /// Says which row statistics these arguments need.
    #[must_use]
    pub fn rows(mut self, rows: impl IntoIterator<Item = Row>) -> Self {
        self.rows = rows.into_iter().collect();
        self
    }

    /// Says that it reads the padded length of the step.
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

    /// Says that the value never carries gradient.
    #[must_use]
    pub fn detached(mut self) -> Self {
        self.gradient = false;
        self
    }

    /// Says how far one value looks.
    #[must_use]
    pub fn reach(mut self, reach: Reach) -> Self {
        self.reach = reach;
        self
    }

    /// Says which values it can take.
    #[must_use]
    pub fn interval(mut self, interval: Interval) -> Self {
        self.interval = interval;
        self
    }

    /// Says what it stands for.
    #[must_use]
    pub fn unit(mut self, unit: Unit) -> Self {
        self.unit = unit;
        self
    }
}

/// How the value of a reduction compares with what it reduces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Between the least and the greatest, as a mean.
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
    /// The type it gives.
    pub to: Type,
    /// What it reads besides.
    pub inputs: Vec<Input>,
    /// Whether the whole step's value is the sum of its parts' values, given the step's counts. A reduction
    /// that is not additive and looks beyond a sequence is computed on the whole step.
    pub additive: bool,
    /// How far one value looks.
    pub reach: Reach,
    /// How the value compares with what it reduces.
    pub scale: Scale,
    /// Whether it reads the padded length of the step; see [`TermContext::width`](super::TermContext::width).
    pub width: bool,
}

impl ReductionSignature {
    /// A mean of one type to another, additive over the parts of a step.
    pub const fn new(from: Type, to: Type) -> Self {
        Self {
            from,
            to,
            inputs: Vec::new(),
            additive: true,
            reach: Reach::Batch,
            scale: Scale::Mean,
            width: false,
        }
    }

    /// Adds an input.
    #[must_use]
    pub fn input(mut self, input: Input) -> Self {
        self.inputs.push(input);
        self
    }

    /// Says how far one value looks.
    #[must_use]
    pub fn reach(mut self, reach: Reach) -> Self {
        self.reach = reach;
        self
    }

    /// Says that it reads the padded length of the step.
    #[must_use]
    pub fn reads_width(mut self, reads: bool) -> Self {
        self.width = reads;
        self
    }

    /// Says that the value grows with the batch.
    #[must_use]
    pub fn extensive(mut self) -> Self {
        self.scale = Scale::Extensive;
        self
    }

    /// Says that the value may leave the range of what it reduces.
    #[must_use]
    pub fn not_a_mean(mut self) -> Self {
        self.scale = Scale::Other;
        self
    }

    /// Says that parts do not add up, so that the whole step is needed at once.
    #[must_use]
    pub fn whole_step(mut self) -> Self {
        self.additive = false;
        self
    }
}

/// What a controller reads.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ControllerSignature {
    /// Whether it takes `signal = EXPR`, a scalar.
    pub signal: bool,
    /// One line about the signal.
    pub signal_docs: &'static str,
}

impl ControllerSignature {
    /// A controller that observes steps and no signal.
    pub const fn new() -> Self {
        Self { signal: false, signal_docs: "" }
    }

    /// Says that it observes a scalar, and in one line which.
    #[must_use]
    pub const fn signal(mut self, docs: &'static str) -> Self {
        self.signal = true;
        self.signal_docs = docs;
        self
    }
}
