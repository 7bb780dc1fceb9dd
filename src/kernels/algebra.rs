//! From the sums of a row to the statistics asked for, and back from their cotangents: each formula once, for a row's numbers on
//! the CPU and for columns of all rows on a device.

use std::sync::Arc;

use super::KernelError;
use super::engine::{Found, Numbers};
use super::plan::{Plan, facts, sums};
use crate::rows::Statistic;
use crate::tensor::{DType, Element, Host, Tensor};

/// What a formula is computed with.
trait Number: Clone {
    fn plus(&self, other: &Self) -> Self;
    fn minus(&self, other: &Self) -> Self;
    fn times(&self, other: &Self) -> Self;
    fn over(&self, other: &Self) -> Self;
    fn ln(&self) -> Self;
    fn times_constant(&self, factor: f64) -> Self;
    fn over_constant(&self, divisor: f64) -> Self;
    fn plus_constant(&self, addend: f64) -> Self;
}

impl Number for f64 {
    fn plus(&self, other: &Self) -> Self {
        self + other
    }

    fn minus(&self, other: &Self) -> Self {
        self - other
    }

    fn times(&self, other: &Self) -> Self {
        self * other
    }

    fn over(&self, other: &Self) -> Self {
        self / other
    }

    fn ln(&self) -> Self {
        f64::ln(*self)
    }

    fn times_constant(&self, factor: f64) -> Self {
        self * factor
    }

    fn over_constant(&self, divisor: f64) -> Self {
        self / divisor
    }

    fn plus_constant(&self, addend: f64) -> Self {
        self + addend
    }
}

/// `[N]` in f64.
impl Number for Tensor {
    fn plus(&self, other: &Self) -> Self {
        self + other
    }

    fn minus(&self, other: &Self) -> Self {
        self - other
    }

    fn times(&self, other: &Self) -> Self {
        self * other
    }

    fn over(&self, other: &Self) -> Self {
        self / other
    }

    fn ln(&self) -> Self {
        self.log()
    }

    fn times_constant(&self, factor: f64) -> Self {
        self * factor
    }

    fn over_constant(&self, divisor: f64) -> Self {
        if divisor.to_bits() == 1f64.to_bits() { self.clone() } else { self / divisor }
    }

    fn plus_constant(&self, addend: f64) -> Self {
        self + addend
    }
}

/// No formula reads more columns of the sums than this.
const MOST_COLUMNS: usize = 3;

/// A number with its slopes by the columns of the sums that it is made of.
#[derive(Clone)]
struct Sloped<N> {
    value: N,
    slopes: [Option<(usize, N)>; MOST_COLUMNS],
}

impl<N: Number> Sloped<N> {
    fn constant(value: N) -> Self {
        Self { value, slopes: [const { None }; MOST_COLUMNS] }
    }

    fn column(column: usize, value: N, one: N) -> Self {
        let mut sloped = Self::constant(value);
        sloped.slopes[0] = Some((column, one));
        sloped
    }

    /// `value` with every slope changed alike.
    fn map(&self, value: N, change: impl Fn(&N) -> N) -> Self {
        let slopes =
            self.slopes.each_ref().map(|slope| slope.as_ref().map(|(column, of)| (*column, change(of))));
        Self { value, slopes }
    }

    /// The slopes of both together.
    fn with(mut self, other: Self) -> Self {
        for (column, slope) in other.slopes.into_iter().flatten() {
            let known = self.slopes.iter().position(|of| matches!(of, Some((of, _)) if *of == column));
            let free = || self.slopes.iter().position(Option::is_none).expect("a formula reads few columns");
            let at = known.unwrap_or_else(free);
            let sum = match &self.slopes[at] {
                Some((_, of)) => of.plus(&slope),
                None => slope,
            };
            self.slopes[at] = Some((column, sum));
        }
        self
    }
}

impl<N: Number> Number for Sloped<N> {
    fn plus(&self, other: &Self) -> Self {
        let value = self.value.plus(&other.value);
        self.map(value, N::clone).with(other.clone())
    }

    fn minus(&self, other: &Self) -> Self {
        let value = self.value.minus(&other.value);
        self.map(value, N::clone).with(other.times_constant(-1.0))
    }

