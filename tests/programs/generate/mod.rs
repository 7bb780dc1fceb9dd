//! Well-typed programs from a row of numbers: the first choice everywhere is the simplest one, so that a shorter
//! row is a simpler program.

mod statements;
mod truths;

use crate::vocabulary::{OF_SEGMENTS, OF_SEQUENCES, OF_TOKENS, Shape, TERMS};
use proptest::prelude::*;

/// Which formulas are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Whatever the types allow: infinite values, kinks, ties.
    Wild,
    /// Formulas that do not blow rounding up: bounded growth, no singularity, nothing that ties by construction.
    Tame,
}

/// Numbers that decide what is generated.
pub(crate) fn choices() -> impl Strategy<Value = Vec<u16>> {
    proptest::collection::vec(any::<u16>(), 1..220)
}

/// A program that must check without errors.
pub(crate) fn program(choices: &[u16], manner: Manner) -> String {
    statements(choices, manner).join("\n")
}

/// Its statements: the imports, the inputs, and what computes with them.
pub(crate) fn statements(choices: &[u16], manner: Manner) -> Vec<String> {
    let mut writer = Writer {
        choices,
        at: 0,
        manner,
        statements: Vec::new(),
        reals: Vec::new(),
        bools: Vec::new(),
        extras: Vec::new(),
        functions: Vec::new(),
        locals: Vec::new(),
    };
    writer.program();
    writer.statements
}

struct Writer<'a> {
    choices: &'a [u16],
    at: usize,
    manner: Manner,
    statements: Vec<String>,
    reals: Vec<(String, Shape)>,
    bools: Vec<(String, Shape)>,
    /// Extras in reach: `name.extra`, and whether it is a truth value.
    extras: Vec<(String, bool)>,
    /// Functions with the shape of their argument and their value.
    functions: Vec<(String, Shape)>,
    /// Parameters of the function being written.
    locals: Vec<(String, Shape)>,
}

