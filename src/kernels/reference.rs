//! Row statistics in plain torch operations under torch's own autograd: any device, any float kind.

use tch::Tensor;

use super::KernelError;
use super::rows::{Rows, positions};
use super::sets;
use super::source::Source;
use crate::rows::{RowStatistic, Statistic, TokenSet};

/// Each statistic of the request, at its place in `[B, T]`.
pub(super) fn row_statistics(rows: &Rows<'_>, request: &[RowStatistic]) -> Result<Vec<Tensor>, KernelError> {
    let valid = Valid::of(rows)?;
    let mut reader = Reader::new(rows, &valid)?;
    request.iter().map(|asked| rows.placed(&reader.read(asked)?, &valid.positions)).collect()
}

/// Which rows count.
struct Valid {
    /// `[M]` among `B·T`.
    positions: Tensor,
    /// Whether that is all of them, so that nothing needs to be picked.
    is_all: bool,
}

impl Valid {
    fn of(rows: &Rows<'_>) -> Result<Self, KernelError> {
        let positions = positions(&rows.mask)?;
        Ok(Self { is_all: positions.size()[0] == rows.count(), positions })
    }

    fn pick(&self, lines: &Tensor) -> Result<Tensor, KernelError> {
        Ok(if self.is_all { lines.shallow_clone() } else { lines.f_index_select(0, &self.positions)? })
    }

    /// The logits of these rows in the kind that sums are kept in: `[M, V]`, f32 or wider.
    fn logits(&self, rows: &Rows<'_>, source: &Source<'_>) -> Result<Tensor, KernelError> {
        Ok(source.all(rows.logits, |lines| self.pick(lines))?.f_to_kind(rows.kind())?)
    }
}

/// The valid rows with every softmax taken of them so far, so that statistics share them.
struct Reader {
    /// `[M, V]`, f32 or wider.
    logits: Tensor,
    /// The reference's, without a gradient.
    reference: Option<Tensor>,
    /// `[M, 1]`.
    actions: Tensor,
    softmaxes: Vec<Softmax>,
    unusable: Option<Tensor>,
    has_banned: Option<bool>,
}

/// One softmax of each row, over a set and at a temperature.
struct Softmax {
    set: TokenSet,
    temperature: f64,
    /// Logits over temperature, less the shift, `-inf` outside the set.
    z: Tensor,
    /// `[M, 1]`, without a gradient. Far from zero a division rounds away what logits differ by, so the highest of
    /// the row is taken off before; none at temperature one.
    shift: Option<Tensor>,
    /// Which tokens are not in the set; none where all are.
    outside: Option<Tensor>,
    /// Where `z` is `-inf`; none where it nowhere is, or nothing has asked yet.
    banned: Option<Tensor>,
    logp: Option<Tensor>,
    probability: Option<Tensor>,
}

impl Reader {
    fn new(rows: &Rows<'_>, valid: &Valid) -> Result<Self, KernelError> {
        let logits = valid.logits(rows, &rows.policy)?;
        let reference = rows
            .reference
            .map(|source| -> Result<Tensor, KernelError> { Ok(valid.logits(rows, &source)?.f_detach()?) });
        let reference = reference.transpose()?;
        let actions = valid.pick(&rows.actions)?.f_unsqueeze(1)?;
        Ok(Self { logits, reference, actions, softmaxes: Vec::new(), unusable: None, has_banned: None })
    }

