//! What is read of rows of logits.

use crate::args::Args;
use crate::run::Run;
use crate::tape::{Tape, Var};
use crate::value::{Data, Shape, Value};
use crate::{Result, wrong};
use std::rc::Rc;

/// A row of the policy or of a reference. A token that is banned has no probability.
struct Row {
    /// As it came, to sort by.
    raw: Rc<Vec<Var>>,
    /// Divided by the temperature, less the greatest of them: what is left of a mass near 1 keeps its digits.
    z: Vec<Var>,
    /// That greatest one, without gradient: it goes out of every formula again.
    top: Var,
}

impl Row {
    fn read(run: &mut Run<'_>, of: &str, at: usize, temperature: Var) -> Result<Self> {
        let raw = run.row(of, at)?;
        let divided: Vec<Var> = raw.iter().map(|x| run.tape.div(*x, temperature)).collect();
        let top = divided.iter().fold(f64::NEG_INFINITY, |top, x| top.max(x.value));
        let top = Var::constant(if top.is_finite() { top } else { 0.0 });
        let z = divided.into_iter().map(|x| run.tape.sub(x, top)).collect();
        Ok(Self { raw, z, top })
    }

    fn all(&self) -> Vec<usize> {
        (0..self.z.len()).collect()
    }

    /// `log Σ exp z` over some tokens, less the greatest of the row.
    fn log_sum(&self, tape: &mut Tape, tokens: &[usize]) -> Var {
        let known: Vec<Var> =
            tokens.iter().map(|v| self.z[*v]).filter(|z| z.value > f64::NEG_INFINITY).collect();
        tape.log_sum_exp(&known)
    }

    /// The tokens of some that have a probability, with the logarithm of it, renormalised on them.
    fn logs(&self, tape: &mut Tape, tokens: &[usize]) -> Vec<(usize, Var)> {
        let sum = self.log_sum(tape, tokens);
        let known = tokens.iter().filter(|v| self.z[**v].value > f64::NEG_INFINITY);
        known.map(|v| (*v, tape.sub(self.z[*v], sum))).collect()
    }

    fn entropy(&self, tape: &mut Tape, tokens: &[usize]) -> Var {
        let parts: Vec<Var> = self
            .logs(tape, tokens)
            .into_iter()
            .map(|(_, log)| {
                let (p, negated) = (tape.exp(log), tape.neg(log));
                tape.mul(p, negated)
            })
            .collect();
        tape.sum(&parts)
    }

    /// The probability of some tokens.
    fn mass(&self, tape: &mut Tape, tokens: &[usize]) -> Var {
        if tokens.is_empty() {
            return Var::constant(0.0);
        }
        let logs = self.logs(tape, &self.all());
        let shares: Vec<(usize, f64)> =
            logs.into_iter().map(|(v, log)| (v, tape.noise.round(log.value.exp()))).collect();
        let sum = shares.iter().filter(|(v, _)| tokens.contains(v)).map(|(_, p)| p).sum();
        let mass = tape.noise.round(sum);
        // `p[v] (s[v] - M)`, as documented: near a mass of 1 its digits go.
        let slope = |(v, p): (usize, f64)| (self.z[v], p * (f64::from(u8::from(tokens.contains(&v))) - mass));
        tape.computed(mass, shares.into_iter().map(slope).collect::<Vec<_>>())
    }

    /// Tokens with the highest logits first; of equal ones the lower id.
    fn ranked(&self) -> Vec<usize> {
        let mut ranked = self.all();
        ranked.sort_by(|a, b| {
            let order = self.raw[*b].value.partial_cmp(&self.raw[*a].value);
            order.unwrap_or(std::cmp::Ordering::Equal).then(a.cmp(b))
        });
        ranked
    }

