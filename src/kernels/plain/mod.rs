//! The engine for devices without their own: plain operations of the host, a few rows at a time.

#[cfg(test)]
mod tests;

use super::KernelError;
use super::divisor::Divisor;
use super::engine::{Chunk, Engine, Found, Numbers, WrongId};
use super::rows::summed_in;
use super::sets::{self, Border};
use crate::passes::{Pass, Plan, facts, sums};
use crate::tensor::{DType, Tensor};

/// The engine of the host's operations.
pub(super) struct Plain;

impl Engine for Plain {
    fn reads_in_place(&self) -> bool {
        false
    }

    fn wrong_id(&self) -> WrongId {
        WrongId::Breaks
    }

    fn read(&self, plan: &Plan, chunk: &Chunk) -> Result<Found, KernelError> {
        let rows = Rows::of(chunk, chunk.divisors(plan)?.cloned());
        let count = rows.logits.length(0);
        let mut columns =
            Columns { sums: Vec::new(), facts: Vec::new(), zero: rows.logits.zeros(&[count], DType::F64) };
        columns.sums.push(rows.logits.gather(1, &chunk.ids.flat()[0].unsqueeze(1)).squeeze(1));
        columns.facts.push(rows.highest.clone());
        columns.facts.push(rows.divisors.clone().unwrap_or_else(|| columns.zero.ones_like()));
        if count > 0 {
            for pass in &plan.passes {
                rows.read(pass, plan.second, &mut columns)?;
            }
        }
        columns.lines(plan, &rows.unusable(), rows.listed(chunk).map(|[_, _, logits]| logits))
    }

    fn write_gradient(
        &self,
        plan: &Plan,
        chunk: &Chunk,
        found: &Found,
        cotangents: &Numbers,
        gradient: &Tensor,
    ) -> Result<(), KernelError> {
        let near = &chunk.logits;
        let found_facts = found.facts.tensor(plan.facts(), near)?;
        // What was found may be that of more tokens than these, so nothing is found anew.
        let fact = |at: usize| found_facts.select(1, at as i64);
        let divisors = plan.divides().then(|| fact(facts::DIVISOR));
        let rows = Rows { highest: fact(facts::HIGHEST), ..Rows::of(chunk, divisors) };
        let dtype = rows.logits.dtype();
        let column = |lines: &Tensor, at: usize| lines.narrow(1, at as i64, 1).to_dtype(dtype);
        let cotangents = cotangents.tensor(plan.sums(), near)?;
        let found_sums = found.sums.tensor(plan.sums(), near)?;
        let mut sum = rows.logits.zeros_like();
        for (index, pass) in plan.passes.iter().enumerate() {
            let c = |at: usize| column(&cotangents, sums::of(index) + at);
            let found_sum = |at: usize| column(&found_sums, sums::of(index) + at);
            let softmax = Softmax::of(&rows, pass);
            let slope = |from: usize| {
                // The derivative of `u^k e^u` is `(k u^(k-1) + u^k) e^u`.
                let (c0, c1, c2) = (c(from), c(from + 1), c(from + 2));
                let u = softmax.finite();
                let by_u = &c2 * &u + &c1 + &c2 * 2.0;
                (by_u * u + c0 + c1) * &softmax.e
            };
            let mut by_z = slope(sums::WHOLE);
            let fact = |at: usize| column(&found_facts, facts::of(index) + at);
            if pass.set.is_some() {
                let border = Border {
                    from: fact(facts::FROM),
                    from_after: fact(facts::FROM_AFTER),
                    cut: fact(facts::CUT).to_dtype(DType::I64),
                };
                by_z = by_z + slope(sums::INSIDE) * border.members(&rows.logits).to_dtype(dtype);
            }
            if let Some(reference) = pass.compares {
                let theirs = fact(facts::REFERENCE_HIGHEST).squeeze(1);
                let theirs = relative(&rows.references[reference], &theirs, &rows.temperature(pass));
                let met = Met::between(&softmax, theirs);
                let by_reverse = product(&softmax.e, &(&met.apart + 1.0)) * c(sums::REVERSE);
                by_z = by_z + by_reverse - &met.r * c(sums::FORWARD);
                if let Some(beta) = pass.beta {
                    let norms = [found_sum(sums::WHOLE), found_sum(sums::REFERENCE)];
                    let to_mixture = fact(facts::TO_MIXTURE);
                    let [policy, _] = met.logs(beta, &norms);
                    let by_mixture = product(&(&softmax.e / &norms[0]), &(policy - to_mixture));
                    by_z = by_z + by_mixture * (c(sums::JENSEN_SHANNON) * (1.0 - beta));
                }
            }
            sum = sum + rows.temperature(pass).of(&by_z);
        }
        let mut sum =
            sum.scatter_add(1, &chunk.ids.flat()[0].unsqueeze(1), &column(&cotangents, sums::CHOSEN));
        if let Some([ids, is_none, _]) = rows.listed(chunk) {
            let shares = cotangents.narrow(1, plan.first_listed() as i64, ids.length(1)).to_dtype(dtype);
            sum = sum.scatter_add(1, &ids, &shares.masked_fill(&is_none, 0.0));
        }
        let unusable = (&rows.highest * 0.0).unsqueeze(1).to_dtype(dtype);
        Ok(gradient.copy_(&(sum + unusable).reshape(&gradient.size()))?)
    }
}