impl Writer<'_> {
    fn pick(&mut self, options: usize) -> usize {
        let choice = self.choices.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        usize::from(choice) % options
    }

    fn tame(&self) -> bool {
        self.manner == Manner::Tame
    }

    /// A sum over the step.
    fn total(&mut self, token: &str) -> String {
        match self.pick(8) {
            0 | 1 => format!("token_mean({token})"),
            2 => format!("token_sum({token})"),
            3 => format!("seq_mean_token_sum({token})"),
            4 => format!("seq_mean_token_mean({token})"),
            5 => format!("seq_mean_token_sum_norm({token}, length = 6)"),
            6 => format!("segment_mean_token_mean({token}, by = turn)"),
            _ => format!("batch_mean(seq_sum({token}))"),
        }
    }

    fn counted(&mut self) -> String {
        if self.pick(2) == 0 {
            format!("token_mean({})", self.truth(Shape::Token, 3))
        } else {
            format!("batch_sum({})", self.truth(Shape::Seq, 3))
        }
    }

    /// A value that is no constant.
    fn anchor(&mut self, shape: Shape) -> &'static str {
        match shape {
            Shape::Scalar => "scale",
            Shape::Seq => ["rewards", "score"][self.pick(2)],
            Shape::Token => ["returns", "weight"][self.pick(2)],
        }
    }

    fn leaf(&mut self, shape: Shape) -> String {
        if self.pick(4) == 1 {
            return ["1", "0.3", "2.5", "50%", "(-1)", "1e-2"][self.pick(6)].to_owned();
        }
        let fits = |(_, of): &&(String, Shape)| *of <= shape;
        let names: Vec<String> =
            self.reals.iter().chain(&self.locals).filter(fits).map(|(name, _)| name.clone()).collect();
        // Later names first: what was written is to be read.
        let index = self.pick(names.len());
        names[names.len() - 1 - index].clone()
    }

    /// A number of at most that shape.
    fn real(&mut self, shape: Shape, depth: usize) -> String {
        if depth == 0 {
            return self.leaf(shape);
        }
        let next = depth - 1;
        let tame = self.tame();
        match self.pick(16) {
            0 | 1 => self.leaf(shape),
            2 => {
                let op = ["+", "-"][self.pick(2)];
                format!("({} {op} {})", self.real(shape, next), self.real(shape, next))
            }
            3 => {
                let (a, b) = (self.real(shape, next), self.real(shape, next));
                if tame { format!("({a} * tanh({b}))") } else { format!("({a} * {b})") }
            }
            4 => {
                let (a, b, anchor) = (self.real(shape, next), self.real(shape, next), self.anchor(shape));
                if tame {
                    format!("({a} / (abs({b} + 0.0371) + 0.5))")
                } else {
                    format!("({a} / ({anchor} - {b}))")
                }
            }
            5 => {
                let (a, b) = (self.real(shape, next), self.real(shape, next));
                let power = ["2", "0.5", &format!("tanh({b})")][self.pick(3)].to_owned();
                if tame { format!("(softplus({a}) + 0.1) ^ {power}") } else { format!("({a}) ^ ({b})") }
            }
            6 => self.unary(shape, next),
            7 => {
                let function = ["min", "max"][self.pick(2)];
                let (a, b, c) = (self.real(shape, next), self.real(shape, next), self.leaf(shape));
                if tame {
                    format!("{function}({a}, {b} + 0.0371)")
                } else {
                    format!("{function}({a}, {b}, {c})")
                }
            }
            8 => {
                let x = self.real(shape, next);
                let shift = if tame { " + 0.0371" } else { "" };
                match self.pick(2) {
                    0 => format!("clamp({x}{shift}, -0.8, 1.2)"),
                    _ => {
                        format!("clamp({x}{shift}, {anchor} - 1, {anchor} + 1)", anchor = self.anchor(shape))
                    }
                }
            }
            9 => {
                let condition = self.truth(shape, next);
                format!("where({condition}, {}, {})", self.real(shape, next), self.real(shape, next))
            }
            10 => self.function_call(shape, next),
            11 => {
                let of = if self.pick(2) == 0 { Shape::Token } else { Shape::Seq };
                let (x, anchor) = (self.real(of, next), self.anchor(of));
                format!("quantile({x} + {anchor}, {})", ["0.5", "90%", "0", "1"][self.pick(4)])
            }
            12 if shape == Shape::Token => self.term(next),
            13 if shape == Shape::Token => {
                let extras: Vec<String> = self
                    .extras
                    .iter()
                    .filter(|(_, is_bool)| !is_bool)
                    .map(|(name, _)| name.clone())
                    .collect();
                if extras.is_empty() {
                    self.term(next)
                } else {
                    let at = self.pick(extras.len());
                    extras[at].clone()
                }
            }
            _ => self.reduced(shape, next),
        }
    }

    fn function_call(&mut self, shape: Shape, depth: usize) -> String {
        let fits = |(_, of): &&(String, Shape)| *of <= shape;
        let known: Vec<(String, Shape)> = self.functions.iter().filter(fits).cloned().collect();
        if known.is_empty() {
            return format!("detach({})", self.real(shape, depth));
        }
        let (name, shape) = known[self.pick(known.len())].clone();
        let a = self.real(shape, depth);
        if self.pick(2) == 0 {
            return format!("{name}({a})");
        }
        format!("{name}({a}, k = tanh({}))", self.leaf(Shape::Scalar))
    }

    fn unary(&mut self, shape: Shape, depth: usize) -> String {
        let x = self.real(shape, depth);
        let anchor = self.anchor(shape);
        match self.pick(10) {
            0 => format!("-{x}"),
            1 if self.tame() => format!("exp(tanh({x}))"),
            1 => format!("exp({x})"),
            2 if self.tame() => format!("log(softplus({x}) + 0.1)"),
            2 => format!("log({anchor} * tanh({x}))"),
            3 if self.tame() => format!("sqrt(softplus({x}) + 0.1)"),
            3 => format!("sqrt({anchor} * tanh({x}))"),
            4 if self.tame() => format!("abs({x} + 0.0371)"),
            4 => format!("abs({x})"),
            5 => format!("sign({x} + 0.0371)"),
            6 => format!("sigmoid({x})"),
            7 => format!("tanh({x})"),
            8 => format!("softplus({x})"),
            _ => format!("detach({x})"),
        }
    }

    fn term(&mut self, depth: usize) -> String {
        match self.pick(8) {
            0 | 1 => TERMS[self.pick(TERMS.len())].0.to_owned(),
            2 => format!("clip_ppo(advantages = {} + returns)", self.real(Shape::Token, depth)),
            3 => format!(
                "kl(log_prob = tanh({}) + log_prob, estimator = \"abs\")",
                self.real(Shape::Token, depth)
            ),
            4 => format!("cumsum({})", self.real(Shape::Token, depth)),
            5 => format!("reverse_cumsum({}, discount = 0.8)", self.real(Shape::Token, depth)),
            6 => {
                let (name, anchor) = OF_SEGMENTS[self.pick(OF_SEGMENTS.len())];
                let by = ["turn", "rollout"][self.pick(2)];
                format!("{name}({}{anchor}, by = {by})", self.real(Shape::Token, depth))
            }
            _ => {
                format!("clip_value(values = values * tanh({}), clip = 0.4)", self.real(Shape::Token, depth))
            }
        }
    }

    /// A reduction to at most that shape.
    fn reduced(&mut self, shape: Shape, depth: usize) -> String {
        if shape == Shape::Scalar {
            return match self.pick(4) {
                0 => {
                    let x = self.real(Shape::Token, depth);
                    self.total(&x)
                }
                1 => format!("batch_mean({})", self.real(Shape::Seq, depth)),
                2 => format!(
                    "token_{}({} + returns)",
                    ["max", "min"][self.pick(2)],
                    self.real(Shape::Token, depth)
                ),
                _ => format!("batch_sum({})", self.real(Shape::Seq, depth)),
            };
        }
        match self.pick(8) {
            0..=2 => {
                let (name, anchor) = OF_TOKENS[self.pick(OF_TOKENS.len())];
                format!("{name}({}{anchor})", self.real(Shape::Token, depth))
            }
            3..=5 => {
                let (name, anchor) = OF_SEQUENCES[self.pick(OF_SEQUENCES.len())];
                let group = ["", "", ", group = rollout"][self.pick(3)];
                let group = if name == "group_rank" { "" } else { group };
                format!("{name}({}{anchor}{group})", self.real(Shape::Seq, depth))
            }
            6 => "segment_count(by = turn)".to_owned(),
            _ => format!("seq_mean({})", self.truth(Shape::Token, depth)),
        }
    }
}