    /// One statistic of each valid row, `[M]`.
    fn read(&mut self, asked: &RowStatistic) -> Result<Tensor, KernelError> {
        if self.logits.size()[0] == 0 {
            // Nothing is valid; the empty sum still ties the result to the logits' graph.
            return sum(&self.logits);
        }
        let set = asked.effective_set(self.logits.size()[1]);
        let softmax = self.softmax(set, asked.temperature)?;
        let value = match asked.statistic {
            Statistic::ActionLogit => self.at_action(&self.logits)?.f_div_scalar(asked.temperature)?,
            Statistic::LogProb => {
                let logp = self.softmaxes[softmax].logp()?;
                self.at_action(&logp)?
            }
            Statistic::LogSumExp => {
                let softmax = &self.softmaxes[softmax];
                softmax.shifted(&softmax.z.f_logsumexp(-1, true)?)?.f_squeeze_dim(-1)?
            }
            Statistic::Mean => {
                self.expectation(softmax, |softmax| softmax.shifted(&softmax.unbanned(&softmax.z)?))?
            }
            Statistic::SecondMoment => self.expectation(softmax, |softmax| {
                Ok(softmax.shifted(&softmax.unbanned(&softmax.z)?)?.f_square()?)
            })?,
            Statistic::Entropy => {
                let mean_logp = self.expectation(softmax, |softmax| {
                    let logp = softmax.logp()?;
                    softmax.unbanned(&logp)
                })?;
                mean_logp.f_neg()?
            }
            Statistic::Size => self.size(softmax)?,
            Statistic::Mass => self.mass(softmax)?,
            Statistic::ReverseKl | Statistic::ForwardKl | Statistic::JensenShannon(_) => {
                self.divergence(softmax, asked.statistic)?
            }
        };
        let shows_unusable = set == TokenSet::All
            && matches!(
                asked.statistic,
                Statistic::LogProb | Statistic::Mean | Statistic::SecondMoment | Statistic::Entropy
            );
        if shows_unusable { Ok(value) } else { Ok(value.f_add(&self.unusable()?)?) }
    }

    /// `Σ p f` over the set, where `f` is finite wherever `p` is zero.
    fn expectation(
        &mut self,
        softmax: usize,
        f: impl Fn(&mut Softmax) -> Result<Tensor, KernelError>,
    ) -> Result<Tensor, KernelError> {
        let has_banned = self.softmaxes[softmax].outside.is_some() || self.has_banned()?;
        let softmax = &mut self.softmaxes[softmax];
        if has_banned && softmax.banned.is_none() {
            softmax.banned = Some(softmax.z.detach().f_eq(f64::NEG_INFINITY)?);
        }
        let f = f(softmax)?;
        sum(&softmax.probability()?.f_mul(&f)?)
    }

    fn size(&self, softmax: usize) -> Result<Tensor, KernelError> {
        let [rows, vocabulary] = [self.logits.size()[0], self.logits.size()[1]];
        let all = Tensor::f_full(rows, vocabulary, (self.logits.kind(), self.logits.device()))?;
        Ok(match &self.softmaxes[softmax].outside {
            Some(outside) => all.f_sub(&sum(&outside.f_to_kind(self.logits.kind())?)?)?,
            None => all,
        })
    }

    fn mass(&mut self, softmax: usize) -> Result<Tensor, KernelError> {
        let whole = self.softmax(TokenSet::All, self.softmaxes[softmax].temperature)?;
        let probability = self.softmaxes[whole].probability()?;
        match &self.softmaxes[softmax].outside {
            Some(outside) => sum(&probability.f_masked_fill(outside, 0.0)?),
            // One, but on the graph of the logits as the others are.
            None => sum(&probability),
        }
    }

    /// How far the policy and the reference are apart, by their log-probabilities.
    fn divergence(&mut self, softmax: usize, statistic: Statistic) -> Result<Tensor, KernelError> {
        let softmax = &mut self.softmaxes[softmax];
        let reference = self.reference.as_ref().expect("rows that are compared have a reference");
        let highest = reference.f_amax(-1, true)?;
        let unusable = highest.f_sub(&highest)?.f_squeeze_dim(-1)?;
        let z = reference.f_sub(&highest)?.f_div_scalar(softmax.temperature)?;
        let (policy, reference) = (softmax.logp()?, z.f_log_softmax(-1, None)?);
        // `Σ p (a - b)`, where a token of probability zero adds nothing.
        let from = |logp: &Tensor, a: &Tensor, b: &Tensor| -> Result<Tensor, KernelError> {
            let p = logp.f_exp()?;
            let impossible = p.detach().f_eq(0.0)?;
            sum(&p.f_mul(&a.f_sub(b)?.f_masked_fill(&impossible, 0.0)?)?)
        };
        let value = match statistic {
            Statistic::JensenShannon(beta) => {
                // Where both ban a token, the derivative of this logarithm would be NaN.
                let banned = policy.detach().f_maximum(&reference)?.f_eq(f64::NEG_INFINITY)?;
                let weighed =
                    |logp: &Tensor, weight: f64| logp.f_add_scalar(weight.ln())?.f_masked_fill(&banned, 0.0);
                let mixture = weighed(&policy, 1.0 - beta)?.f_logaddexp(&weighed(&reference, beta)?)?;
                from(&reference, &reference, &mixture)?
                    .f_mul_scalar(beta)?
                    .f_add(&from(&policy, &policy, &mixture)?.f_mul_scalar(1.0 - beta)?)?
            }
            Statistic::ReverseKl => from(&policy, &policy, &reference)?,
            _ => from(&reference, &reference, &policy)?,
        };
        Ok(value.f_add(&unusable)?)
    }