/// Rows in the kind of their sums.
struct Rows {
    /// `[k, V]`.
    logits: Tensor,
    /// `[k]` in f64.
    highest: Tensor,
    /// `[k, V]` each.
    references: Vec<Tensor>,
    /// `[k]` in f64: what the batch divides each row by, if it does; NaN where it cannot.
    divisors: Option<Tensor>,
}

impl Rows {
    fn of(chunk: &Chunk, divisors: Option<Tensor>) -> Self {
        let wide = |logits: &Tensor| logits.flatten(0, 1).to_dtype(summed_in(logits.dtype()));
        let logits = wide(&chunk.logits);
        let references = chunk.references.iter().map(wide).collect();
        Self { highest: highest(&logits), references, divisors, logits }
    }

    fn temperature(&self, pass: &Pass) -> Divisor {
        Divisor::new(pass.temperature, self.divisors.as_ref().filter(|_| pass.divided))
    }

    /// The ids listed for rows, where there is none, and their logits, `[k, W]` each; zero where there is none.
    fn listed(&self, chunk: &Chunk) -> Option<[Tensor; 3]> {
        let found = chunk.ids.flat_lists()?;
        let (is_none, ids) = (found.lt(0i64), found.maximum(0i64));
        let logits = self.logits.gather(1, &ids).masked_fill(&is_none, 0.0);
        Some([ids, is_none, logits])
    }

    /// `[k]` in f64: NaN for a row without a softmax, otherwise zero.
    fn unusable(&self) -> Tensor {
        let of = |highest: &Tensor| highest * 0.0;
        let own = of(&self.highest);
        let own = self.divisors.iter().fold(own, |own, divisors| own + of(divisors));
        self.references.iter().fold(own, |own, reference| own + of(&highest(reference)))
    }

    fn border(&self, pass: &Pass) -> Result<Option<Border>, KernelError> {
        pass.set.map(|set| sets::border(&self.logits, set, &self.temperature(pass))).transpose()
    }

    fn read(&self, pass: &Pass, second: bool, columns: &mut Columns) -> Result<(), KernelError> {
        let softmax = Softmax::of(self, pass);
        let e = softmax.e.to_dtype(DType::F64);
        let u = softmax.finite().to_dtype(DType::F64);
        columns.moments(&e, &u, second);
        let border = self.border(pass)?;
        let set = border.map(|border| (border.members(&self.logits), border));
        match &set {
            Some((members, _)) => columns.moments(&(&e * members), &u, second),
            None => columns.zeros(3),
        }
        let Some(reference) = pass.compares.map(|at| &self.references[at]) else {
            columns.zeros(4);
            columns.facts(set, [None, None]);
            return Ok(());
        };
        let their_highest = highest(reference);
        let met = Met::between(&softmax, relative(reference, &their_highest, &self.temperature(pass)));
        let [norm, reverse, forward] = met.sums(&softmax);
        columns.sums.extend([norm.clone(), reverse, forward]);
        let to_mixture = match pass.beta {
            None => {
                columns.zeros(1);
                None
            }
            Some(beta) => {
                let whole = total(&softmax.e);
                let wide = |norm: &Tensor| norm.unsqueeze(1).to_dtype(self.logits.dtype());
                let [policy, reference] = met.logs(beta, &[wide(&whole), wide(&norm)]);
                let to_mixture = total(&product(&softmax.e, &policy)) / whole;
                let from = total(&product(&met.r, &reference)) / norm;
                columns.sums.push(from * beta + &to_mixture * (1.0 - beta));
                Some(to_mixture)
            }
        };
        columns.facts(set, [to_mixture, Some(their_highest)]);
        Ok(())
    }
}

/// `u` and `e^u` of rows at a temperature.
pub(super) struct Softmax {
    u: Tensor,
    pub(super) e: Tensor,
}

impl Softmax {
    fn of(rows: &Rows, pass: &Pass) -> Self {
        relative(&rows.logits, &rows.highest, &rows.temperature(pass))
    }

