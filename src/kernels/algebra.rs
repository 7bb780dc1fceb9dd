//! Computes statistics from the sums of a row, and cotangents of the sums from cotangents of the statistics.
//! Each formula is written once, for the numbers of a row on the CPU and for columns of all rows on a device.

use std::sync::Arc;

use super::KernelError;
use super::engine::{Found, Numbers};
use super::slopes::{LANES, Lanes, Number, Sloped};
use crate::passes::{Plan, Planned, facts, sums};
use crate::rows::Statistic;
use crate::tensor::{DType, Element, Host, Tensor};

/// A statistic; of listed tokens, that of one of them. The highest logit is a constant: adding a number to all logits of a row changes the sums to match.
fn statistic<N: Number>(
    plan: &Plan,
    planned: &Planned,
    token: usize,
    sum: &impl Fn(usize) -> N,
    fact: &impl Fn(usize) -> N,
) -> N {
    let pass = &plan.passes[planned.pass];
    let divided = |x: N| {
        if pass.divided {
            x.over(&fact(facts::DIVISOR).times_constant(pass.temperature))
        } else {
            x.over_constant(pass.temperature)
        }
    };
    let (own_sums, own_facts) = (sums::of(planned.pass), facts::of(planned.pass));
    let sum_of = |column: usize| sum(own_sums + column);
    let chosen = || sum(planned.chosen + token);
    let whole = || sum_of(sums::WHOLE);
    // `Σ e^u`, `Σ u e^u` and `Σ u² e^u` over the statistic's tokens.
    let asked = |order: usize| sum_of(if planned.of_set { sums::INSIDE } else { sums::WHOLE } + order);
    let mean = || asked(1).over(&asked(0));
    let highest = || fact(facts::HIGHEST);
    let shift = || divided(highest());
    match planned.statistic {
        Statistic::ActionLogit => divided(chosen()),
        Statistic::LogProb => divided(chosen().minus(&highest())).minus(&whole().ln()),
        Statistic::LogProbWithin => divided(chosen().minus(&highest())).minus(&asked(0).ln()),
        Statistic::LogSumExp => shift().plus(&asked(0).ln()),
        Statistic::Mean => shift().plus(&mean()),
        Statistic::SecondMoment => {
            let (shift, mean) = (shift(), mean());
            let square = asked(2).over(&asked(0));
            square.plus(&shift.times(&mean).times_constant(2.0)).plus(&shift.times(&shift))
        }
        // About the highest logit: a row that is nearly certain keeps its digits.
        Statistic::Variance => {
            let mean = mean();
            asked(2).over(&asked(0)).minus(&mean.times(&mean))
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
        Statistic::Taught(_) => unreachable!("computed from listed log-probabilities"),
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
            let (sum, fact) = (columns(plan, sums, near)?, facts.columns(plan.facts(), near)?);
            let rows = |planned: &Planned| {
                let values = statistic(plan, planned, 0, &sum, &fact).to_dtype(dtype);
                if planned.tokens.is_some() { values } else { values.unsqueeze(0) }
            };
            return Ok(Tensor::cat(&plan.statistics.iter().map(rows).collect::<Vec<_>>(), 0).ok()?);
        }
    };
    let lines = || sums.chunks_exact(plan.sums()).zip(facts.chunks_exact(plan.facts())).enumerate();
    let value = |(planned, token): (&Planned, usize), row: usize, sums: &[f64], facts: &[f64]| {
        let counts = counted.is_none_or(|counted| counted[row]);
        let (sum, fact) = (|column: usize| sums[column], |column: usize| facts[column]);
        if counts { statistic(plan, planned, token, &sum, &fact) } else { 0.0 }
    };
    let all = each(plan).flat_map(|of| lines().map(move |(row, (sums, facts))| value(of, row, sums, facts)));
    let host = near.host()?;
    let values =
        if dtype == DType::F64 { made(host, all, size) } else { made(host, all.map(|x| x as f32), size) };
    Ok(values.to_device(near.device()).ok()?)
}

/// Each value of a row: its statistic, and which of the listed tokens it is for.
fn each(plan: &Plan) -> impl Iterator<Item = (&Planned, usize)> {
    plan.statistics.iter().flat_map(|planned| (0..planned.values()).map(move |token| (planned, token)))
}

