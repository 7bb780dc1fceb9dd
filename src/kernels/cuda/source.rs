//! A plan as the text of a kernel: what is fixed for all rows is defined before it is compiled.

use std::fmt::Write;

use crate::tensor::DType;

use crate::kernels::plan::Plan;
use crate::rows::TokenSet;

/// A kernel and everything about it that is fixed when it is compiled. Numbers such as temperatures are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Source {
    pub(super) kernel: Kernel,
    kind: u32,
    compares: bool,
    passes: usize,
    /// Which sets there are among the passes, as bits.
    sets: u32,
    second: bool,
    /// Whether a temperature's scale needs two numbers of f32.
    two_parts: bool,
    /// Threads of a block.
    pub(super) threads: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kernel {
    Read,
    Gradient,
}

impl Source {
    /// The kernel for the plan and the kind of the logits.
    pub(super) fn new(kernel: Kernel, plan: &Plan, kind: DType) -> Self {
        let sets = plan.passes.iter().map(|pass| 1 << set_number(pass.set)).fold(0, |all, set| all | set);
        let mut source = Self {
            kernel,
            kind: kind_number(kind),
            compares: plan.passes.iter().any(|pass| pass.compares),
            passes: plan.passes.len(),
            // All tokens are no set to look for.
            sets: sets & !1,
            second: plan.second,
            two_parts: plan.passes.iter().any(|pass| needs_two_parts(pass.temperature)),
            threads: 512,
        };
        // Where a row is read again, one for each processor stays in the cache; else two hide each other's waiting.
        if kernel == Kernel::Read && (source.sets != 0 || source.compares || source.passes > 1) {
            source.threads = 1024;
        }
        source
    }

    /// A kernel that finds any set, so that tests need not compile one for each.
    #[cfg(test)]
    pub(super) fn for_all_sets(self) -> Self {
        Self { sets: 0b1110, ..self }
    }

    /// Whether it works in f32, on one pass and without a reference.
    #[cfg(test)]
    pub(super) fn is_lean(&self) -> bool {
        self.kind != kind_number(DType::F64) && !self.compares && self.passes == 1
    }

    /// What is to be compiled.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let defined = [
            ("KIND", self.kind as usize),
            ("COMPARES", usize::from(self.compares)),
            ("PASSES", self.passes),
            ("SETS", self.sets as usize),
            ("SECOND", usize::from(self.second)),
            ("TWO_PARTS", usize::from(self.two_parts)),
            ("BLOCK", self.threads as usize),
        ];
        for (name, value) in defined {
            let _ = writeln!(text, "#define {name} {value}");
        }
        text.extend(
            match self.kernel {
                Kernel::Read => READ,
                Kernel::Gradient => GRADIENT,
            }
            .iter()
            .copied(),
        );
        text
    }
}

impl Kernel {
    /// Its name in the text.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Read => "aent_read",
            Self::Gradient => "aent_gradient",
        }
    }
}

/// Whether rounding what logits are multiplied with to f32 would be felt: it is off by more than 2^-26 of itself.
fn needs_two_parts(temperature: f64) -> bool {
    let scale = std::f64::consts::LOG2_E / temperature;
    (f64::from(scale as f32) - scale).abs() > scale * 2f64.powi(-26)
}

/// As the enumeration `Set` of `row.cuh`.
pub(super) fn set_number(set: Option<TokenSet>) -> u32 {
    match set {
        None | Some(TokenSet::All | TokenSet::Drop(_)) => 0,
        Some(TokenSet::TopK(_)) => 1,
        Some(TokenSet::TopP(_)) => 2,
        Some(TokenSet::MinP(_)) => 3,
    }
}

/// As the enumeration `DType` of `numbers.cuh`.
fn kind_number(kind: DType) -> u32 {
    match kind {
        DType::F64 => 1,
        DType::BF16 => 2,
        DType::F16 => 3,
        _ => 0,
    }
}

const NUMBERS: &str = include_str!("numbers.cuh");
const ROW: &str = include_str!("row.cuh");
const BLOCK: &str = include_str!("block.cuh");
const SELECT: &str = include_str!("select.cuh");
const STREAM: &str = include_str!("stream.cuh");
const DIVERGENCE: &str = include_str!("divergence.cuh");

/// In the order in which each piece needs those before it.
const READ: &[&str] = &[NUMBERS, ROW, BLOCK, SELECT, STREAM, DIVERGENCE, include_str!("read.cu")];
const GRADIENT: &[&str] = &[NUMBERS, ROW, DIVERGENCE, include_str!("gradient.cu")];