    /// `u`, or zero where `e^u` is zero, so that their product is zero there.
    pub(super) fn finite(&self) -> Tensor {
        self.u.masked_fill(&self.e.eq(0.0), 0.0)
    }
}

/// The reference's `v` and `e^v`, with the row's `u`.
pub(super) struct Met {
    u: Tensor,
    v: Tensor,
    pub(super) r: Tensor,
    /// `u - v`.
    apart: Tensor,
}

impl Met {
    pub(super) fn between(softmax: &Softmax, theirs: Softmax) -> Self {
        let Softmax { u: v, e: r } = theirs;
        Self { apart: &softmax.u - &v, u: softmax.u.clone(), v, r }
    }

    /// `Σ e^v`, `Σ e^u (u - v)` and `Σ e^v (v - u)`.
    pub(super) fn sums(&self, softmax: &Softmax) -> [Tensor; 3] {
        let (reverse, forward) = (product(&softmax.e, &self.apart), product(&self.r, &-&self.apart));
        [&self.r, &reverse, &forward].map(total)
    }

    /// `ln (π / m)` and `ln (ρ / m)` with `m = β ρ + (1-β) π`; `norms` are `Σ e^u` and `Σ e^v`, `[k, 1]`.
    pub(super) fn logs(&self, beta: f64, norms: &[Tensor; 2]) -> [Tensor; 2] {
        let reference = &self.v - norms[1].log();
        let policy = &self.u - norms[0].log();
        let mixture = (&reference + beta.ln()).logaddexp(&(&policy + (1.0 - beta).ln()));
        [policy - &mixture, reference - &mixture]
    }
}

/// The columns of the results, `[k]` each, in order.
struct Columns {
    sums: Vec<Tensor>,
    facts: Vec<Tensor>,
    zero: Tensor,
}

impl Columns {
    fn moments(&mut self, e: &Tensor, u: &Tensor, second: bool) {
        let first = e * u;
        self.sums.push(total(e));
        self.sums.push(total(&first));
        if second {
            self.sums.push(total(&(first * u)));
        } else {
            self.zeros(1);
        }
    }

    fn zeros(&mut self, count: usize) {
        self.sums.extend((0..count).map(|_| self.zero.clone()));
    }

    fn facts(&mut self, set: Option<(Tensor, Border)>, compared: [Option<Tensor>; 2]) {
        match set {
            Some((members, Border { from, from_after, cut })) => {
                self.facts.extend([from, from_after, cut].map(|column| column.squeeze(1)));
                self.facts.push(members.sum_dim(-1, false, DType::F64));
            }
            None => self.facts.extend((0..=facts::SIZE).map(|_| self.zero.clone())),
        }
        let zero = &self.zero;
        self.facts.extend(compared.map(|fact| fact.unwrap_or_else(|| zero.clone())));
    }

    fn lines(mut self, plan: &Plan, unusable: &Tensor, listed: Option<Tensor>) -> Result<Found, KernelError> {
        let lines = |columns: &mut Vec<Tensor>, count: usize| {
            columns.resize_with(count, || self.zero.clone());
            let wide: Vec<Tensor> = columns.iter().map(|column| column.to_dtype(DType::F64)).collect();
            Tensor::stack(&wide, 1)
        };
        let mut sums = lines(&mut self.sums, plan.first_listed());
        if let Some(logits) = listed {
            sums = Tensor::cat(&[sums, logits.to_dtype(DType::F64)], 1);
        }
        let shown = |lines: Tensor| (lines + unusable.unsqueeze(1)).ok().map(Numbers::Device);
        Ok(Found { sums: shown(sums)?, facts: shown(lines(&mut self.facts, plan.facts()))? })
    }
}

/// `u` and `e^u` of logits, `[k, V]`, whose highest are `[k]`.
pub(super) fn relative(logits: &Tensor, highest: &Tensor, temperature: &Divisor) -> Softmax {
    let u = temperature.of(&(logits - highest.to_dtype(logits.dtype()).unsqueeze(1)));
    Softmax { e: u.exp(), u }
}

fn highest(logits: &Tensor) -> Tensor {
    if logits.length(0) == 0 {
        return logits.zeros(&[0], DType::F64);
    }
    logits.amax(-1, false).to_dtype(DType::F64)
}

/// `weight · x`, or zero where the weight is zero, for any `x`.
pub(super) fn product(weight: &Tensor, x: &Tensor) -> Tensor {
    (weight * x).masked_fill(&weight.eq(0.0), 0.0)
}

/// `[k]` in f64 of `[k, V]`.
pub(super) fn total(terms: &Tensor) -> Tensor {
    terms.sum_dim(-1, false, DType::F64)
}
