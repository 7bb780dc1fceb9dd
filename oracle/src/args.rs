//! The arguments of a call.

use crate::value::{Data, Value};
use crate::{Result, wrong};

/// Values by name or by position.
#[derive(Default)]
pub(crate) struct Args {
    named: Vec<(String, Value)>,
    positional: Vec<Value>,
}

impl Args {
    pub(crate) fn push(&mut self, name: Option<String>, value: Value) {
        match name {
            Some(name) => self.named.push((name, value)),
            None => self.positional.push(value),
        }
    }

    pub(crate) fn positional(&self) -> &[Value] {
        &self.positional
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.named.iter().find(|(of, _)| of == name).map(|(_, value)| value)
    }

    /// An argument by name, or at a position.
    pub(crate) fn at(&self, name: &str, position: usize) -> Result<&Value> {
        let found = self.get(name).or_else(|| self.positional.get(position));
        found.map_or_else(|| wrong(format!("no argument `{name}`")), Ok)
    }

    pub(crate) fn number(&self, name: &str) -> Result<Option<f64>> {
        self.get(name).map(Value::as_number).transpose()
    }

    pub(crate) fn number_or(&self, name: &str, default: f64) -> Result<f64> {
        Ok(self.number(name)?.unwrap_or(default))
    }

    pub(crate) fn needed(&self, name: &str) -> Result<f64> {
        self.number(name)?.map_or_else(|| wrong(format!("no argument `{name}`")), Ok)
    }

    /// A whole number: a formula is rounded.
    pub(crate) fn whole(&self, name: &str) -> Result<Option<usize>> {
        Ok(self.number(name)?.map(|x| x.round() as usize))
    }

    /// A range; one number is a range whose ends are equal.
    pub(crate) fn range(&self, name: &str) -> Result<Option<(f64, f64)>> {
        match self.get(name) {
            None => Ok(None),
            Some(Value { data: Data::Range(lo, hi), .. }) => Ok(Some((*lo, *hi))),
            Some(value) => value.as_number().map(|x| Some((x, x))),
        }
    }

    pub(crate) fn range_or(&self, name: &str, default: (f64, f64)) -> Result<(f64, f64)> {
        Ok(self.range(name)?.unwrap_or(default))
    }

    pub(crate) fn text<'a>(&'a self, name: &str, default: &'a str) -> Result<&'a str> {
        match self.get(name) {
            None => Ok(default),
            Some(Value { data: Data::Text(text), .. }) => Ok(text),
            Some(found) => wrong(format!("`{name}` is a string, found {found:?}")),
        }
    }

    pub(crate) fn truth(&self, name: &str) -> Result<bool> {
        match self.get(name) {
            None => Ok(false),
            Some(Value { data: Data::Truth(truth), .. }) => Ok(truth[0]),
            Some(found) => wrong(format!("`{name}` is a truth value, found {found:?}")),
        }
    }
}
