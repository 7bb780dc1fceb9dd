//! The interface of the engines, which compute the sums of rows and the gradient back from them on one kind of device.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use super::ids::Ids;
use super::rows::Rows;
use super::source::{differs, refuse};
use super::{KernelError, cpu, cuda, plain};
use crate::passes::Plan;
use crate::tensor::{DType, Device, Host, Tensor};

/// Rows of logits as an engine reads them.
pub(super) struct Chunk {
    /// `[B, T, V]`. Each row is contiguous; engines differ in whether rows may be apart.
    pub(super) logits: Tensor,
    /// The same for each reference of the plan.
    pub(super) references: Vec<Tensor>,
    /// The ids of `N = B·T` rows.
    pub(super) ids: Ids,
    /// `[N]` f64: what the batch divides each row by, if it does; NaN where it cannot. The backward pass has it among the
    /// facts.
    pub(super) divisors: Option<Tensor>,
}

/// The result of the forward pass, in the columns of [`crate::passes`]: f64, one line per row.
pub(super) struct Found {
    /// `[N, plan.sums()]`.
    pub(super) sums: Numbers,
    /// `[N, plan.facts()]`.
    pub(super) facts: Numbers,
}

/// Lines of f64, on the host or on the engine's device.
pub(super) enum Numbers {
    Host(Arc<Vec<f64>>),
    Device(Tensor),
}

impl Numbers {
    /// A tensor of `width` columns, on the device of `near`.
    pub(super) fn tensor(&self, width: usize, near: &Tensor) -> Result<Tensor, KernelError> {
        Ok(match self {
            Self::Host(numbers) => {
                let size = [(numbers.len() / width.max(1)) as i64, width as i64];
                Tensor::from_slice(near.host()?, numbers, &size).to_device(near.device()).ok()?
            }
            Self::Device(tensor) => tensor.clone(),
        })
    }

    /// Its columns by index, each `[N]`.
    pub(super) fn columns(
        &self,
        width: usize,
        near: &Tensor,
    ) -> Result<impl Fn(usize) -> Tensor + use<>, KernelError> {
        let lines = self.tensor(width, near)?;
        Ok(move |column: usize| lines.select(1, column as i64))
    }

    /// The numbers on the host; waits for a device.
    pub(super) fn host(&self) -> Result<Cow<'_, [f64]>, KernelError> {
        Ok(match self {
            Self::Host(numbers) => Cow::Borrowed(numbers.as_slice()),
            Self::Device(tensor) => Cow::Owned(tensor.to_f64s()?),
        })
    }

    /// The tensor, if it is on a device.
    pub(super) fn on_device(&self) -> Option<&Tensor> {
        match self {
            Self::Host(_) => None,
            Self::Device(tensor) => Some(tensor),
        }
    }

    /// Some of the lines, each of `width` numbers.
    pub(super) fn lines(&self, width: usize, range: &Range<i64>) -> Self {
        match self {
            Self::Host(numbers) => {
                let range = range.start as usize * width..range.end as usize * width;
                Self::Host(Arc::new(numbers[range].to_vec()))
            }
            Self::Device(tensor) => Self::Device(tensor.narrow(0, range.start, range.end - range.start)),
        }
    }

    /// Concatenates lines; one engine returns only one variant.
    pub(super) fn joined(parts: Vec<Self>, width: usize, near: &Tensor) -> Result<Self, KernelError> {
        let mut numbers = Vec::new();
        let mut tensors = vec![near.zeros(&[0, width as i64], DType::F64)];
        for part in parts {
            match part {
                Self::Host(part) => numbers.extend_from_slice(&part),
                Self::Device(part) => tensors.push(part),
            }
        }
        if tensors.len() == 1 {
            return Ok(Self::Host(Arc::new(numbers)));
        }
        Ok(Self::Device(Tensor::cat(&tensors, 0).ok()?))
    }
}

impl Chunk {
    /// The number of rows.
    pub(super) fn rows(&self) -> usize {
        (self.logits.length(0) * self.logits.length(1)) as usize
    }

    /// Refuses tensors that do not match the fields, or rows that are not contiguous: kernels follow pointers, and what
    /// runs below the host's operations, such as a mode of the caller's, can replace their results.
    pub(super) fn check(&self, plan: &Plan) -> Result<(), KernelError> {
        if self.logits.dim() != 3 {
            return differs("three dimensions", &self.logits);
        }
        self.check_rows(&self.logits)?;
        if self.references.len() != plan.references {
            let found = self.references.len().to_string();
            return refuse("the kernels' tensors", &format!("{} references", plan.references), &found);
        }
        for reference in &self.references {
            self.check_rows(reference)?;
        }
        self.ids.check_rows(self.rows(), plan.lists.iter().sum())
    }

