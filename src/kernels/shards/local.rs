//! What a rank reads of its own shard besides what engines read: its highest logits in order, and sums over a set whose edge
//! all ranks know. Plain operations of the host, on any device, a few rows at a time.

use crate::kernels::KernelError;
use crate::kernels::divisor::Divisor;
use crate::kernels::inputs::Reading;
use crate::kernels::plain::{Met, product, relative, total};
use crate::kernels::rows::{Rows, summed_in};
use crate::kernels::source::{Ready, Source};
use crate::passes::{Pass, Plan, facts, sums};
use crate::tensor::{DType, Element, Tensor};

use super::edge::{Edge, Softmax};
use super::keys::Keys;
use super::merge::Lines;

/// The most logits of a piece, so that a piece in f64 needs 128 MB.
const PIECE: i64 = 1 << 24;

/// The rows of a shard that count.
pub(super) struct Local<'a> {
    /// Ready to compute logits of the kind.
    policy: Ready,
    references: Vec<Ready>,
    /// The kind of the logits.
    pub(super) dtype: DType,
    /// How many tokens the shard has.
    pub(super) width: i64,
    /// `[M]`: the places of these rows among all.
    places: &'a Tensor,
    time: i64,
    /// How many rows are looked at together.
    at_once: usize,
    /// Whether logits are computed: the same rows together every time, because a matrix product of other rows rounds in other
    /// ways, and edges of sets are exact.
    computes: bool,
}

/// The highest logits of some rows from the highest down, `[k, M]`, or all of them.
pub(super) struct Ladder {
    logits: Tensor,
    /// `Σ e^u` down to each.
    mass: Option<Tensor>,
    /// The lowest of each row, if there are more below.
    pub(super) floor: Vec<f64>,
    /// `Σ e^u` of all tokens of the shard.
    pub(super) total: Vec<f64>,
}

impl<'a> Local<'a> {
    pub(super) fn new(rows: &Rows<'_>, places: &'a Tensor, reading: Reading) -> Self {
        let width = rows.vocabulary;
        let computes =
            std::iter::once(&rows.policy).chain(&rows.references).any(|of| matches!(of, Source::Hidden(_)));
        let at_once = match reading {
            Reading::Picked { at_once } | Reading::Cut { at_once } if computes => at_once,
            _ => at_once(width),
        };
        Self {
            policy: rows.policy.in_dtype(rows.logits),
            references: rows.references.iter().map(|of| of.in_dtype(rows.logits)).collect(),
            dtype: rows.logits,
            width,
            places,
            time: rows.shape[1].max(1),
            at_once: at_once as usize,
            computes,
        }
    }

    /// The `depth` highest logits of each row, or all of them, with their masses if they are needed.
    pub(super) fn ladder(&self, of: &Softmax, depth: i64, massed: bool) -> Result<Ladder, KernelError> {
        let (mut logits, mut masses, mut totals) = (Vec::new(), Vec::new(), Vec::new());
        let mut start = 0;
        for piece in self.pieces(&of.rows) {
            let x = self.pick(&self.policy, piece)?;
            let top = if depth < self.width { x.topk(depth) } else { x.clone() };
            let [top, _] = top.sort(-1, true);
            let end = start + piece.len();
            if massed {
                let column = |numbers: &[f64]| self.column(&numbers[start..end]);
                let (highest, temperature) = (column(&of.highest), column(&of.temperature));
                let mass = |x: &Tensor| ((x.to_dtype(DType::F64) - &highest) / &temperature).exp();
                masses.push(mass(&top).cumsum(-1, DType::F64).ok()?);
                totals.extend(total(&mass(&x)).to_f64s()?);
            }
            logits.push(top.ok()?);
            start = end;
        }
        let logits = Tensor::cat(&logits, 0).ok()?;
        let floor = if depth < self.width {
            logits.narrow(1, depth - 1, 1).to_dtype(DType::F64).to_f64s()?
        } else {
            vec![f64::NEG_INFINITY; of.rows.len()]
        };
        let mass = if massed { Some(Tensor::cat(&masses, 0).ok()?) } else { None };
        Ok(Ladder { logits, mass, floor, total: totals })
    }

