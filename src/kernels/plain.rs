//! The engine of every device without one of its own: plain torch operations, a few rows at a time.

use tch::{Kind, Tensor};

use super::engine::{Chunk, Engine, Found};
use super::plan::{Pass, Plan, facts, sums};
use super::rows::summed_in;
use super::{KernelError, sets};

/// The engine of torch's operations.
pub(super) struct Plain;

impl Engine for Plain {
    fn reads_in_place(&self) -> bool {
        false
    }

    fn read(&self, plan: &Plan, chunk: &Chunk) -> Result<Found, KernelError> {
        let rows = Rows::of(chunk)?;
        let count = rows.logits.size()[0];
        let options = (Kind::Double, rows.logits.device());
        let mut columns =
            Columns { sums: Vec::new(), facts: Vec::new(), zero: Tensor::f_zeros(count, options)? };
        let chosen = rows.logits.f_gather(1, &chunk.actions.f_unsqueeze(1)?, false)?.f_squeeze_dim(1)?;
        columns.sums.push(chosen);
        columns.facts.push(rows.highest.shallow_clone());
        columns.facts.push(rows.reference_highest()?);
        if count > 0 {
            for pass in &plan.passes {
                rows.read(pass, plan.second, &mut columns)?;
            }
        }
        columns.lines(plan, &rows.unusable()?)
    }

    fn write_gradient(
        &self,
        plan: &Plan,
        chunk: &Chunk,
        found: &Found,
        cotangents: &Tensor,
        gradient: &mut Tensor,
    ) -> Result<(), KernelError> {
        let rows = Rows::of(chunk)?;
        let kind = rows.logits.kind();
        let column = |lines: &Tensor, at: usize| lines.f_narrow(1, at as i64, 1)?.f_to_kind(kind);
        let mut sum = rows.logits.f_zeros_like()?;
        for (index, pass) in plan.passes.iter().enumerate() {
            let c = |at: usize| column(cotangents, sums::of(index) + at);
            let found_sum = |at: usize| column(&found.sums, sums::of(index) + at);
            let softmax = Softmax::of(&rows, pass)?;
            let slope = |from: usize| -> Result<Tensor, KernelError> {
                // The derivative of `u^k e^u` is `(k u^(k-1) + u^k) e^u`.
                let (c0, c1, c2) = (c(from)?, c(from + 1)?, c(from + 2)?);
                let u = softmax.finite()?;
                let by_u = c2.f_mul(&u)?.f_add(&c1)?.f_add(&c2.f_mul_scalar(2.0)?)?;
                Ok(by_u.f_mul(&u)?.f_add(&c0)?.f_add(&c1)?.f_mul(&softmax.e)?)
            };
            let mut by_z = slope(sums::WHOLE)?;
            if let Some(members) = rows.members(pass)? {
                by_z = by_z.f_add(&slope(sums::INSIDE)?.f_mul(&members.f_to_kind(kind)?)?)?;
            }
            if let Some(met) = Met::of(&rows, pass, &softmax)? {
                let by_reverse =
                    product(&softmax.e, &met.apart.f_add_scalar(1.0)?)?.f_mul(&c(sums::REVERSE)?)?;
                by_z = by_z.f_add(&by_reverse)?.f_sub(&met.r.f_mul(&c(sums::FORWARD)?)?)?;
                if let Some(beta) = pass.beta {
                    let norms = [found_sum(sums::WHOLE)?, found_sum(sums::REFERENCE)?];
                    let to_mixture = column(&found.facts, facts::of(index) + facts::TO_MIXTURE)?;
                    let [policy, _] = met.logs(beta, &norms)?;
                    let by_mixture = product(&softmax.e.f_div(&norms[0])?, &policy.f_sub(&to_mixture)?)?;
                    let weight = c(sums::JENSEN_SHANNON)?.f_mul_scalar(1.0 - beta)?;
                    by_z = by_z.f_add(&by_mixture.f_mul(&weight)?)?;
                }
            }
            sum = sum.f_add(&by_z.f_div_scalar(pass.temperature)?)?;
        }
        let sum = sum.f_scatter_add(1, &chunk.actions.f_unsqueeze(1)?, &column(cotangents, sums::CHOSEN)?)?;
        let unusable = rows.unusable()?.f_unsqueeze(1)?.f_to_kind(kind)?;
        gradient.f_copy_(&sum.f_add(&unusable)?.f_view(gradient.size().as_slice())?)?;
        Ok(())
    }
}