    /// The same for the additional arguments of the backward pass.
    pub(super) fn check_backward(
        &self,
        plan: &Plan,
        found: &Found,
        cotangents: &Numbers,
        gradient: &Tensor,
    ) -> Result<(), KernelError> {
        self.check(plan)?;
        let lines = [(&found.sums, plan.sums()), (&found.facts, plan.facts()), (cotangents, plan.sums())];
        for (numbers, width) in lines {
            match numbers {
                Numbers::Host(numbers) if numbers.len() == self.rows() * width => {}
                Numbers::Host(numbers) => {
                    let expected = format!("{} numbers", self.rows() * width);
                    return refuse("the kernels' lines", &expected, &numbers.len().to_string());
                }
                Numbers::Device(tensor) => check(tensor, &[self.rows() as i64, width as i64], DType::F64)?,
            }
        }
        self.check_rows(gradient)
    }

    /// The divisors of the rows, if the plan has passes that need them; refuses those that do not fit.
    pub(super) fn divisors(&self, plan: &Plan) -> Result<Option<&Tensor>, KernelError> {
        match &self.divisors {
            _ if !plan.divides() => Ok(None),
            None => refuse("the kernels' tensors", "a divisor of each row", "none"),
            Some(divisors) => {
                check(divisors, &[self.rows() as i64], DType::F64)?;
                if divisors.length(0) > 1 && divisors.stride()[0] != 1 {
                    differs("divisors in one piece", divisors)?;
                }
                Ok(Some(divisors))
            }
        }
    }

    fn check_rows(&self, tensor: &Tensor) -> Result<(), KernelError> {
        check(tensor, &self.logits.size(), self.logits.dtype())?;
        if tensor.length(2) > 1 && tensor.stride()[2] != 1 {
            return differs("rows in one piece", tensor);
        }
        Ok(())
    }
}

fn check(tensor: &Tensor, size: &[i64], dtype: DType) -> Result<(), KernelError> {
    if tensor.size() == size && tensor.dtype() == dtype {
        return Ok(());
    }
    differs(&format!("{size:?} of {dtype}"), tensor)
}

/// Computes the sums of rows.
///
/// A row that does not count is not read: its sums of `e^u` and of `e^v` are one, all others zero, and its gradient is
/// zero. A row without a softmax, in the policy or in a reference it is compared with, is NaN everywhere, as is one whose
/// divisor is NaN.
/// `e^u (u - v)` is zero where `e^u` is zero, and infinite where only `e^v` is.
pub(super) trait Engine: Sync {
    /// Whether it reads whole batches in place. Other engines get a few contiguous rows at a time, all of which count.
    fn reads_in_place(&self) -> bool;

    /// How it handles an id that is out of range.
    fn wrong_id(&self) -> WrongId;

    /// Whether what it starts is recorded now, as in a CUDA graph, and nothing can be asked of the device.
    fn is_captured(&self) -> bool {
        false
    }

    /// Whether it can compute this plan of such rows; or why not.
    fn serves(&self, _plan: &Plan, _rows: Asked) -> Result<(), KernelError> {
        Ok(())
    }

    /// Reads rows.
    fn read(&self, plan: &Plan, chunk: &Chunk) -> Result<Found, KernelError>;

    /// Writes the gradient of the rows, in the shape and kind of the logits, from the cotangents of the sums.
    /// `gradient` may be the storage of the logits.
    fn write_gradient(
        &self,
        plan: &Plan,
        chunk: &Chunk,
        found: &Found,
        cotangents: &Numbers,
        gradient: &Tensor,
    ) -> Result<(), KernelError>;
}

/// How an engine handles an id that is out of range.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum WrongId {
    /// It is refused before use, at no extra cost.
    Refused,
    /// It makes its row NaN; refusing it costs a wait for the device.
    MakesNan,
    /// It must be refused before the engine runs.
    Breaks,
}

/// What an engine must know of rows before it reads one.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    pub(super) vocabulary: i64,
    /// The kind of the logits.
    pub(super) kind: DType,
    /// Whether their gradient may be wanted.
    pub(super) gradient: bool,
}

/// The engine for a plan of these rows.
pub(super) fn of(plan: &Plan, rows: &Rows<'_>) -> Result<&'static dyn Engine, KernelError> {
    let gradient = rows.policy.tensors().iter().any(|tensor| tensor.requires_grad());
    let asked = Asked { vocabulary: rows.vocabulary, kind: rows.logits, gradient };
    let found = match rows.policy.device() {
        Device::Cpu => Some(&cpu::Cpu as &dyn Engine),
        Device::Cuda(ordinal) => cuda::serving(rows.policy.host()?, ordinal, plan, asked),
        _ => None,
    };
    Ok(found.unwrap_or(&plain::Plain))
}

/// Why row statistics on this device use plain operations of the host, if they do.
pub fn fallback_reason(host: &'static dyn Host, device: Device) -> Option<String> {
    match device {
        Device::Cpu => None,
        Device::Cuda(ordinal) => cuda::engine(host, ordinal).err().map(str::to_owned),
        _ => Some("there are no kernels for this sort of device".to_owned()),
    }
}