    /// What an engine's `read` finds of rows that engines call unusable, but for the logits of single
    /// tokens: a shard may have nothing but banned tokens. Highest logits are NaN where the whole row is unusable.
    pub(super) fn read_spared(
        &self,
        plan: &Plan,
        rows: &[usize],
        lines: &mut Lines,
    ) -> Result<(), KernelError> {
        for piece in self.pieces(rows) {
            let (x, highest) = self.spared(&self.policy, piece)?;
            let references = self.references.iter().map(|of| self.spared(of, piece));
            let references = references.collect::<Result<Vec<_>, _>>()?;
            // NaN or infinity in any of them.
            let spoilt =
                references.iter().fold(highest.clone(), |sum, (_, theirs)| sum + theirs.maximum(0.0) * 0.0);
            let at = |highest: &Tensor| highest.maximum(f64::MIN);
            let mut columns = vec![spoilt.clone()];
            for pass in &plan.passes {
                let divisors: Vec<f64> =
                    piece.iter().map(|row| lines.facts[row * plan.facts() + facts::DIVISOR]).collect();
                let temperature = self.divisor(pass, &divisors);
                let own = relative(&x, &at(&highest), &temperature);
                columns.extend(moments(&own.e, &own.finite(), plan.second));
                let Some(reference) = pass.compares else { continue };
                let (y, theirs) = &references[reference];
                let met = Met::between(&own, relative(y, &at(theirs), &temperature));
                columns.push(theirs.clone());
                columns.extend(met.sums(&own));
            }
            let columns = Tensor::stack(&columns, 1).to_f64s()?;
            let width = columns.len() / piece.len();
            for (row, found) in piece.iter().zip(columns.chunks_exact(width)) {
                let mut found = found.iter().copied();
                let mut next = || found.next().expect("as many as were pushed");
                let sums = &mut lines.sums[row * plan.sums()..][..plan.sums()];
                let known = &mut lines.facts[row * plan.facts()..][..plan.facts()];
                known[facts::HIGHEST] = next();
                for (index, pass) in plan.passes.iter().enumerate() {
                    let sums = &mut sums[sums::of(index)..][..sums::PER_PASS];
                    let orders = if plan.second { 3 } else { 2 };
                    sums[sums::WHOLE..][..orders].fill_with(&mut next);
                    if pass.compares.is_some() {
                        known[facts::of(index) + facts::REFERENCE_HIGHEST] = next();
                        sums[sums::REFERENCE..][..3].fill_with(&mut next);
                    }
                }
            }
        }
        Ok(())
    }

    /// Logits of one row in f64.
    pub(super) fn logits_at(&self, row: usize, ids: &[i64]) -> Result<Vec<f64>, KernelError> {
        let logits = self.pick(&self.policy, &[row])?;
        let ids = self.tensor(ids, &[1, ids.len() as i64]);
        Ok(logits.gather(1, &ids).to_dtype(DType::F64).to_f64s()?)
    }

