//! From a batch to checked tensors: names, shapes, kinds, devices and values, each checked once. Masked
//! positions hold zeros from here on.

use super::Batch;
use super::error::{Error, Result};
use crate::fields;
use crate::kernels::{Kernels, RowStatistic, row_statistics};
use crate::plan::Plan;
use crate::program::{Op, Program};
use crate::types::{Kind, Shape, Type};
use std::collections::BTreeMap;
use tch::{Device, Kind as TensorKind, Tensor};

/// The tensors of one part of a step.
#[derive(Debug)]
pub(super) struct Part {
    /// `[B, T]` bool.
    pub mask: Tensor,
    /// `[B]` bool.
    pub valid: Tensor,
    /// Batch fields besides `log_prob`, zero where masked.
    pub fields: BTreeMap<String, Tensor>,
    /// `[B, T]`, zero where masked.
    pub log_prob: Option<Tensor>,
    /// `[B, T]` each, zero where masked, by the plan's order.
    pub rows: Vec<Tensor>,
    /// The kind of numbers computed here.
    pub kind: TensorKind,
}

/// What is read of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Depth {
    /// The mask.
    Mask,
    /// All fields but those that come from the model.
    Fields,
    /// Everything.
    Model,
}

/// How a batch is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub depth: Depth,
    pub kernels: Kernels,
    pub validate: bool,
}

impl Part {
    pub(super) fn device(&self) -> Device {
        self.mask.device()
    }

    /// `[B, T]` of it.
    pub(super) fn size(&self) -> (i64, i64) {
        let size = self.mask.size();
        (size[0], size[1])
    }

    /// Reads a batch for a program.
    pub(super) fn read(program: &Program, plan: &Plan, batch: &Batch, reading: Reading) -> Result<Self> {
        let mask = read_mask(batch)?;
        let valid = mask.f_any_dim(1, false)?;
        let device = mask.device();
        let mut part = Part {
            mask,
            valid,
            fields: BTreeMap::new(),
            log_prob: None,
            rows: Vec::new(),
            kind: TensorKind::Float,
        };
        if reading.depth == Depth::Mask {
            return Ok(part);
        }
        for (index, node) in program.nodes.iter().enumerate() {
            let Op::Field(name) = &node.op else { continue };
            let skipped = plan.from_model[index] && reading.depth < Depth::Model;
            if plan.needed[index] && !skipped && !part.fields.contains_key(name) {
                let gradient = fields::find(name).is_some_and(|field| field.gradient);
                let field = part.read_field(batch, name, node.ty, gradient, reading.validate)?;
                part.fields.insert(name.clone(), field);
            }
        }
        if reading.depth == Depth::Model {
            part.read_rows(plan, batch, reading)?;
        }
        let wide = |tensor: &Tensor| tensor.kind() == TensorKind::Double;
        if part.log_prob.iter().chain(&part.rows).any(wide)
            || (plan.rows.is_empty() && part.log_prob.is_none() && part.fields.values().any(wide))
        {
            part.kind = TensorKind::Double;
        }
        debug_assert_eq!(part.device(), device);
        Ok(part)
    }

    fn read_rows(&mut self, plan: &Plan, batch: &Batch, reading: Reading) -> Result<()> {
        let own_log_prob = batch.get("log_prob").is_some();
        if plan.log_prob.is_some() && own_log_prob {
            self.log_prob = Some(self.read_field(batch, "log_prob", Type::TOKEN, true, reading.validate)?);
        }
        let derived = plan.log_prob.filter(|_| !own_log_prob);
        if plan.rows.is_empty() && derived.is_none() {
            return Ok(());
        }
        let needs = || match (plan.rows.first(), &derived) {
            (Some(row), _) => format!("float logits `[B, T, V]` for the {row}"),
            _ => "float logits `[B, T, V]` for `log_prob` (or `log_prob` itself)".to_owned(),
        };
        let logits = batch.get("logits").ok_or_else(|| missing("logits", needs()))?;
        let actions = self.read_actions(batch, logits, derived.is_some(), reading.validate)?;
        let request: Vec<RowStatistic> = derived.iter().chain(&plan.rows).copied().collect();
        let mut results = row_statistics(logits, &actions, &self.mask, &request, reading.kernels)?;
        if reading.validate {
            self.check_rows(&request, &results)?;
        }
        self.rows = results.split_off(usize::from(derived.is_some()));
        if derived.is_some() {
            self.log_prob = results.pop();
        }
        Ok(())
    }

