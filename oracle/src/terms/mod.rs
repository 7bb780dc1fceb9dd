//! Terms, each from its section in `docs/terms.md`.

mod policy;
mod rows;
mod sequence;
mod step;

use crate::args::Args;
use crate::run::Run;
use crate::tape::Var;
use crate::value::{Data, Shape, Value};
use crate::{Result, wrong};

/// A term by name.
pub(crate) fn eval(run: &mut Run<'_>, name: &str, args: &Args) -> Result<Value> {
    match name {
        "accepted" => step::accepted(run, args),
        "cispo" => policy::cispo(run, args),
        "clip_cov" => step::clip_cov(run, args),
        "clip_ppo" => policy::clip_ppo(run, args),
        "clip_value" => policy::clip_value(run, args),
        "cumsum" => sequence::cumsum(run, args),
        "dppo" => policy::dppo(run, args),
        "entropy" | "clamped_entropy" => rows::entropy(run, args),
        "forward_kl" | "reverse_kl" | "jensen_shannon" => rows::divergence(run, name, args),
        "gae" => sequence::gae(run, args),
        "gmpo" => policy::gmpo(run, args),
        "gppo" => policy::gppo(run, args),
        "group_count" => step::group_count(run, args),
        "group_rank" => step::group_rank(run, args),
        "gspo" => policy::gspo(run, args),
        "kl" => policy::kl(run, args),
        "length" => Ok(sequence::length(run)),
        "log_prob" => rows::log_prob(run, args),
        "m2po_kept" => step::m2po_kept(run, args),
        "mass" => rows::mass(run, args),
        "mass_entropy" => rows::mass_entropy(run, args),
        "pass_at_k" => step::pass_at_k(run, args),
        "position" => Ok(sequence::position(run)),
        "renyi_entropy" => rows::renyi_entropy(run, args),
        "reverse_cumsum" => sequence::reverse_cumsum(run, args),
        "segment_count" => sequence::segment_count(run, args),
        "segment_gae" => sequence::segment_gae(run, args),
        "template::tail_mass" => rows::tail_mass(run, args),
        "tsallis_entropy" => rows::tsallis_entropy(run, args),
        "varentropy" => rows::varentropy(run, args),
        "vtrace" => sequence::vtrace(run, args),
        "z_loss" => rows::z_loss(run, args),
        _ => wrong(format!("no `{name}`")),
    }
}

impl Run<'_> {
    /// What a term reads: an argument, or the field of the same name.
    pub(crate) fn reads(&mut self, args: &Args, name: &str, shape: Shape) -> Result<Vec<Var>> {
        let value = match args.get(name) {
            Some(value) => value.clone(),
            // A `let` may give a field, and the field is read as any file reads it.
            None => self.known(name)?,
        };
        self.reals(&value, shape)
    }

    /// The same as a constant for the gradient.
    pub(crate) fn reads_constant(&mut self, args: &Args, name: &str, shape: Shape) -> Result<Vec<f64>> {
        Ok(self.reads(args, name, shape)?.iter().map(|x| x.value).collect())
    }

    /// The same, or a number where neither is given.
    pub(crate) fn reads_or(
        &mut self,
        args: &Args,
        name: &str,
        shape: Shape,
        default: f64,
    ) -> Result<Vec<f64>> {
        if args.get(name).is_some() {
            return self.reads_constant(args, name, shape);
        }
        Ok(vec![default; self.count(shape)])
    }

    /// A formula at every valid token; 0 elsewhere.
    pub(crate) fn tokens(&mut self, mut f: impl FnMut(&mut Self, usize) -> Result<Var>) -> Result<Vec<Var>> {
        let mut found = vec![Var::constant(0.0); self.batch.mask.len()];
        for (at, found) in found.iter_mut().enumerate() {
            if self.batch.mask[at] {
                *found = f(self, at)?;
            }
        }
        Ok(found)
    }
}

/// Numbers without gradient.
pub(crate) fn constants(shape: Shape, of: &[f64]) -> Value {
    Value::real(shape, of.iter().map(|x| Var::constant(*x)).collect())
}

/// Truth values of tokens.
pub(crate) fn flags(of: Vec<bool>) -> Value {
    Value::new(Shape::Token, Data::Truth(of))
}