    /// The row's set of likely tokens.
    fn set(&self, tape: &mut Tape, args: &Args) -> Result<Vec<usize>> {
        let ranked = self.ranked();
        if let Some(share) = args.number("drop")? {
            let dropped = (share * ranked.len() as f64).floor() as usize;
            return Ok(ranked[..ranked.len() - dropped].to_vec());
        }
        if let Some(count) = args.whole("top_k")? {
            return Ok(ranked[..count.min(ranked.len())].to_vec());
        }
        let logs = self.logs(tape, &ranked);
        if let Some(mass) = args.number("top_p")? {
            let (mut kept, mut sum) = (Vec::new(), 0.0);
            for (v, log) in logs {
                kept.push(v);
                sum = tape.noise.round(sum + tape.noise.round(log.value.exp()));
                if sum >= mass {
                    break;
                }
            }
            return Ok(kept);
        }
        if let Some(share) = args.number("min_p")? {
            let top = logs.first().map_or(0.0, |(_, log)| log.value);
            let likely = |log: &Var| tape.noise.round((log.value - top).exp()) >= share;
            return Ok(logs.iter().filter(|(_, log)| likely(log)).map(|(v, _)| *v).collect());
        }
        wrong("no argument says which tokens count")
    }
}

impl Run<'_> {
    /// What divides the logits for a term: its own temperature, or the file's.
    fn temperatures(&mut self, args: &Args) -> Result<Rc<Vec<Var>>> {
        match args.number("temperature")? {
            Some(own) => Ok(Rc::new(vec![Var::constant(own); self.batch.mask.len()])),
            None => self.file_temperature(),
        }
    }

    /// A formula of the policy's row at every valid token.
    fn rows(
        &mut self,
        args: &Args,
        mut f: impl FnMut(&mut Self, usize, &Row) -> Result<Var>,
    ) -> Result<Value> {
        let temperatures = self.temperatures(args)?;
        let found = self.tokens(|run, at| {
            let row = Row::read(run, "logits", at, temperatures[at])?;
            f(run, at, &row)
        })?;
        Ok(Value::real(Shape::Token, found))
    }

    /// The tokens that the batch lists for a token, with their places in the list.
    fn listed(&self, args: &Args, at: usize) -> Result<Option<Vec<(usize, usize)>>> {
        let Some(value) = args.get("within") else { return Ok(None) };
        let Data::Field(name) = &value.data else { return wrong("`within` is a list of the batch") };
        let ids = self.batch.ids(name)?;
        let width = ids.len() / self.batch.mask.len();
        let first = at * width;
        let listed = ids[first..first + width].iter().enumerate().filter(|(_, id)| **id != -1);
        Ok(Some(listed.map(|(place, id)| (first + place, *id as usize)).collect()))
    }

    /// `log_prob` as a field.
    pub(crate) fn sampled_log_prob(&mut self) -> Result<Value> {
        if let Some(known) = &self.sampled {
            return Ok(known.clone());
        }
        let computed = log_prob_of_rows(self, &Args::default())?;
        self.sampled = Some(computed.clone());
        Ok(computed)
    }
}

pub(super) fn log_prob(run: &mut Run<'_>, args: &Args) -> Result<Value> {
    if args.get("within").is_none() && args.get("temperature").is_none() {
        return run.known("log_prob");
    }
    log_prob_of_rows(run, args)
}

fn log_prob_of_rows(run: &mut Run<'_>, args: &Args) -> Result<Value> {
    let actions = run.batch.ids("actions")?;
    run.rows(args, |run, at, row| {
        let listed = run.listed(args, at)?;
        if listed.as_ref().is_some_and(Vec::is_empty) {
            return Ok(Var::constant(0.0));
        }
        let tokens = listed.map_or_else(|| row.all(), |of| of.iter().map(|(_, id)| *id).collect());
        let sum = row.log_sum(&mut run.tape, &tokens);
        Ok(run.tape.sub(row.z[actions[at] as usize], sum))
    })
}

pub(super) fn entropy(run: &mut Run<'_>, args: &Args) -> Result<Value> {
    let of_set = ["drop", "top_k", "top_p", "min_p"].iter().any(|name| args.get(name).is_some());
    run.rows(args, |run, at, row| {
        let tokens = match run.listed(args, at)? {
            Some(listed) => listed.iter().map(|(_, id)| *id).collect(),
            None if of_set => row.set(&mut run.tape, args)?,
            None => row.all(),
        };
        Ok(row.entropy(&mut run.tape, &tokens))
    })
}