    fn at_action(&self, values: &Tensor) -> Result<Tensor, KernelError> {
        Ok(values.f_gather(-1, &self.actions, false)?.f_squeeze_dim(-1)?)
    }

    fn softmax(&mut self, set: TokenSet, temperature: f64) -> Result<usize, KernelError> {
        let known = |softmax: &Softmax| softmax.set == set && is_same(softmax.temperature, temperature);
        if let Some(index) = self.softmaxes.iter().position(known) {
            return Ok(index);
        }
        let mut softmax = Softmax {
            set,
            temperature,
            z: Tensor::new(),
            shift: None,
            outside: None,
            banned: None,
            logp: None,
            probability: None,
        };
        if set != TokenSet::All {
            let whole = self.softmax(TokenSet::All, temperature)?;
            let outside = sets::members(&self.logits.detach(), set, temperature)?.f_logical_not()?;
            softmax.z = self.softmaxes[whole].z.f_masked_fill(&outside, f64::NEG_INFINITY)?;
            softmax.shift = self.softmaxes[whole].shift.as_ref().map(Tensor::shallow_clone);
            softmax.outside = Some(outside);
        } else if is_same(temperature, 1.0) {
            // Dividing by one would cost a pass and a copy of the logits.
            softmax.z = self.logits.shallow_clone();
        } else {
            let highest = self.logits.detach().f_amax(-1, true)?;
            softmax.z = self.logits.f_sub(&highest)?.f_div_scalar(temperature)?;
            softmax.shift = Some(highest.f_div_scalar(temperature)?);
        }
        self.softmaxes.push(softmax);
        Ok(self.softmaxes.len() - 1)
    }

    /// `[M]`: NaN for a row without a softmax, zero for every other. A set may leave out the logit that is to
    /// blame, and the statistic must be NaN all the same.
    fn unusable(&mut self) -> Result<Tensor, KernelError> {
        once(&mut self.unusable, || {
            let highest = self.logits.detach().f_amax(-1, false)?;
            Ok(highest.f_sub(&highest)?)
        })
    }

    /// Whether any logit is `-inf`. Reading them once is cheap; cleaning products that need no cleaning is not.
    fn has_banned(&mut self) -> Result<bool, KernelError> {
        if let Some(known) = self.has_banned {
            return Ok(known);
        }
        let lowest = self.logits.detach().f_amin([0, 1], false)?.f_double_value(&[])?;
        // A NaN anywhere hides the lowest of the other rows.
        let has_banned = lowest == f64::NEG_INFINITY || lowest.is_nan();
        self.has_banned = Some(has_banned);
        Ok(has_banned)
    }
}

impl Softmax {
    fn logp(&mut self) -> Result<Tensor, KernelError> {
        once(&mut self.logp, || Ok(self.z.f_log_softmax(-1, None)?))
    }

    fn probability(&mut self) -> Result<Tensor, KernelError> {
        let logp = self.logp()?;
        once(&mut self.probability, || Ok(logp.f_exp()?))
    }

    /// Values of `z` with the shift put back.
    fn shifted(&self, z: &Tensor) -> Result<Tensor, KernelError> {
        Ok(match &self.shift {
            Some(shift) => z.f_add(shift)?,
            None => z.shallow_clone(),
        })
    }

    /// Values to multiply with a probability: `0 · -inf` would be NaN, so what is banned counts as zero.
    fn unbanned(&self, values: &Tensor) -> Result<Tensor, KernelError> {
        Ok(match &self.banned {
            Some(banned) => values.f_masked_fill(banned, 0.0)?,
            None => values.shallow_clone(),
        })
    }
}

fn once(
    cell: &mut Option<Tensor>,
    compute: impl FnOnce() -> Result<Tensor, KernelError>,
) -> Result<Tensor, KernelError> {
    if let Some(known) = cell {
        return Ok(known.shallow_clone());
    }
    let computed = compute()?;
    *cell = Some(computed.shallow_clone());
    Ok(computed)
}

fn sum(values: &Tensor) -> Result<Tensor, KernelError> {
    Ok(values.f_sum_dim_intlist(-1, false, None)?)
}

fn is_same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits()
}