    /// Sums over the sets of rows, one after the other by row and pass, with the edges of each pass in the order of `rows`; the
    /// facts that tell members from others go to `lines`, which has what all ranks know.
    pub(super) fn read_sets(
        &self,
        plan: &Plan,
        rows: &[usize],
        edges: &[Option<Vec<Edge>>],
        lines: &mut Lines,
    ) -> Result<Vec<f64>, KernelError> {
        let mut message = Vec::new();
        let mut start = 0;
        for piece in self.pieces(rows) {
            let wide = |logits: Tensor| logits.to_dtype(summed_in(self.dtype));
            let x = wide(self.pick(&self.policy, piece)?);
            let references = self.references.iter().map(|of| Ok(wide(self.pick(of, piece)?)));
            let references = references.collect::<Result<Vec<_>, KernelError>>()?;
            let fact = |lines: &Lines, at: usize| -> Vec<f64> {
                piece.iter().map(|row| lines.facts[row * plan.facts() + at]).collect()
            };
            let highest = self.column(&fact(lines, facts::HIGHEST)).squeeze(1);
            let divisors = fact(lines, facts::DIVISOR);
            let mut columns = Vec::new();
            for (index, pass) in plan.passes.iter().enumerate() {
                let own = relative(&x, &highest, &self.divisor(pass, &divisors));
                if let Some(edges) = &edges[index] {
                    let edges = &edges[start..start + piece.len()];
                    let inside = self.inside(&x, edges, plan, index, piece, lines)?;
                    columns.extend(moments(&(&own.e * &inside), &own.finite(), plan.second));
                    columns.push(inside.sum_dim(-1, false, DType::F64));
                }
                if let (Some(beta), Some(reference)) = (pass.beta, pass.compares) {
                    let theirs = fact(lines, facts::of(index) + facts::REFERENCE_HIGHEST);
                    let theirs = self.column(&theirs).squeeze(1);
                    let met = relative(&references[reference], &theirs, &self.divisor(pass, &divisors));
                    let met = Met::between(&own, met);
                    let norm = |at: usize| {
                        let of: Vec<f64> = piece
                            .iter()
                            .map(|row| lines.sums[row * plan.sums() + sums::of(index) + at])
                            .collect();
                        self.column(&of)
                    };
                    let norms = [norm(sums::WHOLE), norm(sums::REFERENCE)];
                    let narrow = norms.each_ref().map(|norm| norm.to_dtype(x.dtype()));
                    let [policy, reference] = met.logs(beta, &narrow);
                    columns.push(total(&product(&own.e, &policy)) / norms[0].squeeze(1));
                    columns.push(total(&product(&met.r, &reference)) / norms[1].squeeze(1));
                }
            }
            message.extend(Tensor::stack(&columns, 1).to_f64s()?);
            start += piece.len();
        }
        Ok(message)
    }

    /// Which tokens of a piece are in the set of a pass. Writes the facts that say so to engines.
    fn inside(
        &self,
        x: &Tensor,
        edges: &[Edge],
        plan: &Plan,
        pass: usize,
        piece: &[usize],
        lines: &mut Lines,
    ) -> Result<Tensor, KernelError> {
        let keys = Keys(self.dtype);
        let of = |number: &dyn Fn(&Edge) -> f64| self.column(&edges.iter().map(number).collect::<Vec<_>>());
        let at = of(&|edge| edge.at).to_dtype(x.dtype());
        let mut inside = x.ge(&at);
        let mut cuts = vec![self.width as f64; edges.len()];
        if edges.iter().any(|edge| edge.kept < f64::INFINITY) {
            let on_edge = x.eq(&at);
            let kept = of(&|edge| edge.kept);
            if on_edge.sum_dim(-1, true, DType::F64).gt(&kept).any().i64_at(&[])? != 0 {
                let place = on_edge.cumsum(-1, DType::I64).to_dtype(DType::F64);
                inside = x.gt(&at).logical_or(&on_edge.logical_and(&place.le(&kept)));
                // The place after the last that is kept.
                cuts = (place.lt(&kept).sum_dim(-1, false, DType::F64) + 1.0).to_f64s()?;
            }
        }
        for ((row, edge), cut) in piece.iter().zip(edges).zip(cuts) {
            let known = &mut lines.facts[row * plan.facts() + facts::of(pass)..][..facts::PER_PASS];
            let above = keys.value(keys.of(edge.at) + 1);
            known[facts::FROM] = if edge.kept > 0.0 { edge.at } else { above };
            known[facts::FROM_AFTER] = if edge.kept < f64::INFINITY { above } else { edge.at };
            known[facts::CUT] = cut.min(self.width as f64);
        }
        Ok(inside)
    }

    /// Logits in f64, with the highest of each row.
    fn spared(&self, source: &Ready, piece: &[usize]) -> Result<(Tensor, Tensor), KernelError> {
        let logits = self.pick(source, piece)?.to_dtype(DType::F64);
        let highest = logits.amax(-1, false).ok()?;
        Ok((logits, highest))
    }

    fn divisor(&self, pass: &Pass, divisors: &[f64]) -> Divisor {
        let divisors = pass.divided.then(|| self.column(divisors).squeeze(1));
        Divisor::new(pass.temperature, divisors.as_ref())
    }