/// The columns of the sums, `[N]` each; of listed tokens all columns together, `[K, N]`, by the first of them.
fn columns(plan: &Plan, sums: &Numbers, near: &Tensor) -> Result<impl Fn(usize) -> Tensor, KernelError> {
    let lines = sums.tensor(plan.sums(), near)?;
    Ok(move |column: usize| {
        let listed = plan.statistics.iter().find(|of| of.tokens.is_some() && of.chosen == column);
        match listed {
            Some(of) => lines.narrow(1, column as i64, of.values() as i64).transpose(),
            None => lines.select(1, column as i64),
        }
    })
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
    for (block, back) in back.chunks_mut(LANES * plan.sums()).enumerate() {
        let first = block * LANES;
        // The last block repeats its last row, and only rows that are there are written.
        let row = |lane: usize| (first + lane).min(rows - 1);
        let lanes = |of: &[f64], width: usize, column: usize| {
            Lanes(std::array::from_fn(|lane| of[row(lane) * width + column]))
        };
        let one = || Lanes([1.0; LANES]);
        let sum = |column: usize| Sloped::column(column, lanes(sums, plan.sums(), column), one());
        let fact = |column: usize| Sloped::constant(lanes(facts, plan.facts(), column));
        for (index, (planned, token)) in each(plan).enumerate() {
            let cotangents = &cotangents[index * rows + first..];
            for (column, slope) in statistic(plan, planned, token, &sum, &fact).slopes.into_iter().flatten() {
                let back = back.iter_mut().skip(column).step_by(plan.sums());
                for ((back, cotangent), slope) in back.zip(cotangents).zip(slope.0) {
                    *back += cotangent * slope;
                }
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
    let (sum, fact) = (columns(plan, sums, near)?, facts.columns(plan.facts(), near)?);
    let cotangents = cotangents.to_dtype(DType::F64).reshape(&[plan.values() as i64, -1]);
    let rows = cotangents.length(1);
    let one = near.full(&[], 1.0, DType::F64);
    let sloped = |column: usize| Sloped::column(column, sum(column), one.clone());
    let constant = |column: usize| Sloped::constant(fact(column));
    // By column; of listed tokens `[K, N]` by the first of their columns.
    let mut back: Vec<Option<Tensor>> = vec![None; plan.sums()];
    let mut index = 0;
    for planned in &plan.statistics {
        let cotangent = match planned.tokens {
            Some(tokens) => cotangents.narrow(0, index, tokens as i64),
            None => cotangents.select(0, index),
        };
        index += planned.values() as i64;
        for (column, slope) in statistic(plan, planned, 0, &sloped, &constant).slopes.into_iter().flatten() {
            let share = &cotangent * slope;
            let is_of_row = planned.tokens.is_some() && column != planned.chosen;
            let share = if is_of_row { share.sum_dim(0, false, DType::F64) } else { share };
            back[column] = Some(match back[column].take() {
                Some(sum) => sum + share,
                None => share,
            });
        }
    }
    let zeros = |columns: usize| near.zeros(&[columns as i64, rows], DType::F64);
    let mut columns: Vec<Tensor> = back
        .drain(..plan.first_listed())
        .map(|of| of.map_or_else(|| zeros(1), |column| column.unsqueeze(0)))
        .collect();
    let mut first = 0;
    for tokens in &plan.lists {
        columns.push(back[first].take().unwrap_or_else(|| zeros(*tokens)));
        first += tokens;
    }
    Ok(Numbers::Device(Tensor::cat(&columns, 0).transpose().contiguous().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Libtorch;
    use crate::passes::Listed;
    use crate::rows::{FieldName, RowStatistic, TokenSet};

    /// A whole block and a part of one.
    const ROWS: usize = LANES + 5;

    /// Every statistic, of all tokens and of a set, at two temperatures and at that of each row.
    fn plan() -> Plan {
        let compared = [Statistic::ReverseKl, Statistic::ForwardKl, Statistic::JensenShannon(0.3)];
        let field = Some(FieldName::new("heat"));
        let statistics = [&Statistic::OF_POLICY[..], &compared].concat();
        let of = |(set, temperature, divisor)| {
            let row = move |statistic: &Statistic| RowStatistic {
                divisor,
                ..RowStatistic::new(set, temperature, *statistic)
            };
            statistics.iter().map(row)
        };
        let request: Vec<RowStatistic> =
            [(TokenSet::All, 1.0, None), (TokenSet::TopK(4), 0.7, None), (TokenSet::TopK(4), 1.0, field)]
                .into_iter()
                .flat_map(of)
                .collect();
        let listed = [
            Listed { list: 1, temperature: 0.7, divided: true },
            Listed { list: 0, temperature: 1.0, divided: false },
        ];
        Plan::new(&request, &listed, &[2, 3], 30)
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
        let size = [plan.values() as i64, ROWS as i64];
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
        let rows = plan.values();
        for (index, (planned, token)) in each(&plan).enumerate() {
            let cotangents: Vec<f64> =
                (0..rows * ROWS).map(|at| f64::from(u8::from(at / ROWS == index))).collect();
            let cotangents = Tensor::from_slice(&Libtorch, &cotangents, &[rows as i64, ROWS as i64]);
            let known = on_host(&[sums.clone(), facts.clone()]);
            let back = pull_back(&plan, &known, &cotangents, &near).unwrap();
            let value = |column: usize, step: f64| {
                let sum = |at: usize| sums[at] + if at == column { step } else { 0.0 };
                statistic(&plan, planned, token, &sum, &|at| facts[at])
            };
            let step = 1e-6;
            let slopes: Vec<f64> = (0..plan.sums())
                .map(|column| (value(column, step) - value(column, -step)) / (2.0 * step))
                .collect();
            assert_near(&back.host().unwrap()[..plan.sums()], &slopes, 1e-8);
        }
    }
}