/// Rows in the kind that sums are kept in.
struct Rows {
    /// `[k, V]`.
    logits: Tensor,
    /// `[k]` in f64.
    highest: Tensor,
    reference: Option<Tensor>,
}

impl Rows {
    fn of(chunk: &Chunk) -> Result<Self, KernelError> {
        let wide = |logits: &Tensor| -> Result<Tensor, KernelError> {
            Ok(logits.f_flatten(0, 1)?.f_to_kind(summed_in(logits.kind()))?)
        };
        let logits = wide(&chunk.logits)?;
        let highest = highest(&logits)?;
        Ok(Self { highest, reference: chunk.reference.as_ref().map(wide).transpose()?, logits })
    }

    fn reference_highest(&self) -> Result<Tensor, KernelError> {
        match &self.reference {
            Some(reference) => highest(reference),
            None => Ok(self.highest.f_zeros_like()?),
        }
    }

    /// `[k]` in f64: NaN for a row without a softmax, zero for every other.
    fn unusable(&self) -> Result<Tensor, KernelError> {
        let of = |highest: &Tensor| highest.f_sub(highest);
        let own = of(&self.highest)?;
        Ok(if self.reference.is_some() { own.f_add(&of(&self.reference_highest()?)?)? } else { own })
    }

    fn members(&self, pass: &Pass) -> Result<Option<Tensor>, KernelError> {
        pass.set.map(|set| sets::members(&self.logits, set, pass.temperature)).transpose()
    }

    fn read(&self, pass: &Pass, second: bool, columns: &mut Columns) -> Result<(), KernelError> {
        let softmax = Softmax::of(self, pass)?;
        let e = softmax.e.f_to_kind(Kind::Double)?;
        let u = softmax.finite()?.f_to_kind(Kind::Double)?;
        columns.moments(&e, &u, second)?;
        let members = self.members(pass)?;
        match &members {
            Some(members) => columns.moments(&e.f_mul(members)?, &u, second)?,
            None => columns.zeros(3),
        }
        match Met::of(self, pass, &softmax)? {
            None => {
                columns.zeros(4);
                columns.border(members.as_ref(), None)?;
            }
            Some(met) => {
                let norm = total(&met.r)?;
                columns.sums.push(norm.shallow_clone());
                columns.sums.push(total(&product(&softmax.e, &met.apart)?)?);
                columns.sums.push(total(&product(&met.r, &met.apart.f_neg()?)?)?);
                let to_mixture = match pass.beta {
                    None => {
                        columns.zeros(1);
                        None
                    }
                    Some(beta) => {
                        let whole = total(&softmax.e)?;
                        let wide = |norm: &Tensor| norm.f_unsqueeze(1)?.f_to_kind(self.logits.kind());
                        let [policy, reference] = met.logs(beta, &[wide(&whole)?, wide(&norm)?])?;
                        let to_mixture = total(&product(&softmax.e, &policy)?)?.f_div(&whole)?;
                        let from = total(&product(&met.r, &reference)?)?.f_div(&norm)?;
                        let both = from.f_mul_scalar(beta)?.f_add(&to_mixture.f_mul_scalar(1.0 - beta)?)?;
                        columns.sums.push(both);
                        Some(to_mixture)
                    }
                };
                columns.border(members.as_ref(), to_mixture)?;
            }
        }
        Ok(())
    }
}

/// `u` and `e^u` of rows at a temperature.
struct Softmax {
    u: Tensor,
    e: Tensor,
}

impl Softmax {
    fn of(rows: &Rows, pass: &Pass) -> Result<Self, KernelError> {
        relative(&rows.logits, &rows.highest, pass.temperature)
    }

    /// `u`, zero where `e^u` is: their product is zero there.
    fn finite(&self) -> Result<Tensor, KernelError> {
        Ok(self.u.f_masked_fill(&self.e.f_eq(0.0)?, 0.0)?)
    }
}

/// The reference's `v` and `e^v` beside the row's `u`.
struct Met {
    u: Tensor,
    v: Tensor,
    r: Tensor,
    /// `u - v`.
    apart: Tensor,
}

impl Met {
    fn of(rows: &Rows, pass: &Pass, softmax: &Softmax) -> Result<Option<Self>, KernelError> {
        let Some(reference) = rows.reference.as_ref().filter(|_| pass.compares) else { return Ok(None) };
        let Softmax { u: v, e: r } = relative(reference, &rows.reference_highest()?, pass.temperature)?;
        let apart = softmax.u.f_sub(&v)?;
        Ok(Some(Self { u: softmax.u.shallow_clone(), v, r, apart }))
    }