    /// `[k, V]` of rows.
    fn pick(&self, source: &Ready, rows: &[usize]) -> Result<Tensor, KernelError> {
        let source = source.source();
        let logits = |places: &Tensor| {
            let at = [places.floor_divide(self.time), places.remainder(self.time)];
            Ok::<_, KernelError>(source.pick(&at, None, self.dtype, false)?.logits.squeeze(0))
        };
        let index = |rows: &[usize], start: usize| {
            let rows: Vec<i64> = rows.iter().map(|row| (row - start) as i64).collect();
            self.tensor(&rows, &[rows.len() as i64])
        };
        if matches!(source, Source::Logits(_)) {
            return Ok(logits(&self.places.index_select(0, &index(rows, 0)))?.ok()?);
        }
        let start = rows[0] / self.at_once * self.at_once;
        let count = self.at_once.min(self.places.numel() - start);
        let all = logits(&self.places.narrow(0, start as i64, count as i64))?;
        Ok(if count == rows.len() { all } else { all.index_select(0, &index(rows, start)) }.ok()?)
    }

    /// Rows in ascending order, cut into pieces.
    fn pieces<'r>(&self, rows: &'r [usize]) -> Vec<&'r [usize]> {
        if self.computes {
            return rows.chunk_by(|one, next| one / self.at_once == next / self.at_once).collect();
        }
        rows.chunks(self.at_once).collect()
    }

    /// `[k, 1]`
    fn column(&self, numbers: &[f64]) -> Tensor {
        self.tensor(numbers, &[numbers.len() as i64, 1])
    }

    pub(super) fn tensor<T: Element>(&self, numbers: &[T], size: &[i64]) -> Tensor {
        match self.places.host() {
            Ok(host) => Tensor::from_slice(host, numbers, size).to_device(self.places.device()),
            Err(error) => Tensor::failed(error),
        }
    }
}

/// How many rows of a shard of that width are looked at together.
pub(super) fn at_once(width: i64) -> i64 {
    (PIECE / width).max(1)
}

impl Ladder {
    /// Of each row, how many logits are at least each of `each` thresholds, or their mass if it is known; as far as the
    /// ladder goes down.
    pub(super) fn above(
        &self,
        local: &Local<'_>,
        thresholds: &[f64],
        each: usize,
    ) -> Result<Vec<f64>, KernelError> {
        let count = self.count(local, thresholds, each)?;
        let Some(mass) = &self.mass else { return Ok(count.to_dtype(DType::F64).to_f64s()?) };
        let down_to = mass.gather(1, &(&count - 1i64).maximum(0i64));
        Ok(down_to.masked_fill(&count.eq(0i64), 0.0).to_f64s()?)
    }

    /// Of each row, how many logits are at least each of `each` thresholds: `[k, each]`. The logits go down, so it is found
    /// by halving.
    pub(super) fn count(
        &self,
        local: &Local<'_>,
        thresholds: &[f64],
        each: usize,
    ) -> Result<Tensor, KernelError> {
        let (rows, length) = (self.logits.length(0), self.logits.length(1));
        let thresholds = local.tensor(thresholds, &[rows, each as i64]).to_dtype(local.dtype);
        let mut found = thresholds.zeros(&[rows, each as i64], DType::I64);
        let mut step = (length as u64).next_power_of_two() as i64;
        while step > 0 {
            let more = &found + step;
            let logits = self.logits.gather(1, &(&more - 1i64).minimum(length - 1));
            let fits = more.le(length).logical_and(&logits.ge(&thresholds));
            found = fits.where_cond(&more, &found).ok()?;
            step /= 2;
        }
        Ok(found)
    }
}

/// `Σ e^u`, `Σ u e^u` and, if it is needed, `Σ u² e^u`.
fn moments(e: &Tensor, u: &Tensor, second: bool) -> Vec<Tensor> {
    let (e, u) = (e.to_dtype(DType::F64), u.to_dtype(DType::F64));
    let first = &e * &u;
    let mut found = vec![total(&e), total(&first)];
    if second {
        found.push(total(&(first * u)));
    }
    found
}