    fn times(&self, other: &Self) -> Self {
        let value = self.value.times(&other.value);
        let left = self.map(value, |slope| slope.times(&other.value));
        left.with(other.map(other.value.clone(), |slope| slope.times(&self.value)))
    }

    fn over(&self, other: &Self) -> Self {
        let value = self.value.over(&other.value);
        let left = self.map(value.clone(), |slope| slope.over(&other.value));
        let by = value.over(&other.value).times_constant(-1.0);
        left.with(other.map(value, |slope| slope.times(&by)))
    }

    fn ln(&self) -> Self {
        self.map(self.value.ln(), |slope| slope.over(&self.value))
    }

    fn times_constant(&self, factor: f64) -> Self {
        self.map(self.value.times_constant(factor), |slope| slope.times_constant(factor))
    }

    fn over_constant(&self, divisor: f64) -> Self {
        self.map(self.value.over_constant(divisor), |slope| slope.over_constant(divisor))
    }

    fn plus_constant(&self, addend: f64) -> Self {
        self.map(self.value.plus_constant(addend), N::clone)
    }
}

/// A statistic. The highest logit is a constant: what is added to all logits of a row changes the sums back.
fn statistic<N: Number>(
    plan: &Plan,
    index: usize,
    sum: &impl Fn(usize) -> N,
    fact: &impl Fn(usize) -> N,
) -> N {
    let planned = &plan.statistics[index];
    let temperature = plan.passes[planned.pass].temperature;
    let (own_sums, own_facts) = (sums::of(planned.pass), facts::of(planned.pass));
    let sum_of = |column: usize| sum(own_sums + column);
    let whole = || sum_of(sums::WHOLE);
    // `Σ e^u`, `Σ u e^u` and `Σ u² e^u` over the tokens that are asked for.
    let asked = |order: usize| sum_of(if planned.of_set { sums::INSIDE } else { sums::WHOLE } + order);
    let mean = || asked(1).over(&asked(0));
    let highest = || fact(facts::HIGHEST);
    let shift = || highest().over_constant(temperature);
    match planned.statistic {
        Statistic::ActionLogit => sum(sums::CHOSEN).over_constant(temperature),
        Statistic::LogProb => {
            sum(sums::CHOSEN).minus(&highest()).over_constant(temperature).minus(&whole().ln())
        }
        Statistic::LogSumExp => shift().plus(&asked(0).ln()),
        Statistic::Mean => shift().plus(&mean()),
        Statistic::SecondMoment => {
            let (shift, mean) = (shift(), mean());
            let square = asked(2).over(&asked(0));
            square.plus(&shift.times(&mean).times_constant(2.0)).plus(&shift.times(&shift))
        }
        Statistic::Entropy => asked(0).ln().minus(&mean()),
        Statistic::Mass => asked(0).over(&whole()),
        // Of a row without a softmax, what it is multiplied with is NaN.
        Statistic::Size if planned.of_set => fact(own_facts + facts::SIZE),
        Statistic::Size => highest().times_constant(0.0).plus_constant(plan.vocabulary as f64),
        Statistic::ReverseKl => {
            let constant = sum_of(sums::REFERENCE).ln().minus(&whole().ln());
            sum_of(sums::REVERSE).over(&whole()).plus(&constant)
        }
        Statistic::ForwardKl => {
            let constant = whole().ln().minus(&sum_of(sums::REFERENCE).ln());
            sum_of(sums::FORWARD).over(&sum_of(sums::REFERENCE)).plus(&constant)
        }
        Statistic::JensenShannon(_) => sum_of(sums::JENSEN_SHANNON),
    }
}

