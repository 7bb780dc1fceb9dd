//! Generates the text of a kernel from a plan: `#define`s fix what is the same for all rows.

use std::fmt::Write;

use crate::tensor::DType;

use crate::passes::Plan;
use crate::rows::TokenSet;

/// A kernel, with everything that is fixed when it is compiled. Numbers such as temperatures are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Source {
    pub(super) kernel: Kernel,
    kind: u32,
    /// How many references passes compare with.
    references: usize,
    passes: usize,
    /// The sets among the passes, as bits.
    sets: u32,
    second: bool,
    /// How many lists of tokens there are.
    lists: usize,
    /// Whether the batch divides each row.
    divides: bool,
    /// Whether a temperature's scale needs two f32 numbers.
    two_parts: bool,
    /// Threads per block.
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
            references: plan.references,
            passes: plan.passes.len(),
            // All tokens need no search.
            sets: sets & !1,
            second: plan.second,
            lists: plan.lists.len(),
            divides: plan.divides(),
            two_parts: plan.divides() || plan.passes.iter().any(|pass| needs_two_parts(pass.temperature)),
            threads: 512,
        };
        // Rows that are read again stay in the cache with one block per processor; otherwise two hide each other's latency.
        if kernel == Kernel::Read && source.reads_again() {
            source.threads = 1024;
        }
        source
    }

    /// Whether it reads most rows more than once: the border of the `k` likeliest of a 16-bit kind is found in one reading.
    fn reads_again(&self) -> bool {
        let is_short = self.kind == kind_number(DType::BF16) || self.kind == kind_number(DType::F16);
        let found_at_once = if is_short { 1 << TOP_K } else { 0 };
        self.sets & !found_at_once != 0 || self.references > 0 || self.passes > 1
    }

    /// Whether it searches the border of a set.
    #[cfg(test)]
    pub(super) fn searches(&self) -> bool {
        self.kernel == Kernel::Read && self.sets != 0
    }

    /// The least number of its blocks that must fit on a processor. Two hide each other's latency where a thread needs few
    /// registers; where it needs many, two would spill them to memory.
    pub(super) fn blocks(&self) -> u32 {
        if self.is_lean() && self.threads == 512 { 2 } else { 1 }
    }

    /// A kernel for all sets, so that tests compile fewer kernels.
    #[cfg(test)]
    pub(super) fn for_all_sets(self) -> Self {
        Self { sets: 0b1110, ..self }
    }

    /// Whether it computes in f32, with one pass and without a reference.
    pub(super) fn is_lean(&self) -> bool {
        self.kind != kind_number(DType::F64) && self.references == 0 && self.passes == 1
    }

    /// The text to compile.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let defined = [
            ("KIND", self.kind as usize),
            ("REFERENCES", self.references),
            ("PASSES", self.passes),
            ("SETS", self.sets as usize),
            ("SECOND", usize::from(self.second)),
            ("LISTS", self.lists),
            ("DIVIDES", usize::from(self.divides)),
            ("TWO_PARTS", usize::from(self.two_parts)),
            ("BLOCK", self.threads as usize),
            ("BLOCKS", self.blocks() as usize),
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

/// Whether rounding the factor of the logits to f32 matters: its relative error is above 2^-26.
fn needs_two_parts(temperature: f64) -> bool {
    let scale = std::f64::consts::LOG2_E / temperature;
    (f64::from(scale as f32) - scale).abs() > scale * 2f64.powi(-26)
}

const TOP_K: u32 = 1;

/// The number in the enumeration `Set` of `row.cuh`.
pub(super) fn set_number(set: Option<TokenSet>) -> u32 {
    match set {
        None | Some(TokenSet::All | TokenSet::Drop(_) | TokenSet::Given(_)) => 0,
        Some(TokenSet::TopK(_)) => TOP_K,
        Some(TokenSet::TopP(_)) => 2,
        Some(TokenSet::MinP(_)) => 3,
    }
}

/// The number in the enumeration `Kind` of `numbers.cuh`.
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

/// Each piece comes after those that it needs.
const READ: &[&str] = &[NUMBERS, ROW, BLOCK, SELECT, STREAM, DIVERGENCE, include_str!("read.cu")];
const GRADIENT: &[&str] = &[NUMBERS, ROW, DIVERGENCE, include_str!("gradient.cu")];
