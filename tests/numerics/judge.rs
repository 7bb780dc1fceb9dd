//! Judges an expression by its formula in plain f64: values, gradients, masks, micro-batches and f32.

use crate::reference::{logp, per_token};
use crate::{assert_near, named, numbers, session};
use aent::Session;
use aent::testing::{Case, Extent, Outcome, rough, sample, smooth};
use aent::types::{Kind as Values, Shape};
use tch::{Device, Kind, Tensor};

/// What every judged expression may call.
pub(crate) const LIBRARY: &str = "import \"std/advantages.aent\"\nimport \"std/averages.aent\"\n\
                                  import \"std/entropy.aent\"\nimport \"std/kl.aent\"\n\
                                  import \"std/masks.aent\"\nimport \"std/mismatch.aent\"\n\
                                  import \"std/preferences.aent\"\n\
                                  import \"std/regression.aent\"\nimport \"std/surrogates.aent\"\n\
                                  import \"std/values.aent\"\ninput turn: token int";

/// A batch with the log-probabilities of the policy, twice: where the formula lets gradient through, and where it holds
/// them constant. That is how a derivative of a plain function becomes that of a formula with stops.
#[derive(Clone, Copy)]
pub(crate) struct Sheet<'a> {
    pub(crate) case: &'a Case,
    pub(crate) x: &'a [f64],
    pub(crate) held: &'a [f64],
}

impl Sheet<'_> {
    /// A field's number at a token.
    pub(crate) fn get(&self, field: &str, at: usize) -> f64 {
        self.case.token(field)[at]
    }

    pub(crate) fn advantage(&self, at: usize) -> f64 {
        self.get("advantages", at)
    }

    /// The logarithm of the policy's ratio to the old one.
    pub(crate) fn moved(&self, at: usize) -> f64 {
        self.x[at] - self.get("old_log_prob", at)
    }

    /// The ratio to the old policy, held constant.
    pub(crate) fn held_ratio(&self, at: usize) -> f64 {
        (self.held[at] - self.get("old_log_prob", at)).exp()
    }

    /// The valid tokens of a token's sequence.
    pub(crate) fn row_of(&self, at: usize) -> Vec<usize> {
        self.row(at / self.case.width)
    }

    /// The valid tokens of a sequence.
    pub(crate) fn row(&self, sequence: usize) -> Vec<usize> {
        let width = self.case.width;
        (sequence * width..(sequence + 1) * width).filter(|at| self.case.mask[*at]).collect()
    }

    /// All valid tokens.
    pub(crate) fn all(&self) -> Vec<usize> {
        (0..self.case.mask.len()).filter(|at| self.case.mask[*at]).collect()
    }

    /// One number per token, 0 where the mask is 0.
    pub(crate) fn tokens(&self, value: impl Fn(usize) -> f64) -> Vec<f64> {
        per_token(self.case, value)
    }

    /// One number per sequence from its valid tokens, 0 where it has none.
    pub(crate) fn sequences(&self, value: impl Fn(&[usize]) -> f64) -> Vec<f64> {
        let of = |sequence| match self.row(sequence).as_slice() {
            [] => 0.0,
            row => value(row),
        };
        (0..self.case.sequences).map(of).collect()
    }
}

pub(crate) fn mean(of: &[usize], value: impl Fn(usize) -> f64) -> f64 {
    of.iter().map(|at| value(*at)).sum::<f64>() / of.len().max(1) as f64
}

pub(crate) fn sum(of: &[usize], value: impl Fn(usize) -> f64) -> f64 {
    of.iter().map(|at| value(*at)).sum()
}