/// Every statistic of `rows` rows, `[R, N]` in the type, zero where a row does not count and the engine knows it.
pub(super) fn statistics(
    plan: &Plan,
    found: &Found,
    counted: Option<&[bool]>,
    dtype: DType,
    near: &Tensor,
) -> Result<Tensor, KernelError> {
    let (sums, facts) = match (&found.sums, &found.facts) {
        (Numbers::Host(sums), Numbers::Host(facts)) => (sums, facts),
        (sums, facts) => {
            let (sum, fact) = (sums.columns(plan.sums(), near)?, facts.columns(plan.facts(), near)?);
            let values: Vec<Tensor> = (0..plan.statistics.len())
                .map(|index| statistic(plan, index, &sum, &fact).to_dtype(dtype))
                .collect();
            return Ok(Tensor::stack(&values, 0).ok()?);
        }
    };
    let rows = facts.len() / plan.facts();
    let lines = || sums.chunks_exact(plan.sums()).zip(facts.chunks_exact(plan.facts())).enumerate();
    let value = |index: usize, row: usize, sums: &[f64], facts: &[f64]| {
        let counts = counted.is_none_or(|counted| counted[row]);
        if counts { statistic(plan, index, &|column| sums[column], &|column| facts[column]) } else { 0.0 }
    };
    let all = (0..plan.statistics.len())
        .flat_map(|index| lines().map(move |(row, (sums, facts))| value(index, row, sums, facts)));
    let size = [plan.statistics.len() as i64, rows as i64];
    let host = near.host()?;
    let values =
        if dtype == DType::F64 { made(host, all, &size) } else { made(host, all.map(|x| x as f32), &size) };
    Ok(values.to_device(near.device()).ok()?)
}

fn made<T: Element>(host: &dyn Host, values: impl Iterator<Item = T>, size: &[i64]) -> Tensor {
    Tensor::from_slice(host, &values.collect::<Vec<T>>(), size)
}

/// The cotangents of the sums, `[N, plan.sums()]`, from those of the statistics, `[R, N]`.
pub(super) fn pull_back(
    plan: &Plan,
    found: &Found,
    cotangents: &Tensor,
    near: &Tensor,
) -> Result<Numbers, KernelError> {
    let (sums, facts) = match (&found.sums, &found.facts) {
        (Numbers::Host(sums), Numbers::Host(facts)) => (sums, facts),
        (sums, facts) => return pull_back_columns(plan, sums, facts, cotangents, near),
    };
    let rows = facts.len() / plan.facts();
    let cotangents = cotangents.to_wide()?;
    let mut back = vec![0.0; sums.len()];
    for (row, back) in back.chunks_exact_mut(plan.sums()).enumerate() {
        let sums = &sums[row * plan.sums()..][..plan.sums()];
        let facts = &facts[row * plan.facts()..][..plan.facts()];
        let sum = |column: usize| Sloped::column(column, sums[column], 1.0);
        let fact = |column: usize| Sloped::constant(facts[column]);
        for index in 0..plan.statistics.len() {
            let cotangent = cotangents[index * rows + row];
            for (column, slope) in statistic(plan, index, &sum, &fact).slopes.into_iter().flatten() {
                back[column] += cotangent * slope;
            }
        }
    }
    Ok(Numbers::Host(Arc::new(back)))
}

fn pull_back_columns(
    plan: &Plan,
    sums: &Numbers,
    facts: &Numbers,
    cotangents: &Tensor,
    near: &Tensor,
) -> Result<Numbers, KernelError> {
    let (sum, fact) = (sums.columns(plan.sums(), near)?, facts.columns(plan.facts(), near)?);
    let cotangents = cotangents.to_dtype(DType::F64);
    let rows = cotangents.length(1);
    let one = near.full(&[], 1.0, DType::F64);
    let sloped = |column: usize| Sloped::column(column, sum(column), one.clone());
    let constant = |column: usize| Sloped::constant(fact(column));
    let mut back: Vec<Option<Tensor>> = vec![None; plan.sums()];
    for index in 0..plan.statistics.len() {
        let cotangent = cotangents.select(0, index as i64);
        for (column, slope) in statistic(plan, index, &sloped, &constant).slopes.into_iter().flatten() {
            let share = &cotangent * slope;
            back[column] = Some(match back[column].take() {
                Some(sum) => sum + share,
                None => share,
            });
        }
    }
    let zero = near.zeros(&[rows], DType::F64);
    let columns: Vec<Tensor> = back.into_iter().map(|of| of.unwrap_or_else(|| zero.clone())).collect();
    Ok(Numbers::Device(Tensor::stack(&columns, 1).contiguous().ok()?))
}
