//! Formulas that are truth values.

use super::Writer;
use crate::vocabulary::Shape;

impl Writer<'_> {
    /// A truth value of at most that shape.
    pub(super) fn truth(&mut self, shape: Shape, depth: usize) -> String {
        let fits = |(_, of): &&(String, Shape)| *of <= shape;
        let names: Vec<String> = self.bools.iter().filter(fits).map(|(name, _)| name.clone()).collect();
        if depth == 0 {
            return if self.pick(6) == 1 { "true".to_owned() } else { names[self.pick(names.len())].clone() };
        }
        let next = depth - 1;
        match self.pick(9) {
            0 | 1 => names[self.pick(names.len())].clone(),
            2 | 3 => {
                let op = ["<", "<=", ">", ">=", "!=", "=="][self.pick(6)];
                let shift = if self.tame() { " + 0.0371" } else { "" };
                format!("({} {op} {}{shift})", self.real(shape, next), self.real(shape, next))
            }
            4 => {
                let op = ["and", "or"][self.pick(2)];
                format!("({} {op} {})", self.truth(shape, next), self.truth(shape, next))
            }
            5 => format!("(not {})", self.truth(shape, next)),
            6 if shape != Shape::Scalar => {
                let (x, anchor) = (self.real(shape, next), self.anchor(shape));
                format!("top_fraction({x} + {anchor}, {})", ["0.5", "20%", "0", "1"][self.pick(4)])
            }
            7 if shape == Shape::Token => {
                let extras: Vec<String> = self
                    .extras
                    .iter()
                    .filter(|(_, is_bool)| *is_bool)
                    .map(|(name, _)| name.clone())
                    .collect();
                if extras.is_empty() {
                    "clip_ppo().clipped".to_owned()
                } else {
                    extras[self.pick(extras.len())].clone()
                }
            }
            _ => format!(
                "where({}, {}, {})",
                self.truth(shape, next),
                self.truth(shape, next),
                self.truth(shape, next)
            ),
        }
    }
}