    fn read_actions(&self, batch: &Batch, logits: &Tensor, used: bool, validate: bool) -> Result<Tensor> {
        let (sequences, width) = self.size();
        let shape = logits.size();
        let kinds = [TensorKind::Float, TensorKind::Double, TensorKind::BFloat16, TensorKind::Half];
        if shape.len() != 3 || shape[0] != sequences || shape[1] != width || shape[2] < 1 {
            let expected = format!("[{sequences}, {width}, V], as `response_mask` is [{sequences}, {width}]");
            return Err(field_error("logits", expected, &format!("{shape:?}")));
        }
        if !kinds.contains(&logits.kind()) {
            return Err(field_error("logits", "f32, f64, bf16 or f16", kind_name(logits.kind())));
        }
        self.check_device("logits", logits)?;
        let Some(actions) = batch.get("actions") else {
            if used {
                return Err(missing("actions", "int64 `[B, T]`: the sampled token ids".to_owned()));
            }
            return Ok(self.mask.f_zeros_like()?.f_to_kind(TensorKind::Int64)?);
        };
        if actions.size() != [sequences, width] {
            let expected = format!("[{sequences}, {width}], as `response_mask`");
            return Err(field_error("actions", expected, &format!("{:?}", actions.size())));
        }
        let integers =
            [TensorKind::Int64, TensorKind::Int, TensorKind::Int16, TensorKind::Int8, TensorKind::Uint8];
        if !integers.contains(&actions.kind()) {
            return Err(field_error("actions", "int64 token ids", kind_name(actions.kind())));
        }
        self.check_device("actions", actions)?;
        let actions = actions.f_to_kind(TensorKind::Int64)?;
        if validate && used {
            let outside = actions.f_lt(0i64)?.f_logical_or(&actions.f_ge(shape[2])?)?;
            let outside = outside.f_logical_and(&self.mask)?;
            if let Some(at) = first_of(&outside)? {
                return Err(Error::Value {
                    name: "actions".to_owned(),
                    place: place(&at),
                    expected: format!("a token id in 0 .. {}", shape[2] - 1),
                    found: actions.f_int64_value(&at)?.to_string(),
                });
            }
        }
        Ok(actions)
    }

    /// A row without a softmax shows in its statistics, so that the logits need not be read again.
    fn check_rows(&self, request: &[RowStatistic], results: &[Tensor]) -> Result<()> {
        for (row, result) in request.iter().zip(results) {
            let wrong = result.f_isfinite()?.f_logical_not()?.f_logical_and(&self.mask)?;
            let Some(at) = first_of(&wrong)? else { continue };
            let value = result.f_double_value(&at)?;
            let found = if value == f64::NEG_INFINITY {
                "an action whose logit is -inf: the policy gives it no probability".to_owned()
            } else {
                format!("NaN, +inf, or nothing but -inf (the {row} is {value})")
            };
            return Err(Error::Value {
                name: "logits".to_owned(),
                place: place(&at),
                expected: "a row of finite logits, or -inf for banned tokens".to_owned(),
                found,
            });
        }
        Ok(())
    }

    fn read_field(
        &self,
        batch: &Batch,
        name: &str,
        ty: Type,
        gradient: bool,
        validate: bool,
    ) -> Result<Tensor> {
        let (sequences, width) = self.size();
        let tensor = batch.get(name).ok_or_else(|| missing(name, describe(name, ty)))?;
        let size = tensor.size();
        // Advantages may come one per sequence.
        let per_sequence = name == "advantages" && size == [sequences];
        let fits = match ty.shape {
            Shape::Token => size == [sequences, width] || per_sequence,
            Shape::Seq => size == [sequences],
            Shape::Scalar => size.iter().product::<i64>() == 1 && size.len() <= 1,
        };
        if !fits {
            let expected = match ty.shape {
                Shape::Token if name == "advantages" => format!("[{sequences}, {width}] or [{sequences}]"),
                Shape::Token => format!("[{sequences}, {width}]"),
                Shape::Seq => format!("[{sequences}]"),
                Shape::Scalar => "one value".to_owned(),
            };
            return Err(field_error(name, format!("{expected} (a `{ty}`)"), &format!("{size:?}")));
        }
        self.check_device(name, tensor)?;
        let tensor = if per_sequence {
            tensor.f_unsqueeze(1)?.f_expand([sequences, width], false)?
        } else {
            tensor.shallow_clone()
        };
        let counted = match ty.shape {
            Shape::Token => Some(&self.mask),
            Shape::Seq => Some(&self.valid),
            Shape::Scalar => None,
        };
        let tensor = if name == "group" {
            if !matches!(tensor.kind(), TensorKind::Int64 | TensorKind::Int) {
                return Err(field_error(name, "int64 ids of prompts", kind_name(tensor.kind())));
            }
            tensor.f_to_kind(TensorKind::Int64)?
        } else if ty.kind == Kind::Bool {
            to_bool(name, &tensor, counted)?
        } else {
            let tensor = if gradient { tensor } else { tensor.f_detach()? };
            match tensor.kind() {
                TensorKind::Float | TensorKind::Double => tensor,
                TensorKind::Bool => return Err(field_error(name, "numbers", "bool")),
                TensorKind::ComplexFloat | TensorKind::ComplexDouble | TensorKind::ComplexHalf => {
                    return Err(field_error(name, "real numbers", kind_name(tensor.kind())));
                }
                _ => tensor.f_to_kind(TensorKind::Float)?,
            }
        };
        let is_real = matches!(tensor.kind(), TensorKind::Float | TensorKind::Double);
        if validate && is_real {
            let mut wrong = tensor.f_isfinite()?.f_logical_not()?;
            if let Some(counted) = counted {
                wrong = wrong.f_logical_and(counted)?;
            }
            if let Some(at) = first_of(&wrong)? {
                return Err(Error::Value {
                    name: name.to_owned(),
                    place: place(&at),
                    expected: "a finite number where `response_mask` is 1".to_owned(),
                    found: tensor.f_double_value(&at)?.to_string(),
                });
            }
        }
        match counted {
            Some(counted) => {
                let zero = tensor.f_new_zeros([0i64; 0], (tensor.kind(), tensor.device()))?;
                Ok(tensor.f_where_self(counted, &zero)?)
            }
            None => Ok(tensor.f_reshape([0i64; 0])?),
        }
    }

