//! From Python's tensors by name to a batch, with what is said of heads. Tensors are shared, never copied.

use crate::errors::of_batch;
use crate::host::{dtype_named, is_tensor, is_torchs_own, of_python, to_python};
use aent::fields::{self, CU_SEQLENS, RESPONSE_MASK};
use aent::near::nearest;
use aent::program::InputDecl;
use aent::tensor::Tensor;
use aent::{Batch, Program};
use pyo3::prelude::*;
use pyo3::types::{PyAny, PyDict, PyMapping};
use std::sync::Arc;

/// The names that a batch for a program may use.
#[derive(Clone)]
pub(crate) struct Names(Arc<[String]>);

/// What a call brought.
#[derive(Default)]
pub(crate) struct Given {
    pub(crate) batch: Batch,
    /// The fields of other classes than torch's own, each in words.
    pub(crate) others: Vec<String>,
    /// The fields that came as nested tensors.
    nested: Vec<String>,
}

impl Names {
    /// Every field that a batch for this program may have.
    pub(crate) fn of(program: &Program) -> Self {
        let declared = program.inputs.iter().flat_map(InputDecl::names).map(str::to_owned);
        let language = fields::names().map(str::to_owned);
        Self(language.chain(declared).collect())
    }

    /// The fields of a mapping, and over them those given by name. A mapping may hold whatever a trainer has: names that
    /// are no fields are passed over. What is given by name is meant, and must be one. `None` is no field.
    pub(crate) fn read(
        &self,
        mapping: Option<&Bound<'_, PyAny>>,
        named: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Given> {
        let mut given = Given::default();
        if let Some(mapping) = mapping {
            let Ok(mapping) = mapping.cast::<PyMapping>() else {
                let found = mapping.get_type().name()?;
                return Err(of_batch(format!(
                    "the batch: expected a mapping of names to tensors, found a `{found}`"
                )));
            };
            for item in mapping.items()?.iter() {
                let (name, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item.extract()?;
                let Ok(name) = name.extract::<String>() else { continue };
                if self.contains(&name) && !value.is_none() {
                    self.add(&mut given, name, &value)?;
                }
            }
        }
        for (name, value) in named.into_iter().flatten() {
            let name: String = name.extract()?;
            if !self.contains(&name) {
                return Err(of_batch(self.unknown(&name)));
            }
            if !value.is_none() {
                self.add(&mut given, name, &value)?;
            }
        }
        given.is_nested_as_a_whole()?;
        Ok(given)
    }

    fn contains(&self, name: &str) -> bool {
        let known = |name: &str| self.0.iter().any(|known| known == name);
        known(name) || fields::head_option(name).is_some_and(|(hidden, _)| known(&hidden))
    }

    fn add(&self, given: &mut Given, name: String, value: &Bound<'_, PyAny>) -> PyResult<()> {
        match fields::head_option(&name) {
            Some((hidden, option)) if self.contains(&hidden) => given.say(&name, &hidden, option, value),
            _ => given.add(name, value),
        }
    }

    fn unknown(&self, name: &str) -> String {
        let way_out = match nearest(name, self.0.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("a field of your own needs a line `input {name}: token` in the file"),
        };
        format!("there is no batch field `{name}`; {way_out}")
    }
}

impl Given {
    fn add(&mut self, name: String, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let refuse = |expected: &str, found: &str| -> PyResult<()> {
            let class = value.get_type().name()?;
            Err(of_batch(format!("`{name}`: expected {expected}, found a `{class}`{found}")))
        };
        if !is_tensor(value)? {
            return refuse("a `torch.Tensor`", "");
        }
        if !is_torchs_own(value)? {
            if value.getattr("is_nested")?.is_truthy()? {
                return self.add_nested(name, value);
            }
            let class = value.get_type().name()?;
            if value.hasattr("full_tensor")? {
                return refuse("a plain tensor", &format!("; write `{name}.full_tensor()`"));
            }
            if value.hasattr("fake_mode")? {
                return refuse("a tensor with values", ", which has none");
            }
            let way_out = if value.hasattr("trigger_wait")? { " (`.wait()` makes it plain)" } else { "" };
            self.others.push(format!("`{name}` is a `{class}`{way_out}"));
        }
        self.batch = std::mem::take(&mut self.batch).with(name, of_python(value.clone()));
        Ok(())
    }

    /// Takes what is said of the head that makes logits of these hidden states.
    fn say(&mut self, name: &str, hidden: &str, option: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let refuse = |expected: &str| -> PyErr {
            let found = value.get_type().name().map_or_else(|_| String::new(), |class| class.to_string());
            of_batch(format!("`{name}`: expected {expected}, found a `{found}`"))
        };
        let number = || match value.extract::<f64>() {
            Ok(number) if !is_tensor(value)? => Ok(number),
            _ => Err(refuse("a number")),
        };
        let mut head = self.batch.head(hidden);
        match option {
            "logit_softcap" => head.softcap = Some(number()?),
            "logit_scale" => head.scale = number()?,
            _ => {
                let dtype = dtype_named(value)?;
                head.dtype =
                    Some(dtype.ok_or_else(|| refuse("a `torch.dtype` or its name, such as `float32`"))?);
            }
        }
        self.batch = std::mem::take(&mut self.batch).with_head(hidden, head);
        Ok(())
    }

    /// Refuses a nested field among strided ones.
    fn is_nested_as_a_whole(&self) -> PyResult<()> {
        let Some(first) = self.nested.first() else { return Ok(()) };
        let is_nested = |name: &str| self.nested.iter().any(|nested| nested == name);
        let padded = |(name, tensor): &(&str, &Tensor)| {
            !fields::is_shared(name) && !is_nested(name) && (tensor.dim() > 1 || *name == RESPONSE_MASK)
        };
        match self.batch.iter().find(padded) {
            Some((other, _)) => Err(of_batch(format!(
                "`{first}`: expected a strided tensor, as `{other}` is, found a nested one; a packed batch is nested as a whole"
            ))),
            None => Ok(()),
        }
    }

    /// A nested tensor is its values, one sequence behind the other, and says where each begins.
    fn add_nested(&mut self, name: String, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = value.py();
        if !value.getattr("layout")?.eq(py.import("torch")?.getattr("jagged")?)? {
            return Err(of_batch(format!("`{name}`: expected a nested tensor of the layout `torch.jagged`")));
        }
        let offsets = value.call_method0("offsets")?;
        match self.batch.get(CU_SEQLENS) {
            None => self.batch = std::mem::take(&mut self.batch).with(CU_SEQLENS, of_python(offsets)),
            Some(first) => {
                let same = py.import("torch")?.call_method1("equal", (to_python(py, first)?, &offsets))?;
                if !same.is_truthy()? {
                    let text = format!("`{name}`: expected sequences as long as those of the other fields");
                    return Err(of_batch(text));
                }
            }
        }
        self.nested.push(name.clone());
        self.batch = std::mem::take(&mut self.batch).with(name, of_python(value.call_method0("values")?));
        Ok(())
    }
}
