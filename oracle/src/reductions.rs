//! Reductions: what makes fewer values of many.

use crate::args::Args;
use crate::run::Run;
use crate::tape::{Tape, Var};
use crate::value::{Shape, Value};
use crate::{Result, wrong};

type Fold = fn(&mut Tape, &[Var]) -> Var;

/// A reduction by name. Without a value that counts the result is 0.
pub(crate) fn call(run: &mut Run<'_>, name: &str, args: &Args) -> Option<Result<Value>> {
    let (inside, fold) = name.split_once('_')?;
    let fold: Fold = match fold {
        "mean" => Tape::mean,
        "sum" => Tape::sum,
        "max" => |tape, x| tape.extreme(x, true),
        "min" => |tape, x| tape.extreme(x, false),
        "std" => deviation,
        "mean_token_sum" | "mean_token_mean" | "mean_token_sum_norm" if inside == "seq" => {
            return Some(nested(run, fold, args));
        }
        _ => return None,
    };
    match inside {
        "token" => Some(over_step(run, args, Shape::Token, fold)),
        "batch" => Some(over_step(run, args, Shape::Seq, fold)),
        "seq" => Some(args.at("x", 0).and_then(|x| inside_sequences(run, x, fold))),
        "group" => Some(over_groups(run, args, fold)),
        "segment" => Some(over_segments(run, args, fold)),
        _ => None,
    }
}

fn folded(tape: &mut Tape, of: &[Var], fold: Fold) -> Var {
    if of.is_empty() { Var::constant(0.0) } else { fold(tape, of) }
}

/// The unbiased deviation; of one value or equal numbers it is 0, and where it is 0, so is its slope.
fn deviation(tape: &mut Tape, of: &[Var]) -> Var {
    #[expect(clippy::float_cmp, reason = "equal values have no deviation")]
    if of.iter().all(|x| x.value == of[0].value && x.value.is_finite()) {
        return Var::constant(0.0);
    }
    if of.len() == 1 {
        return tape.sub(of[0], of[0]);
    }
    let mean = tape.mean(of);
    let squares: Vec<Var> = of
        .iter()
        .map(|x| {
            let gap = tape.sub(*x, mean);
            tape.square(gap)
        })
        .collect();
    let sum = tape.sum(&squares);
    let variance = tape.div(sum, Var::constant(of.len() as f64 - 1.0));
    // Squares of small differences may be 0.
    if variance.value == 0.0 { Var::constant(0.0) } else { tape.sqrt(variance) }
}

fn over_step(run: &mut Run<'_>, args: &Args, shape: Shape, fold: Fold) -> Result<Value> {
    let all = run.reals(args.at("x", 0)?, shape)?;
    let counted: Vec<Var> = (0..all.len()).filter(|at| run.counts(shape, *at)).map(|at| all[at]).collect();
    Ok(Value::real(Shape::Scalar, vec![folded(&mut run.tape, &counted, fold)]))
}

fn inside_sequences(run: &mut Run<'_>, x: &Value, fold: Fold) -> Result<Value> {
    let all = run.reals(x, Shape::Token)?;
    let mut found = Vec::new();
    for sequence in 0..run.batch.sequences {
        let counted: Vec<Var> = run.tokens_of(sequence).map(|at| all[at]).collect();
        found.push(folded(&mut run.tape, &counted, fold));
    }
    Ok(Value::real(Shape::Seq, found))
}

/// Inside each sequence first, then the mean over sequences.
fn nested(run: &mut Run<'_>, name: &str, args: &Args) -> Result<Value> {
    let fold: Fold = if name == "mean_token_mean" { Tape::mean } else { Tape::sum };
    let inside = inside_sequences(run, args.at("x", 0)?, fold)?;
    let mut outer = Args::default();
    outer.push(None, inside);
    let mean = over_step(run, &outer, Shape::Seq, Tape::mean)?;
    if name != "mean_token_sum_norm" {
        return Ok(mean);
    }
    let length = args.number_or("length", run.batch.width as f64)?;
    run.map(&[&mean], |tape, x| tape.div(x[0], Var::constant(length)))
}

fn over_groups(run: &mut Run<'_>, args: &Args, fold: Fold) -> Result<Value> {
    let all = run.reals(args.at("x", 0)?, Shape::Seq)?;
    let groups = run.groups(args)?;
    let mut found = Vec::new();
    for at in 0..all.len() {
        let of: Vec<Var> = run.group_of(&groups, at).map(|other| all[other]).collect();
        found.push(folded(&mut run.tape, &of, fold));
    }
    Ok(Value::real(Shape::Seq, found))
}

fn over_segments(run: &mut Run<'_>, args: &Args, fold: Fold) -> Result<Value> {
    let all = run.reals(args.at("x", 0)?, Shape::Token)?;
    let Some(by) = args.get("by") else { return wrong("a segment needs `by`") };
    let ids = run.ids(by, Shape::Token)?;
    let mut found = vec![Var::constant(0.0); all.len()];
    for at in (0..all.len()).filter(|at| run.batch.mask[*at]) {
        let own = run.tokens_of(at / run.batch.width).filter(|other| ids[*other] == ids[at]);
        let of: Vec<Var> = own.map(|other| all[other]).collect();
        found[at] = fold(&mut run.tape, &of);
    }
    Ok(Value::real(Shape::Token, found))
}

impl<'a> Run<'a> {
    /// The valid tokens of a sequence.
    pub(crate) fn tokens_of(&self, sequence: usize) -> impl Iterator<Item = usize> + use<'a> {
        let batch = self.batch;
        (sequence * batch.width..(sequence + 1) * batch.width).filter(|at| batch.mask[*at])
    }

    /// The ids by which sequences are grouped.
    pub(crate) fn groups(&mut self, args: &Args) -> Result<Vec<i64>> {
        match args.get("group") {
            Some(group) => self.ids(group, Shape::Seq),
            None => self.batch.ids("group"),
        }
    }

    /// The valid sequences in the group of one; none for one that does not count.
    pub(crate) fn group_of<'b>(
        &'b self,
        groups: &'b [i64],
        at: usize,
    ) -> impl Iterator<Item = usize> + use<'a, 'b> {
        let batch = self.batch;
        let counts = batch.is_valid(at);
        (0..groups.len())
            .filter(move |other| counts && batch.is_valid(*other) && groups[*other] == groups[at])
    }
}