    /// `ln (π / m)` and `ln (ρ / m)` with `m = β ρ + (1-β) π`; `norms` are `Σ e^u` and `Σ e^v`, `[k, 1]`.
    fn logs(&self, beta: f64, norms: &[Tensor; 2]) -> Result<[Tensor; 2], KernelError> {
        let reference = self.v.f_sub(&norms[1].f_log()?)?;
        let policy = self.u.f_sub(&norms[0].f_log()?)?;
        let mixture =
            reference.f_add_scalar(beta.ln())?.f_logaddexp(&policy.f_add_scalar((1.0 - beta).ln())?)?;
        Ok([policy.f_sub(&mixture)?, reference.f_sub(&mixture)?])
    }
}

/// The columns of what is found, `[k]` each, in their order.
struct Columns {
    sums: Vec<Tensor>,
    facts: Vec<Tensor>,
    zero: Tensor,
}

impl Columns {
    fn moments(&mut self, e: &Tensor, u: &Tensor, second: bool) -> Result<(), KernelError> {
        let first = e.f_mul(u)?;
        self.sums.push(total(e)?);
        self.sums.push(total(&first)?);
        if second {
            self.sums.push(total(&first.f_mul(u)?)?);
        } else {
            self.zeros(1);
        }
        Ok(())
    }

    fn zeros(&mut self, count: usize) {
        self.sums.extend((0..count).map(|_| self.zero.shallow_clone()));
    }

    /// The set is found anew for the gradient, so that of its border only the size is of use.
    fn border(&mut self, members: Option<&Tensor>, to_mixture: Option<Tensor>) -> Result<(), KernelError> {
        self.facts.extend((0..facts::SIZE).map(|_| self.zero.shallow_clone()));
        self.facts.push(match members {
            Some(members) => members.f_sum_dim_intlist(-1, false, Kind::Double)?,
            None => self.zero.shallow_clone(),
        });
        self.facts.push(to_mixture.unwrap_or_else(|| self.zero.shallow_clone()));
        Ok(())
    }

    fn lines(mut self, plan: &Plan, unusable: &Tensor) -> Result<Found, KernelError> {
        let lines = |columns: &mut Vec<Tensor>, count: usize| -> Result<Tensor, KernelError> {
            columns.resize_with(count, || self.zero.shallow_clone());
            let wide: Vec<Tensor> =
                columns.iter().map(|column| column.f_to_kind(Kind::Double)).collect::<Result<_, _>>()?;
            Ok(Tensor::f_stack(&wide, 1)?.f_add(&unusable.f_unsqueeze(1)?)?)
        };
        Ok(Found { sums: lines(&mut self.sums, plan.sums())?, facts: lines(&mut self.facts, plan.facts())? })
    }
}

fn relative(logits: &Tensor, highest: &Tensor, temperature: f64) -> Result<Softmax, KernelError> {
    let highest = highest.f_to_kind(logits.kind())?.f_unsqueeze(1)?;
    let u = logits.f_sub(&highest)?.f_div_scalar(temperature)?;
    Ok(Softmax { e: u.f_exp()?, u })
}

fn highest(logits: &Tensor) -> Result<Tensor, KernelError> {
    if logits.size()[0] == 0 {
        return Ok(Tensor::f_zeros(0, (Kind::Double, logits.device()))?);
    }
    Ok(logits.f_amax(-1, false)?.f_to_kind(Kind::Double)?)
}

/// `weight · x`, zero where the weight is, whatever `x` is.
fn product(weight: &Tensor, x: &Tensor) -> Result<Tensor, KernelError> {
    Ok(weight.f_mul(x)?.f_masked_fill(&weight.f_eq(0.0)?, 0.0)?)
}

