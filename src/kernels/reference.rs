//! Row statistics in plain operations under the host's own autograd: any device, any float type.

use super::KernelError;
use super::divisor::Divisor;
use super::rows::{Rows, positions};
use super::sets;
use super::source::Source;
use crate::passes::Listed;
use crate::rows::{FieldName, RowStatistic, Statistic, TokenSet, references};
use crate::tensor::Tensor;

/// Every statistic of the request, in the shape `[B, T]`, and after them the log-probabilities of listed tokens, `[B, T, K]`.
pub(super) fn row_statistics(
    rows: &Rows<'_>,
    request: &[RowStatistic],
    listed: &[Listed],
) -> Result<Vec<Tensor>, KernelError> {
    // `Rows` has chosen all kinds.
    let _chosen = rows.ids.tensors()[0].no_autocast();
    rows.ids.check(rows.vocabulary)?;
    let valid = Valid::of(rows)?;
    let mut reader = Reader::new(rows, request, &valid);
    let mut found = Vec::new();
    for asked in request {
        found.push(rows.placed(&reader.read(asked)?, &valid.positions));
    }
    let Some(lists) = rows.ids.lists() else { return Ok(found) };
    let all = rows.ids.flat_lists().map(|ids| valid.pick(ids).maximum(0i64));
    let start = |list: usize| lists.fields[..list].iter().map(|(_, width)| *width as i64).sum::<i64>();
    for of in listed {
        let ids = all.as_ref().map(|ids| ids.narrow(1, start(of.list), lists.fields[of.list].1 as i64));
        let log_prob = reader.listed(of, &ids.expect("there are lists"))?;
        found.push(rows.placed(&log_prob, &valid.positions));
    }
    Ok(found)
}

/// Which rows count.
struct Valid {
    /// `[M]` indices into `B·T`.
    positions: Tensor,
    /// Whether all rows count, so that nothing needs to be picked.
    is_all: bool,
}

impl Valid {
    fn of(rows: &Rows<'_>) -> Result<Self, KernelError> {
        let positions = positions(&rows.ids.flat()[1]).ok()?;
        Ok(Self { is_all: positions.length(0) == rows.count(), positions })
    }

    fn pick(&self, lines: &Tensor) -> Tensor {
        if self.is_all { lines.clone() } else { lines.index_select(0, &self.positions) }
    }

    /// The logits of these rows, in the kind of their sums: `[M, V]`, f32 or wider.
    fn logits(&self, rows: &Rows<'_>, source: &Source<'_>) -> Tensor {
        source.all(rows.logits, |lines| self.pick(lines)).to_dtype(rows.dtype())
    }
}

/// The valid rows, with all softmaxes so far, which statistics share.
struct Reader {
    /// `[M, V]`, f32 or wider.
    logits: Tensor,
    /// The logits of each reference, without a gradient.
    references: Vec<(Option<FieldName>, Tensor)>,
    /// `[M, 1]`.
    actions: Tensor,
    /// `[M]` f64: what the batch divides each row by, if it does; NaN where it cannot.
    divisors: Option<Tensor>,
    softmaxes: Vec<Softmax>,
    unusable: Option<Tensor>,
    has_banned: Option<bool>,
}

/// A temperature, and whether each row is divided once more.
type At = (f64, bool);

/// A softmax of each row, over a set at a temperature.
struct Softmax {
    set: TokenSet,
    at: At,
    temperature: Divisor,
    /// Logits divided by the temperature, minus the shift; `-inf` outside the set.
    z: Tensor,
    /// `[M, 1]`, without a gradient. Division would round away small differences between large logits, so the row's
    /// highest logit is subtracted first; `None` at temperature one.
    shift: Option<Tensor>,
    /// Tokens outside the set; `None` if there are none.
    outside: Option<Tensor>,
    /// Where `z` is `-inf`; `None` if that is nowhere, or not known yet.
    banned: Option<Tensor>,
    logp: Option<Tensor>,
    probability: Option<Tensor>,
}

impl Reader {
    fn new(rows: &Rows<'_>, request: &[RowStatistic], valid: &Valid) -> Self {
        let logits = valid.logits(rows, &rows.policy);
        let compared = rows.references.iter().map(|source| valid.logits(rows, source).detach());
        let references = references(request).into_iter().zip(compared).collect();
        let actions = valid.pick(&rows.ids.flat()[0]).unsqueeze(1);
        let divisors = rows.divisors.as_ref().map(|divisors| valid.pick(divisors));
        Self {
            logits,
            references,
            actions,
            divisors,
            softmaxes: Vec::new(),
            unusable: None,
            has_banned: None,
        }
    }

