//! Operators and functions.

use crate::args::Args;
use crate::run::Run;
use crate::tape::{Tape, Var};
use crate::value::{Data, Shape, Value};
use crate::{Result, wrong};

/// An operator between two values.
pub(crate) fn binary(run: &mut Run<'_>, op: &str, a: &Value, b: &Value) -> Result<Value> {
    if let (Data::Text(x), Data::Text(y)) = (&a.data, &b.data) {
        let equal = (x == y) == (op == "==");
        return Ok(Value::new(Shape::Scalar, Data::Truth(vec![equal])).constant(true));
    }
    let of = [a, b];
    match op {
        "+" => run.map(&of, |tape, x| tape.add(x[0], x[1])),
        "-" => run.map(&of, |tape, x| tape.sub(x[0], x[1])),
        "*" => run.map(&of, |tape, x| tape.mul(x[0], x[1])),
        "/" => run.map(&of, |tape, x| tape.div(x[0], x[1])),
        "^" => run.map(&of, |tape, x| tape.pow(x[0], x[1])),
        "and" => run.map_truths(&of, |x| x[0] && x[1]),
        "or" => run.map_truths(&of, |x| x[0] || x[1]),
        _ if matches!(a.data, Data::Truth(_)) => run.map_truths(&of, |x| (x[0] == x[1]) == (op == "==")),
        _ => compare(run, op, a, b),
    }
}

fn compare(run: &mut Run<'_>, op: &str, a: &Value, b: &Value) -> Result<Value> {
    let shape = a.shape.max(b.shape);
    let (x, y) = (run.reals(a, shape)?, run.reals(b, shape)?);
    #[expect(clippy::float_cmp, reason = "`==` of the language is exact")]
    let holds = |a: f64, b: f64| match op {
        "<" => a < b,
        "<=" => a <= b,
        ">" => a > b,
        ">=" => a >= b,
        "==" => a == b,
        _ => a != b,
    };
    let counted: Vec<usize> = (0..x.len()).filter(|at| run.counts(shape, *at)).collect();
    if let "==" | "!=" = op {
        // Rounding makes numbers differ, and hardly ever alike.
        run.tape.delicate.extend(counted.iter().map(|at| x[*at].value - y[*at].value));
    }
    let mut found = vec![false; x.len()];
    for at in counted {
        found[at] = holds(x[at].value, y[at].value);
    }
    Ok(Value::new(shape, Data::Truth(found)).constant(a.constant && b.constant))
}

/// `where(c, a, b)`.
pub(crate) fn select(run: &mut Run<'_>, condition: &Value, a: &Value, b: &Value) -> Result<Value> {
    if let (Data::Truth(_), Data::Truth(_)) = (&a.data, &b.data) {
        return run.map_truths(&[condition, a, b], |x| if x[0] { x[1] } else { x[2] });
    }
    let shape = condition.shape.max(a.shape).max(b.shape);
    let taken = run.truths(condition, shape)?;
    let (a, b) = (run.reals(a, shape)?, run.reals(b, shape)?);
    let mut found = Vec::new();
    for at in 0..taken.len() {
        let (here, other) = if taken[at] { (a[at], b[at]) } else { (b[at], a[at]) };
        let chosen =
            run.counts(shape, at).then(|| run.tape.chosen(here.value, &[(here, true), (other, false)]));
        found.push(chosen.unwrap_or(Var::constant(0.0)));
    }
    Ok(Value::real(shape, found))
}

/// A function by name.
pub(crate) fn call(run: &mut Run<'_>, name: &str, args: &Args) -> Option<Result<Value>> {
    let unary: fn(&mut Tape, Var) -> Var = match name {
        "exp" => Tape::exp,
        "log" => Tape::log,
        "sqrt" => Tape::sqrt,
        "abs" => Tape::abs,
        "sign" => |_, x| Var::constant(crate::tape::sign(x.value)),
        "sigmoid" => Tape::sigmoid,
        "tanh" => Tape::tanh,
        "softplus" => Tape::softplus,
        "detach" => |_, x| x.detached(),
        "min" | "max" => return Some(extreme(run, args.positional(), name == "max")),
        "clamp" => return Some(clamp(run, args)),
        "quantile" => return Some(quantile(run, args)),
        "top_fraction" => return Some(top_fraction(run, args)),
        _ => return None,
    };
    Some(args.at("x", 0).and_then(|x| run.map(&[x], |tape, x| unary(tape, x[0]))))
}