    fn check_device(&self, name: &str, tensor: &Tensor) -> Result<()> {
        let (wanted, found) = (self.device(), tensor.device());
        if wanted == found {
            return Ok(());
        }
        Err(field_error(name, format!("{wanted:?}, where `response_mask` is"), &format!("{found:?}")))
    }
}

fn read_mask(batch: &Batch) -> Result<Tensor> {
    let name = "response_mask";
    let mask = batch
        .get(name)
        .ok_or_else(|| missing(name, "bool or 0/1 `[B, T]`: which tokens count".to_owned()))?;
    if mask.size().len() != 2 {
        return Err(field_error(name, "[B, T]", &format!("{:?}", mask.size())));
    }
    to_bool(name, mask, None)
}

fn to_bool(name: &str, tensor: &Tensor, counted: Option<&Tensor>) -> Result<Tensor> {
    if tensor.kind() == TensorKind::Bool {
        return Ok(tensor.f_detach()?);
    }
    let ones = tensor.f_eq(1.0)?;
    let mut wrong = ones.f_logical_or(&tensor.f_eq(0.0)?)?.f_logical_not()?;
    if let Some(counted) = counted {
        wrong = wrong.f_logical_and(counted)?;
    }
    if let Some(at) = first_of(&wrong)? {
        return Err(Error::Value {
            name: name.to_owned(),
            place: place(&at),
            expected: "bool, or 0 or 1".to_owned(),
            found: tensor.f_double_value(&at)?.to_string(),
        });
    }
    Ok(ones)
}

/// The index of the first true element.
fn first_of(wrong: &Tensor) -> Result<Option<Vec<i64>>> {
    if wrong.f_any()?.f_int64_value(&[])? == 0 {
        return Ok(None);
    }
    let first = wrong.f_nonzero()?.f_get(0)?;
    Ok(Some(Vec::<i64>::try_from(&first)?))
}

fn place(at: &[i64]) -> String {
    format!("[{}]", at.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}

fn describe(name: &str, ty: Type) -> String {
    let shape = match ty.shape {
        Shape::Token => "`[B, T]`",
        Shape::Seq => "`[B]`",
        Shape::Scalar => "one value",
    };
    match fields::find(name) {
        Some(field) => format!("a `{ty}`, {shape} ({})", field.docs),
        None => format!("a `{ty}`, {shape}, which the program declares as `input`"),
    }
}

fn missing(name: &str, expected: String) -> Error {
    Error::MissingField { name: name.to_owned(), expected }
}

fn field_error(name: &str, expected: impl Into<String>, found: &str) -> Error {
    Error::Field { name: name.to_owned(), expected: expected.into(), found: found.to_owned() }
}

fn kind_name(kind: TensorKind) -> &'static str {
    match kind {
        TensorKind::Uint8 => "u8",
        TensorKind::Int8 => "i8",
        TensorKind::Int16 => "i16",
        TensorKind::Int => "i32",
        TensorKind::Int64 => "i64",
        TensorKind::Half => "f16",
        TensorKind::Float => "f32",
        TensorKind::Double => "f64",
        TensorKind::BFloat16 => "bf16",
        TensorKind::Bool => "bool",
        TensorKind::ComplexHalf | TensorKind::ComplexFloat | TensorKind::ComplexDouble => "complex numbers",
        _ => "another kind",
    }
}