    /// One statistic of each valid row, `[M]`.
    fn read(&mut self, asked: &RowStatistic) -> Result<Tensor, KernelError> {
        if self.logits.length(0) == 0 {
            // No row is valid; the empty sum still connects the result to the logits' graph.
            return Ok(sum(&self.logits).ok()?);
        }
        let set = asked.effective_set(self.logits.length(1));
        let at = (asked.temperature, asked.divisor.is_some());
        let softmax = self.softmax(set, at)?;
        let value = match asked.statistic {
            Statistic::ActionLogit => {
                let chosen = self.logits.gather(-1, &self.actions);
                self.softmaxes[softmax].temperature.of(&chosen).squeeze(-1)
            }
            Statistic::LogProb => {
                let logp = self.softmaxes[softmax].logp();
                self.at_action(&logp)
            }
            Statistic::LogProbWithin => {
                let whole = self.softmax(TokenSet::All, at)?;
                let within = self.softmaxes[softmax].z.logsumexp(-1, false);
                self.at_action(&self.softmaxes[whole].z) - within
            }
            Statistic::Taught(_) => unreachable!("computed from listed log-probabilities"),
            Statistic::LogSumExp => {
                let softmax = &self.softmaxes[softmax];
                softmax.shifted(&softmax.z.logsumexp(-1, true)).squeeze(-1)
            }
            Statistic::Mean => {
                self.expectation(softmax, |softmax| softmax.shifted(&softmax.unbanned(&softmax.z)))?
            }
            Statistic::SecondMoment => {
                self.expectation(softmax, |softmax| softmax.shifted(&softmax.unbanned(&softmax.z)).square())?
            }
            Statistic::Variance => {
                let mean = self.expectation(softmax, Softmax::finite_logp)?.unsqueeze(-1);
                self.expectation(softmax, |softmax| (softmax.finite_logp() - &mean).square())?
            }
            Statistic::Entropy => {
                let mean_logp = self.expectation(softmax, Softmax::finite_logp)?;
                -mean_logp
            }
            Statistic::Size => self.size(softmax),
            Statistic::Mass => self.mass(softmax)?,
            Statistic::ReverseKl | Statistic::ForwardKl | Statistic::JensenShannon(_) => {
                self.divergence(softmax, asked)
            }
        };
        let shows_unusable = set == TokenSet::All
            && self.divisors.is_none()
            && matches!(
                asked.statistic,
                Statistic::LogProb | Statistic::Mean | Statistic::SecondMoment | Statistic::Entropy
            );
        let value = if shows_unusable { value } else { value + self.unusable() };
        Ok(value.ok()?)
    }

    /// The log-probability of each listed token, `[M, K]`.
    fn listed(&mut self, of: &Listed, ids: &Tensor) -> Result<Tensor, KernelError> {
        if self.logits.length(0) == 0 {
            return Ok((sum(&self.logits).unsqueeze(1) * ids.to_dtype(self.logits.dtype())).ok()?);
        }
        let softmax = self.softmax(TokenSet::All, (of.temperature, of.divided))?;
        Ok(self.softmaxes[softmax].logp().gather(-1, ids).ok()?)
    }

    /// `Σ p f` over the set; `f` must be finite where `p` is zero.
    fn expectation(
        &mut self,
        softmax: usize,
        f: impl Fn(&mut Softmax) -> Tensor,
    ) -> Result<Tensor, KernelError> {
        let has_banned = self.softmaxes[softmax].outside.is_some() || self.has_banned()?;
        let softmax = &mut self.softmaxes[softmax];
        if has_banned && softmax.banned.is_none() {
            softmax.banned = Some(softmax.z.detach().eq(f64::NEG_INFINITY));
        }
        let f = f(softmax);
        Ok(sum(&(softmax.probability() * f)))
    }

    fn size(&self, softmax: usize) -> Tensor {
        let [rows, vocabulary] = [self.logits.length(0), self.logits.length(1)];
        let all = self.logits.full(&[rows], vocabulary, self.logits.dtype());
        match &self.softmaxes[softmax].outside {
            Some(outside) => all - sum(&outside.to_dtype(self.logits.dtype())),
            None => all,
        }
    }

    fn mass(&mut self, softmax: usize) -> Result<Tensor, KernelError> {
        let whole = self.softmax(TokenSet::All, self.softmaxes[softmax].at)?;
        let probability = self.softmaxes[whole].probability();
        Ok(match &self.softmaxes[softmax].outside {
            Some(outside) => sum(&probability.masked_fill(outside, 0.0)),
            // One, but in the graph of the logits like the others.
            None => sum(&probability),
        })
    }