/// From left to right: of three equal values the first two have a quarter of the gradient each.
fn extreme(run: &mut Run<'_>, of: &[Value], greatest: bool) -> Result<Value> {
    run.map(&of.iter().collect::<Vec<_>>(), |tape, x| {
        x[1..].iter().fold(x[0], |best, x| tape.extreme(&[best, *x], greatest))
    })
}

fn clamp(run: &mut Run<'_>, args: &Args) -> Result<Value> {
    let of = [args.at("x", 0)?, args.at("lo", 1)?, args.at("hi", 2)?];
    run.map(&of, |tape, x| tape.clamp(x[0], x[1], x[2]))
}

/// The values that count, with their positions, the least first and NaN last; of equal ones the first comes first.
fn sorted(run: &Run<'_>, x: &Value) -> Result<Vec<(usize, Var)>> {
    let all = run.reals(x, x.shape)?;
    let counted = all.into_iter().enumerate().filter(|(at, _)| run.counts(x.shape, *at));
    let mut counted: Vec<(usize, Var)> = counted.collect();
    // `sort_by` is stable, and 0 and -0 are equal.
    counted.sort_by(|(_, a), (_, b)| order(*a, *b));
    Ok(counted)
}

fn quantile(run: &mut Run<'_>, args: &Args) -> Result<Value> {
    let (x, q) = (args.at("x", 0)?, args.at("q", 1)?.as_number()?);
    let sorted = sorted(run, x)?;
    if sorted.is_empty() {
        return Ok(Value::number(0.0));
    }
    let place = q * (sorted.len() - 1) as f64;
    let below = place.floor() as usize;
    let share = place - below as f64;
    let tape = &mut run.tape;
    let mut at = |place: usize| {
        let marked: Vec<(Var, bool)> =
            sorted.iter().enumerate().map(|(at, (_, x))| (*x, at == place)).collect();
        tape.chosen(sorted[place].1.value, &marked)
    };
    let found = if sorted.iter().any(|(_, x)| x.value.is_nan()) {
        let slopes: Vec<(Var, f64)> = sorted.iter().map(|(_, x)| (*x, f64::NAN)).collect();
        tape.computed(f64::NAN, slopes)
    } else if share == 0.0 {
        at(below)
    } else {
        let (lo, hi) = (at(below), at(below + 1));
        let (lo, hi) = (tape.scale(lo, 1.0 - share), tape.scale(hi, share));
        tape.add(lo, hi)
    };
    Ok(Value::real(Shape::Scalar, vec![found]))
}

fn top_fraction(run: &mut Run<'_>, args: &Args) -> Result<Value> {
    let (x, p) = (args.at("x", 0)?, args.at("p", 1)?.as_number()?);
    if x.shape == Shape::Scalar {
        return wrong("`top_fraction` is of tokens or sequences");
    }
    let mut sorted = sorted(run, x)?;
    // Of equal ones the first is the larger.
    sorted.sort_by(|(i, a), (j, b)| order(*b, *a).then(i.cmp(j)));
    let kept = ((p * sorted.len() as f64).floor() as usize).max(1);
    // Rounding decides which of two is kept if they differ by no more than that.
    run.tape.delicate.push(match sorted.get(kept) {
        Some((_, next)) => sorted[kept - 1].1.value - next.value,
        None => 0.0,
    });
    let mut found = vec![false; run.count(x.shape)];
    for (at, _) in sorted.iter().take(kept) {
        found[*at] = true;
    }
    Ok(Value::new(x.shape, Data::Truth(found)))
}

fn order(a: Var, b: Var) -> std::cmp::Ordering {
    // NaN is greater than all numbers.
    a.value.partial_cmp(&b.value).unwrap_or_else(|| a.value.is_nan().cmp(&b.value.is_nan()))
}