/// The probability of a token's set, or of its list.
fn mass_at(run: &mut Run<'_>, args: &Args, at: usize, row: &Row) -> Result<Var> {
    let tokens = match run.listed(args, at)? {
        Some(listed) => listed.iter().map(|(_, id)| *id).collect(),
        None => row.set(&mut run.tape, args)?,
    };
    Ok(row.mass(&mut run.tape, &tokens))
}

pub(super) fn mass(run: &mut Run<'_>, args: &Args) -> Result<Value> {
    run.rows(args, |run, at, row| mass_at(run, args, at, row))
}

/// Of the plugin template: the probability of all but the `k` likeliest tokens.
pub(super) fn tail_mass(run: &mut Run<'_>, args: &Args) -> Result<Value> {
    let k = args.whole("k")?.unwrap_or(1);
    run.rows(args, |run, _, row| {
        let mut ranked = row.ranked();
        ranked.truncate(k);
        let mass = row.mass(&mut run.tape, &ranked);
        Ok(run.tape.sub(Var::constant(1.0), mass))
    })
}

pub(super) fn mass_entropy(run: &mut Run<'_>, args: &Args) -> Result<Value> {
    run.rows(args, |run, at, row| {
        let mass = mass_at(run, args, at, row)?;
        let tape = &mut run.tape;
        let rest = tape.sub(Var::constant(1.0), mass);
        if mass.value <= 0.0 || rest.value <= 0.0 {
            return Ok(Var::constant(0.0));
        }
        let part = |tape: &mut Tape, x: Var| {
            let log = tape.log(x);
            tape.mul(x, log)
        };
        let (a, b) = (part(tape, mass), part(tape, rest));
        let sum = tape.add(a, b);
        Ok(tape.neg(sum))
    })
}

/// `log Σ p^power`.
fn log_powers(tape: &mut Tape, row: &Row, power: f64) -> Var {
    let logs = row.logs(tape, &row.all());
    let scaled: Vec<Var> = logs.into_iter().map(|(_, log)| tape.scale(log, power)).collect();
    tape.log_sum_exp(&scaled)
}

pub(super) fn renyi_entropy(run: &mut Run<'_>, args: &Args) -> Result<Value> {
    let alpha = args.needed("alpha")?;
    run.rows(args, |run, _, row| {
        let sum = log_powers(&mut run.tape, row, alpha);
        Ok(run.tape.div(sum, Var::constant(1.0 - alpha)))
    })
}

pub(super) fn tsallis_entropy(run: &mut Run<'_>, args: &Args) -> Result<Value> {
    let q = args.needed("q")?;
    run.rows(args, |run, _, row| {
        let sum = log_powers(&mut run.tape, row, q);
        let sum = run.tape.exp(sum);
        let rest = run.tape.sub(Var::constant(1.0), sum);
        Ok(run.tape.div(rest, Var::constant(q - 1.0)))
    })
}

pub(super) fn varentropy(run: &mut Run<'_>, args: &Args) -> Result<Value> {
    run.rows(args, |run, _, row| {
        let tape = &mut run.tape;
        let entropy = row.entropy(tape, &row.all());
        let parts: Vec<Var> = row
            .logs(tape, &row.all())
            .into_iter()
            .map(|(_, log)| {
                let p = tape.exp(log);
                let gap = tape.add(log, entropy);
                let square = tape.square(gap);
                tape.mul(p, square)
            })
            .collect();
        Ok(tape.sum(&parts))
    })
}

pub(super) fn z_loss(run: &mut Run<'_>, args: &Args) -> Result<Value> {
    run.rows(args, |run, _, row| {
        let sum = row.log_sum(&mut run.tape, &row.all());
        let sum = run.tape.add(sum, row.top);
        Ok(run.tape.square(sum))
    })
}

/// One token or bucket of a divergence: the logarithms of the policy's and of the reference's probability.
type Pair = (Var, Var);

