//! The statements of a generated program.

use super::Writer;
use crate::vocabulary::{BOOLS, INPUTS, REALS, SHAPES, Shape, TERMS};

impl Writer<'_> {
    pub(super) fn program(&mut self) {
        self.reals = REALS.map(|(name, shape)| (name.to_owned(), shape)).to_vec();
        self.bools = BOOLS.map(|(name, shape)| (name.to_owned(), shape)).to_vec();
        self.statements.push("edition 1\nimport \"std/kl.aent\" as divergence".to_owned());
        self.statements.push("import \"std/averages.aent\"".to_owned());
        self.statements.push(INPUTS.to_owned());
        if self.pick(5) == 1 {
            self.statements.push("let advantages = returns - seq_mean(returns) + 0 * scale".to_owned());
        }
        match self.pick(7) {
            1 => self.statements.push("set temperature = 0.7".to_owned()),
            2 => self.statements.push("param heat = 1.5 in 0.1 .. 10\nset temperature = heat".to_owned()),
            3 => self.statements.push("input warmth: seq\nset temperature = warmth".to_owned()),
            4 => self.statements.push("input warm_tokens: token\nset temperature = warm_tokens".to_owned()),
            5 => self.statements.push(
                "controller warming = linear(from = 0.5, to = 2, steps = 3)\nset temperature = 1.5 * warming"
                    .to_owned(),
            ),
            _ => {}
        }
        for number in 0..self.pick(7) {
            self.statement(number);
        }
        let loss = self.loss();
        if self.pick(4) == 1 {
            let critic = self.total("(values - returns) ^ 2");
            self.statements.push(format!("loss policy = {loss}\nloss critic = {critic}"));
        } else {
            self.statements.push(format!("loss = {loss}"));
        }
        for number in 0..self.pick(4) {
            let kind = if self.pick(3) == 0 { self.counted() } else { self.real(Shape::Scalar, 3) };
            self.statements.push(format!("metric m{number} = {kind}"));
        }
        if self.pick(3) == 1 {
            let value = self.real(Shape::Scalar, 2);
            self.statements.push(format!("assert {value} < scale + 0.5, \"it \\\"grows\\\"\""));
        }
    }

    fn statement(&mut self, number: usize) {
        match self.pick(9) {
            0 | 1 => {
                let shape = SHAPES[self.pick(3)];
                let value = self.real(shape, 3);
                self.statements.push(format!("let x{number} = {value}"));
                self.reals.push((format!("x{number}"), shape));
            }
            2 => {
                let shape = SHAPES[self.pick(3)];
                let value = self.truth(shape, 3);
                self.statements.push(format!("let b{number} = {value}"));
                self.bools.push((format!("b{number}"), shape));
            }
            3 => {
                let (call, extras) = TERMS[self.pick(TERMS.len())];
                self.statements.push(format!("let t{number} = {call}"));
                self.reals.push((format!("t{number}"), Shape::Token));
                self.extras
                    .extend(extras.iter().map(|(extra, is_bool)| (format!("t{number}.{extra}"), *is_bool)));
            }
            4 => {
                let value = ["0.25", "-1.5", "30%", "1e-3", "1_0"][self.pick(5)];
                self.statements.push(format!("param p{number} = {value} in -2 .. 10"));
                self.reals.push((format!("p{number}"), Shape::Scalar));
            }
            5 => {
                let shape = SHAPES[self.pick(3)];
                self.locals = vec![("a".to_owned(), shape), ("k".to_owned(), Shape::Scalar)];
                let body = self.real(shape, 2);
                let default = ["0.5", "scale", "token_mean(returns)"][self.pick(3)];
                self.locals.clear();
                self.statements.push(format!("fn f{number}(a, k = {default}) = {body} + a * k"));
                self.functions.push((format!("f{number}"), shape));
            }
            6 => {
                let shape = SHAPES[self.pick(3)];
                self.locals = vec![("a".to_owned(), shape)];
                let (first, body) = (self.real(shape, 2), self.real(shape, 2));
                let extra = self.truth(shape, 2);
                self.locals.clear();
                self.statements.push(format!(
                    "fn g{number}(a, k = 0.5) {{\n    let b = {first}\n    extra high = {extra} or b > 0.0371\n    return {body} + b * k\n}}"
                ));
                self.functions.push((format!("g{number}"), shape));
                let anchor = self.anchor(shape);
                self.statements.push(format!("let s{number} = g{number}({anchor})"));
                self.reals.push((format!("s{number}"), shape));
                self.bools.push((format!("s{number}.high"), shape));
            }
            7 => {
                let (text, name, value) = [
                    (
                        "param w{number} = \"near\" in \"near\", \"far\"",
                        "v{number}",
                        "where(w{number} == \"far\", 2, 0.5)",
                    ),
                    ("param w{number} = true", "v{number}", "where(w{number}, returns, scale)"),
                    ("param w{number} = 0.5", "v{number}", "w{number} / (step + 1)"),
                    ("param w{number} = 0.5", "v{number}", "w{number} * tanh(divergence.k2(ref_log_prob))"),
                ][self.pick(4)];
                let shape = if value.contains("returns") || value.contains("ref_log_prob") {
                    Shape::Token
                } else {
                    Shape::Scalar
                };
                let write = |text: &str| text.replace("{number}", &number.to_string());
                self.statements.push(format!("{}\nlet {} = {}", write(text), write(name), write(value)));
                self.reals.push((write(name), shape));
            }
            _ => {
                let signal = self.real(Shape::Scalar, 3);
                let call = match self.pick(5) {
                    0 => "constant(value = 0.05)".to_owned(),
                    1 => "linear(from = 1e-2, to = 1e-3, steps = 5)".to_owned(),
                    2 => "cosine(from = 1e-2, to = 1e-3, steps = 5)".to_owned(),
                    3 => format!("template::step(signal = {signal}, target = 0.2)"),
                    _ => format!("band(signal = {signal}, target = 0.05 .. 0.2, step = 1e-2)"),
                };
                self.statements.push(format!("controller c{number} = {call}"));
                self.reals.push((format!("c{number}"), Shape::Scalar));
                let moved = [
                    "clip_ppo(high = 0.1 + clamp({c}, 0, 0.5))",
                    "clamped_entropy(top_k = clamp(10 * {c}, 1, 4))",
                    "clamped_entropy(top_p = clamp(0.3 + {c} + step / 9, 0.3, 0.9))",
                    "kl(output_clamp = clamp({c}, 0.5, 3))",
                ];
                if let Some(term) = moved.get(self.pick(8)) {
                    let term = term.replace("{c}", &format!("c{number}"));
                    self.statements.push(format!("let w{number} = {term}"));
                    self.reals.push((format!("w{number}"), Shape::Token));
                }
            }
        }
    }

    /// A loss that depends on the policy, of every shape that decides what a first pass has to see.
    fn loss(&mut self) -> String {
        let policy = ["log_prob", "entropy()", "clip_ppo()", "kl()"][self.pick(4)];
        let weight = ["weight", "1", "old_values"][self.pick(3)];
        let first = self.total(&format!("{policy} * {weight}"));
        let second = self.real(Shape::Token, 4);
        let second = self.total(&second);
        match self.pick(6) {
            0 | 1 => format!("{first} + {second}"),
            2 => format!("{first} + 0.5 * {second} - scale * {}", self.total("log_prob")),
            3 => format!("tanh({first}) * {second} + {first}"),
            4 => {
                let spread = ["rewards", "score"][self.pick(2)];
                let advantage = format!("({spread} - group_mean({spread})) / (group_std({spread}) + 0.1)");
                format!("{first} - token_mean(log_prob * {advantage}) + {second}")
            }
            _ => format!("{first} + {}", self.real(Shape::Scalar, 4)),
        }
    }
}