/// Compares an expression with its formula in every way there is.
#[track_caller]
pub(crate) fn judge(expr: &str, formula: impl Fn(&Sheet<'_>) -> Vec<f64>) {
    judge_where(|_| true, expr, formula);
}

/// The same on cases that are fit for it.
#[track_caller]
pub(crate) fn judge_where(fit: impl Fn(&Case) -> bool, expr: &str, formula: impl Fn(&Sheet<'_>) -> Vec<f64>) {
    judge_in(&format!("{LIBRARY}\nlet value = {expr}"), fit, expr, formula);
}

/// Compares the loss of a recipe with its formula in every way there is. `swaps` are texts of the file and what stands for them:
/// fields of these cases for those that the recipe declares.
#[track_caller]
pub(crate) fn judge_recipe(name: &str, swaps: &[(&str, &str)], formula: impl Fn(&Sheet<'_>) -> f64) {
    let path = format!("{}/examples/recipes/{name}.aent", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("the recipe is there");
    let (rest, loss) = text.split_once("\nloss = ").expect("a recipe has a loss");
    let loss = loss.split_once("\nmetric ").map_or(loss, |(loss, _)| loss);
    let mut text = format!("{rest}\nlet value = {loss}");
    for (from, to) in swaps {
        assert!(text.contains(from), "{name} has no {from}");
        text = text.replace(from, to);
    }
    judge_in(&text, |_| true, name, |sheet| vec![formula(sheet)]);
}

#[track_caller]
fn judge_in(text: &str, fit: impl Fn(&Case) -> bool, expr: &str, formula: impl Fn(&Sheet<'_>) -> Vec<f64>) {
    let judged = Judged::of(text, expr);
    let mut cases = sample(&smooth(Extent::default()), 30);
    cases.retain(&fit);
    for case in &cases {
        judged.keeps_digits(case);
    }
    cases.extend(sample(&rough(Extent::default()), 60).into_iter().filter(&fit));
    for case in &cases {
        judged.has_value_and_gradient(case, &formula);
        judged.ignores_what_is_masked(case);
    }
    for case in sample(&rough(Extent { sequences: 2..=5, ..Extent::default() }), 15) {
        if fit(&case) {
            judged.adds_up(&case.trimmed());
        }
    }
}

struct Judged<'a> {
    expr: &'a str,
    session: Session,
    differentiable: bool,
    shape: Shape,
}

impl<'a> Judged<'a> {
    fn of(text: &str, expr: &'a str) -> Self {
        let probe = session(&format!("{text}\nloss = token_mean(log_prob)"));
        let lets = &probe.program().lets;
        let (_, value) = lets.iter().find(|(name, _)| name == "value").expect("the text has this `let`");
        let node = probe.program().node(*value).clone();
        let total = match node.ty.shape {
            Shape::Token => "token_sum(value)",
            Shape::Seq => "batch_sum(value)",
            Shape::Scalar => "value",
        };
        // What carries no gradient is judged as the weight of something that does.
        let weighted = match node.ty.kind {
            Values::Bool => "token_sum(where(value, log_prob, 0))",
            Values::Real => "token_sum(value * log_prob)",
            Values::Int => panic!("{expr} is no value to compute with"),
        };
        let loss = if node.gradient { total } else { weighted };
        let session = session(&format!("{text}\nmetric total = {total}\nloss = {loss}"));
        Self { expr, session, differentiable: node.gradient, shape: node.ty.shape }
    }

    #[track_caller]
    fn has_value_and_gradient(&self, case: &Case, formula: impl Fn(&Sheet<'_>) -> Vec<f64>) {
        let held: Vec<f64> = per_token(case, |at| logp(case, at));
        let size = [case.sequences as i64, case.width as i64];
        let leaf = Tensor::from_slice(&held).view(size).set_requires_grad(true);
        let batch = case.leaves(Kind::Double, Device::Cpu).batch.with("log_prob", leaf.shallow_clone());
        let output = self.session.forward(&batch).expect("the case is whole");
        let expected = formula(&Sheet { case, x: &held, held: &held });
        assert_near(&self.counted(case, &numbers(named(&output, "value"))), &expected, 1e-9, self.expr);
        if !self.differentiable {
            return;
        }
        output.backward().expect("the loss reaches the log-probabilities");
        // A formula that reads the logits in another way has no slope in `log_prob`; `listed.rs` judges that of such terms.
        let gradient = leaf.grad();
        let gradient = if gradient.defined() { numbers(gradient) } else { vec![0.0; held.len()] };
        let total = |x: &[f64]| formula(&Sheet { case, x, held: &held }).iter().sum::<f64>();
        for (at, found) in gradient.into_iter().enumerate() {
            let slope = if case.mask[at] { slope(total, &held, at) } else { Some(0.0) };
            let Some(slope) = slope else { continue };
            let near = (found - slope).abs() <= 1e-6 * slope.abs().max(1.0);
            assert!(near, "{}, token {at}: expected the slope {slope}, found {found}", self.expr);
        }
    }

    /// What counts of a value, with 0 for the rest, whatever stands there.
    fn counted(&self, case: &Case, value: &[f64]) -> Vec<f64> {
        match self.shape {
            Shape::Token => per_token(case, |at| value[at]),
            Shape::Seq => {
                (0..case.sequences).map(|row| if case.is_valid(row) { value[row] } else { 0.0 }).collect()
            }
            Shape::Scalar => value.to_vec(),
        }
    }

    #[track_caller]
    fn ignores_what_is_masked(&self, case: &Case) {
        let of = |case: &Case| Outcome::of(&self.session, case, Kind::Double).expect("the case is whole");
        let (clean, poisoned) = (of(case), of(&case.poisoned()));
        assert!(clean.distance(&poisoned) == 0.0, "{}: {clean:?} or {poisoned:?}", self.expr);
        assert!(clean.numbers().all(f64::is_finite), "{}: {clean:?}", self.expr);
    }

    #[track_caller]
    fn adds_up(&self, case: &Case) {
        let whole = Outcome::of(&self.session, case, Kind::Double).expect("the case is whole");
        for cuts in [vec![case.sequences / 2], (1..case.sequences).collect()] {
            let parts =
                Outcome::of_parts(&self.session, case, &cuts, Kind::Double).expect("the parts are whole");
            let gap = parts.distance(&whole);
            assert!(gap <= 1e-11, "{}: off by {gap} when cut before {cuts:?}", self.expr);
        }
    }

    #[track_caller]
    fn keeps_digits(&self, case: &Case) {
        let of = |kind| Outcome::of(&self.session, case, kind).expect("the case is whole");
        let gap = of(Kind::Float).distance(&of(Kind::Double));
        assert!(gap <= 2e-5, "{}: off by {gap} in f32", self.expr);
    }
}

/// The slope of a function at one coordinate, none at a kink or a step.
fn slope(of: impl Fn(&[f64]) -> f64, x: &[f64], at: usize) -> Option<f64> {
    const STEP: f64 = 1e-5;
    let moved = |by: f64| {
        let mut x = x.to_vec();
        x[at] += by;
        of(&x)
    };
    let (above, here, below) = (moved(STEP), of(x), moved(-STEP));
    let (right, left) = ((above - here) / STEP, (here - below) / STEP);
    let slope = (above - below) / (2.0 * STEP);
    ((right - left).abs() <= 1e-3 * slope.abs().max(1.0)).then_some(slope)
}