fn total(terms: &Tensor) -> Result<Tensor, KernelError> {
    Ok(terms.f_sum_dim_intlist(-1, false, Kind::Double)?)
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::kernels::cpu::Cpu;
    use crate::rows::{RowStatistic, Statistic, TokenSet};

    const ROWS: i64 = 6;
    const VOCABULARY: i64 = 301;

    /// Rows with ties, bans and one without a softmax, and a reference beside them.
    fn chunk(kind: Kind) -> Chunk {
        // Torch's own generator is shared between tests that run at once.
        let spread = |by: f64| {
            let ids = Tensor::arange(ROWS * VOCABULARY, (Kind::Double, Device::Cpu));
            ((ids * by).sin() * 6.0).to_kind(Kind::Float).view([1, ROWS, VOCABULARY])
        };
        let logits = spread(12.9898);
        let _ = logits.get(0).get(1).narrow(0, 0, 100).fill_(0.5);
        let _ = logits.get(0).get(2).narrow(0, 50, 100).fill_(f64::NEG_INFINITY);
        let _ = logits.get(0).get(3).narrow(0, 7, 1).fill_(f64::NAN);
        Chunk {
            logits: logits.to_kind(kind),
            reference: Some(spread(78.233).to_kind(kind)),
            actions: Tensor::arange(ROWS, (Kind::Int64, Device::Cpu)),
            mask: Tensor::ones([ROWS], (Kind::Bool, Device::Cpu)),
        }
    }

    fn plan() -> Plan {
        let of = |set, temperature, statistic| RowStatistic { set, temperature, statistic };
        let request = [
            of(TokenSet::All, 1.0, Statistic::LogProb),
            of(TokenSet::Drop(0.3), 1.0, Statistic::SecondMoment),
            of(TokenSet::TopP(0.8), 0.7, Statistic::Mass),
            of(TokenSet::MinP(0.02), 1.0, Statistic::Entropy),
            of(TokenSet::All, 1.0, Statistic::ReverseKl),
            of(TokenSet::All, 0.7, Statistic::ForwardKl),
            of(TokenSet::All, 0.7, Statistic::JensenShannon(0.3)),
        ];
        Plan::new(&request, VOCABULARY)
    }

    fn assert_close(found: &Tensor, expected: &Tensor, tolerance: f64, what: &str) {
        let [found, expected] = [found, expected].map(|tensor| tensor.to_kind(Kind::Double));
        assert_eq!(found.size(), expected.size(), "{what}");
        assert_eq!(found.isnan(), expected.isnan(), "{what}");
        let apart = (&found - &expected).abs() / expected.abs().clamp_min(1.0);
        let worst = f64::try_from(apart.nan_to_num(0.0, None, None).max()).unwrap();
        assert!(worst <= tolerance, "{what}: off by {worst}");
    }

    #[test]
    fn plain_operations_find_what_the_fused_ones_find() {
        let plan = plan();
        for (kind, tolerance, step) in
            [(Kind::Double, 1e-10, 1e-10), (Kind::Float, 1e-5, 1e-5), (Kind::BFloat16, 1e-5, 2f64.powi(-8))]
        {
            let chunk = chunk(kind);
            let (plain, fused) = (Plain.read(&plan, &chunk).unwrap(), Cpu.read(&plan, &chunk).unwrap());
            assert_close(&plain.sums, &fused.sums, tolerance, &format!("sums in {kind:?}"));
            for pass in 0..plan.passes.len() {
                for column in [facts::SIZE, facts::TO_MIXTURE] {
                    let at = (facts::of(pass) + column) as i64;
                    let [plain, fused] = [&plain, &fused].map(|found| found.facts.select(1, at));
                    assert_close(&plain, &fused, tolerance, &format!("fact {at} in {kind:?}"));
                }
            }
            let count = ROWS * plan.sums() as i64;
            let cotangents = Tensor::arange(count, (Kind::Double, Device::Cpu)).sin().view([ROWS, -1]) * 0.01;
            let gradient = |engine: &dyn Engine, found: &Found| {
                let mut gradient = chunk.logits.zeros_like();
                engine.write_gradient(&plan, &chunk, found, &cotangents, &mut gradient).unwrap();
                gradient
            };
            let (plain, fused) = (gradient(&Plain, &plain), gradient(&Cpu, &fused));
            assert_close(&plain, &fused, step, &format!("gradient in {kind:?}"));
        }
    }

    #[test]
    fn the_gradient_may_lie_over_the_logits() {
        let plan = plan();
        let (apart, over) = (chunk(Kind::Float), chunk(Kind::Float));
        let found = Plain.read(&plan, &apart).unwrap();
        let cotangents = found.sums.ones_like() * 0.01;
        let mut gradient = apart.logits.zeros_like();
        Plain.write_gradient(&plan, &apart, &found, &cotangents, &mut gradient).unwrap();
        let mut same = over.logits.shallow_clone();
        Plain.write_gradient(&plan, &over, &found, &cotangents, &mut same).unwrap();
        assert!(over.logits.allclose(&gradient, 0.0, 0.0, true));
    }
}