    /// A divergence of the policy and a reference, from their log-probabilities.
    fn divergence(&mut self, softmax: usize, asked: &RowStatistic) -> Tensor {
        let softmax = &mut self.softmaxes[softmax];
        let reference = self.references.iter().find(|(name, _)| *name == asked.reference);
        let (_, reference) = reference.expect("rows that are compared have a reference");
        let highest = reference.amax(-1, true);
        let unusable = (&highest * 0.0).squeeze(-1);
        let z = softmax.temperature.of(&(reference - &highest));
        let (policy, reference) = (softmax.logp(), z.log_softmax(-1));
        // `Σ p (a - b)`; a token of probability zero adds nothing.
        let from = |logp: &Tensor, a: &Tensor, b: &Tensor| {
            let p = logp.exp();
            let impossible = p.detach().eq(0.0);
            sum(&(p * (a - b).masked_fill(&impossible, 0.0)))
        };
        let value = match asked.statistic {
            Statistic::JensenShannon(beta) => {
                // Where both ban a token, the derivative of the logarithm would be NaN.
                let banned = policy.detach().maximum(&reference).eq(f64::NEG_INFINITY);
                let weighed = |logp: &Tensor, weight: f64| (logp + weight.ln()).masked_fill(&banned, 0.0);
                let mixture = weighed(&policy, 1.0 - beta).logaddexp(&weighed(&reference, beta));
                from(&reference, &reference, &mixture) * beta
                    + from(&policy, &policy, &mixture) * (1.0 - beta)
            }
            Statistic::ReverseKl => from(&policy, &policy, &reference),
            _ => from(&reference, &reference, &policy),
        };
        value + unusable
    }

    fn at_action(&self, values: &Tensor) -> Tensor {
        values.gather(-1, &self.actions).squeeze(-1)
    }

    fn softmax(&mut self, set: TokenSet, at: At) -> Result<usize, KernelError> {
        let known = |softmax: &Softmax| softmax.set == set && is_same(softmax.at, at);
        if let Some(index) = self.softmaxes.iter().position(known) {
            return Ok(index);
        }
        let softmax = if set != TokenSet::All {
            let whole = self.softmax(TokenSet::All, at)?;
            let whole = &self.softmaxes[whole];
            let temperature = whole.temperature.clone();
            let outside = sets::members(&self.logits.detach(), set, &temperature)?.logical_not();
            let z = whole.z.masked_fill(&outside, f64::NEG_INFINITY);
            let shift = whole.shift.clone();
            Softmax { outside: Some(outside), ..Softmax::new(set, at, temperature, z, shift) }
        } else if is_same(at, (1.0, false)) {
            // Division by one would cost a pass and a copy of the logits.
            Softmax::new(set, at, Divisor::Number(1.0), self.logits.clone(), None)
        } else {
            let highest = self.logits.detach().amax(-1, true);
            let temperature = Divisor::new(at.0, self.divisors.as_ref().filter(|_| at.1));
            let (z, shift) = (temperature.of(&(&self.logits - &highest)), temperature.of(&highest));
            Softmax::new(set, at, temperature, z, Some(shift))
        };
        self.softmaxes.push(softmax);
        Ok(self.softmaxes.len() - 1)
    }

    /// `[M]`: NaN for a row without a softmax, otherwise zero. Even if the set leaves out the logit at fault, the
    /// statistic must be NaN.
    fn unusable(&mut self) -> Tensor {
        once(&mut self.unusable, || {
            let of_logits = self.logits.detach().amax(-1, false) * 0.0;
            let dtype = of_logits.dtype();
            self.divisors.iter().fold(of_logits, |sum, divisors| sum + (divisors * 0.0).to_dtype(dtype))
        })
    }

    /// Whether any logit is `-inf`. One pass to find out is cheaper than masking products that need no mask.
    fn has_banned(&mut self) -> Result<bool, KernelError> {
        if let Some(known) = self.has_banned {
            return Ok(known);
        }
        let lowest = self.logits.detach().min().f64_at(&[])?;
        // If any logit is NaN, the minimum is NaN and may hide `-inf`.
        let has_banned = lowest == f64::NEG_INFINITY || lowest.is_nan();
        self.has_banned = Some(has_banned);
        Ok(has_banned)
    }
}

impl Softmax {
    fn new(set: TokenSet, at: At, temperature: Divisor, z: Tensor, shift: Option<Tensor>) -> Self {
        Self { set, at, temperature, z, shift, outside: None, banned: None, logp: None, probability: None }
    }

    fn logp(&mut self) -> Tensor {
        once(&mut self.logp, || self.z.log_softmax(-1))
    }

    /// `log p` to multiply by a probability.
    fn finite_logp(&mut self) -> Tensor {
        let logp = self.logp();
        self.unbanned(&logp)
    }

    fn probability(&mut self) -> Tensor {
        let logp = self.logp();
        once(&mut self.probability, || logp.exp())
    }

    /// Values of `z` with the shift added back.
    fn shifted(&self, z: &Tensor) -> Tensor {
        self.shift.as_ref().map_or_else(|| z.clone(), |shift| z + shift)
    }

    /// Values to multiply by a probability: `0 · -inf` would be NaN, so banned tokens count as zero.
    fn unbanned(&self, values: &Tensor) -> Tensor {
        self.banned.as_ref().map_or_else(|| values.clone(), |banned| values.masked_fill(banned, 0.0))
    }
}

fn once(cell: &mut Option<Tensor>, compute: impl FnOnce() -> Tensor) -> Tensor {
    cell.get_or_insert_with(compute).clone()
}

fn sum(values: &Tensor) -> Tensor {
    values.sum_dim(-1, false, values.dtype())
}

fn is_same(a: At, b: At) -> bool {
    (a.0.to_bits(), a.1) == (b.0.to_bits(), b.1)
}
