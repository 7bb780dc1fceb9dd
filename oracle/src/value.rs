//! Values of formulas.

use crate::tape::Var;
use crate::{Result, wrong};
use std::collections::BTreeMap;
use std::rc::Rc;

/// How many numbers a value has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Shape {
    Scalar,
    Seq,
    Token,
}

/// The numbers of a value. At a position that does not count they are never read.
#[derive(Clone, Debug)]
pub(crate) enum Data {
    Real(Vec<Var>),
    Truth(Vec<bool>),
    Id(Vec<i64>),
    Text(String),
    Range(f64, f64),
    /// What only terms take: lists of tokens, or another reference.
    Field(String),
}

/// A value with its extras.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub(crate) shape: Shape,
    pub(crate) data: Data,
    /// Whether it is known before any batch.
    pub(crate) constant: bool,
    pub(crate) extras: Rc<BTreeMap<String, Value>>,
}

impl Value {
    pub(crate) fn new(shape: Shape, data: Data) -> Self {
        Self { shape, data, constant: false, extras: Rc::default() }
    }

    pub(crate) fn real(shape: Shape, of: Vec<Var>) -> Self {
        Self::new(shape, Data::Real(of))
    }

    pub(crate) fn number(x: f64) -> Self {
        Self::real(Shape::Scalar, vec![Var::constant(x)])
    }

    pub(crate) fn with(mut self, name: &str, extra: Value) -> Self {
        Rc::make_mut(&mut self.extras).insert(name.to_owned(), extra);
        self
    }

    pub(crate) fn constant(mut self, constant: bool) -> Self {
        self.constant = constant;
        self
    }

    /// The same without gradient.
    pub(crate) fn detached(mut self) -> Self {
        if let Data::Real(of) = &mut self.data {
            for x in of {
                *x = x.detached();
            }
        }
        self
    }

    /// The one number of a scalar.
    pub(crate) fn as_number(&self) -> Result<f64> {
        match &self.data {
            Data::Real(of) if self.shape == Shape::Scalar => Ok(of[0].value),
            found => wrong(format!("expected one number, found {found:?}")),
        }
    }
}
