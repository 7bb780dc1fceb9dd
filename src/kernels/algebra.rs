//! Computes statistics from the sums of a row, and cotangents of the sums from cotangents of the statistics.
//! Each formula is written once, for the numbers of a row on the CPU and for columns of all rows on a device.

use std::sync::Arc;

use super::KernelError;
use super::engine::{Found, Numbers};
use super::plan::{Plan, facts, sums};
use super::slopes::{Number, Sloped};
use crate::rows::Statistic;
use crate::tensor::{DType, Element, Host, Tensor};

/// A statistic. The highest logit is a constant: adding a number to all logits of a row changes the sums to match.
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
    // `Σ e^u`, `Σ u e^u` and `Σ u² e^u` over the statistic's tokens.
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
        // In a row without a softmax, the product is NaN.
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

/// Every statistic of all rows in `dtype`; zero where a row does not count, if `counted` is given. `size` is `[R, N]`, or
/// for numbers on the host another shape of as many elements.
pub(super) fn statistics(
    plan: &Plan,
    found: &Found,
    counted: Option<&[bool]>,
    dtype: DType,
    near: &Tensor,
    size: &[i64],
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
    let lines = || sums.chunks_exact(plan.sums()).zip(facts.chunks_exact(plan.facts())).enumerate();
    let value = |index: usize, row: usize, sums: &[f64], facts: &[f64]| {
        let counts = counted.is_none_or(|counted| counted[row]);
        if counts { statistic(plan, index, &|column| sums[column], &|column| facts[column]) } else { 0.0 }
    };
    let all = (0..plan.statistics.len())
        .flat_map(|index| lines().map(move |(row, (sums, facts))| value(index, row, sums, facts)));
    let host = near.host()?;
    let values =
        if dtype == DType::F64 { made(host, all, size) } else { made(host, all.map(|x| x as f32), size) };
    Ok(values.to_device(near.device()).ok()?)
}

fn made<T: Element>(host: &dyn Host, values: impl Iterator<Item = T>, size: &[i64]) -> Tensor {
    Tensor::from_slice(host, &values.collect::<Vec<T>>(), size)
}

/// The cotangents of the sums, `[N, plan.sums()]`, from those of the statistics, of `R` times `N` elements.
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
    let cotangents = cotangents.to_dtype(DType::F64).reshape(&[plan.statistics.len() as i64, -1]);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Libtorch;
    use crate::rows::{RowStatistic, TokenSet};

    const ROWS: usize = 5;

    /// Every statistic, of all tokens and of a set, at two temperatures.
    fn plan() -> Plan {
        let compared = [Statistic::ReverseKl, Statistic::ForwardKl, Statistic::JensenShannon(0.3)];
        let statistics = [&Statistic::OF_POLICY[..], &compared].concat();
        let of = |(set, temperature)| {
            let row = move |statistic: &Statistic| RowStatistic { set, temperature, statistic: *statistic };
            statistics.iter().map(row)
        };
        let request: Vec<RowStatistic> =
            [(TokenSet::All, 1.0), (TokenSet::TopK(4), 0.7)].into_iter().flat_map(of).collect();
        Plan::new(&request, 30)
    }

    /// Positive numbers, so that every logarithm and quotient has a value.
    fn found(plan: &Plan) -> [Vec<f64>; 2] {
        let numbers = |count: usize, by: f64| (0..count).map(|at| 1.5 + (at as f64 * by).sin()).collect();
        [numbers(ROWS * plan.sums(), 0.7), numbers(ROWS * plan.facts(), 1.3)]
    }

    fn on_host([sums, facts]: &[Vec<f64>; 2]) -> Found {
        let host = |numbers: &Vec<f64>| Numbers::Host(Arc::new(numbers.clone()));
        Found { sums: host(sums), facts: host(facts) }
    }

    fn near() -> Tensor {
        Tensor::from_slice(&Libtorch, &[0.0], &[1])
    }

    fn assert_near(found: &[f64], expected: &[f64], tolerance: f64) {
        assert_eq!(found.len(), expected.len());
        for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
            let apart = (found - expected).abs();
            assert!(apart <= tolerance * expected.abs().max(1.0), "{at}: {found} for {expected}");
        }
    }

    #[test]
    fn columns_on_a_device_give_what_rows_on_the_host_give() {
        let (plan, near) = (plan(), near());
        let numbers = found(&plan);
        let host = on_host(&numbers);
        let device = |width: usize, numbers: &[f64]| {
            Numbers::Device(Tensor::from_slice(&Libtorch, numbers, &[ROWS as i64, width as i64]))
        };
        let device =
            Found { sums: device(plan.sums(), &numbers[0]), facts: device(plan.facts(), &numbers[1]) };
        let size = [plan.statistics.len() as i64, ROWS as i64];
        let values =
            [&host, &device].map(|found| statistics(&plan, found, None, DType::F64, &near, &size).unwrap());
        assert_eq!(values[0].size(), values[1].size());
        let [of_host, of_device] = values.map(|values| values.to_f64s().unwrap());
        assert_near(&of_device, &of_host, 1e-14);
        let cotangents: Vec<f64> = (0..of_host.len()).map(|at| (at as f64 * 0.9).cos()).collect();
        let cotangents = Tensor::from_slice(&Libtorch, &cotangents, &size);
        let back = [&host, &device].map(|found| pull_back(&plan, found, &cotangents, &near).unwrap());
        assert!(matches!(back, [Numbers::Host(_), Numbers::Device(_)]));
        let [of_host, of_device] = back.map(|back| back.host().unwrap().into_owned());
        assert_near(&of_device, &of_host, 1e-14);
    }

    #[test]
    fn slopes_are_those_of_small_steps() {
        let (plan, near) = (plan(), near());
        let [sums, facts] = found(&plan);
        let rows = plan.statistics.len();
        for index in 0..rows {
            let cotangents: Vec<f64> =
                (0..rows * ROWS).map(|at| f64::from(u8::from(at / ROWS == index))).collect();
            let cotangents = Tensor::from_slice(&Libtorch, &cotangents, &[rows as i64, ROWS as i64]);
            let known = on_host(&[sums.clone(), facts.clone()]);
            let back = pull_back(&plan, &known, &cotangents, &near).unwrap();
            let value = |column: usize, step: f64| {
                let sum = |at: usize| sums[at] + if at == column { step } else { 0.0 };
                statistic(&plan, index, &sum, &|at| facts[at])
            };
            let step = 1e-6;
            let slopes: Vec<f64> = (0..plan.sums())
                .map(|column| (value(column, step) - value(column, -step)) / (2.0 * step))
                .collect();
            assert_near(&back.host().unwrap()[..plan.sums()], &slopes, 1e-8);
        }
    }
}