pub(super) fn divergence(run: &mut Run<'_>, name: &str, args: &Args) -> Result<Value> {
    let beta = args.number_or("beta", 0.5)?;
    let temperatures = run.temperatures(args)?;
    run.rows(args, |run, at, row| {
        let pairs = match run.listed(args, at)? {
            Some(listed) if listed.is_empty() => return Ok(Var::constant(0.0)),
            Some(listed) => listed_pairs(run, args, row, &listed)?,
            None => {
                let of = match args.get("of") {
                    Some(Value { data: Data::Field(name), .. }) => name,
                    _ => "ref_logits",
                };
                let reference = Row::read(run, of, at, temperatures[at])?;
                let (sum, own) = (
                    reference.log_sum(&mut run.tape, &reference.all()),
                    row.log_sum(&mut run.tape, &row.all()),
                );
                let tape = &mut run.tape;
                let pair = |v: usize| (tape.sub(row.z[v], own), tape.sub(reference.z[v], sum));
                row.all().into_iter().map(pair).collect()
            }
        };
        let tape = &mut run.tape;
        Ok(match name {
            "forward_kl" => {
                let turned: Vec<Pair> = pairs.iter().map(|(p, r)| (*r, *p)).collect();
                relative_entropy(tape, &turned)
            }
            "reverse_kl" => relative_entropy(tape, &pairs),
            _ => jensen_shannon(tape, &pairs, beta),
        })
    })
}

/// `Σ p (log p - log q)`; a token without probability adds 0.
fn relative_entropy(tape: &mut Tape, pairs: &[Pair]) -> Var {
    let mut parts = Vec::new();
    for (p, q) in pairs.iter().filter(|(p, _)| p.value > f64::NEG_INFINITY) {
        let weight = tape.exp(*p);
        let gap = tape.sub(*p, *q);
        parts.push(tape.mul(weight, gap));
    }
    tape.sum(&parts)
}

/// `β KL(ρ‖m) + (1-β) KL(π‖m)` with `m = β ρ + (1-β) π`.
fn jensen_shannon(tape: &mut Tape, pairs: &[Pair], beta: f64) -> Var {
    let (mut of_policy, mut of_reference) = (Vec::new(), Vec::new());
    for (policy, reference) in pairs {
        let parts: Vec<Var> = [(*policy, 1.0 - beta), (*reference, beta)]
            .into_iter()
            .filter(|(log, _)| log.value > f64::NEG_INFINITY)
            .map(|(log, share)| tape.add(log, Var::constant(share.ln())))
            .collect();
        let mixture = tape.log_sum_exp(&parts);
        of_policy.push((*policy, mixture));
        of_reference.push((*reference, mixture));
    }
    let (policy, reference) = (relative_entropy(tape, &of_policy), relative_entropy(tape, &of_reference));
    let (a, b) = (tape.scale(policy, 1.0 - beta), tape.scale(reference, beta));
    tape.add(a, b)
}

/// The pairs of a list: the policy's probabilities of its tokens and what the teacher says of them.
fn listed_pairs(run: &mut Run<'_>, args: &Args, row: &Row, listed: &[(usize, usize)]) -> Result<Vec<Pair>> {
    let Some(Value { data: Data::Field(of), .. }) = args.get("of") else { return wrong("a list needs `of`") };
    let taught = run.batch.reals(of)?;
    let rest = args.text("rest", "")?.to_owned();
    let tape = &mut run.tape;
    let all = row.log_sum(tape, &row.all());
    let mut policy: Vec<Var> = listed.iter().map(|(_, id)| tape.sub(row.z[*id], all)).collect();
    let mut teacher: Vec<Var> = listed.iter().map(|(place, _)| Var::constant(taught[*place])).collect();
    for side in [&mut policy, &mut teacher] {
        let known: Vec<Var> = side.iter().copied().filter(|x| x.value > f64::NEG_INFINITY).collect();
        match rest.as_str() {
            "bucket" => {
                let parts: Vec<Var> = known.iter().map(|x| tape.exp(*x)).collect();
                let sum = tape.sum(&parts);
                let others = tape.sub(Var::constant(1.0), sum);
                let kept = tape.max(others, Var::constant(-(-1e-7_f64).exp_m1()));
                side.push(tape.log(kept));
            }
            "renormalise" => {
                let sum = tape.log_sum_exp(&known);
                for x in side.iter_mut() {
                    *x = tape.sub(*x, sum);
                }
            }
            _ => {}
        }
    }
    Ok(policy.into_iter().zip(teacher).collect())
}
