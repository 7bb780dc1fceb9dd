//! The canonical text of a plan: one line per node, to read beside the program's own.

use super::{FirstPass, NodePlan, Plan, Share};
use std::fmt;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "first pass: {}", self.first_pass.as_str())?;
        if let Some(row) = &self.log_prob {
            writeln!(f, "asks for {row}, unless the batch brings log_prob")?;
        }
        for row in &self.rows {
            writeln!(f, "asks for {row}")?;
        }
        for (index, node) in self.nodes.iter().enumerate() {
            writeln!(f, "%{index} {node}")?;
        }
        Ok(())
    }
}

impl fmt::Display for NodePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.share {
            Share::Fixed => "fixed",
            Share::Local => "local",
            Share::Partial => "partial",
            Share::Whole => "whole",
        })?;
        for (holds, word) in [
            (self.from_model, "from the model"),
            (self.of_loss, "of the loss"),
            (self.tracked, "tracked"),
            (self.looked_first, "looked first"),
            (!self.needed, "not needed"),
        ] {
            if holds {
                write!(f, ", {word}")?;
            }
        }
        Ok(())
    }
}

impl FirstPass {
    /// `counts`, `fields` or `model`.
    pub fn as_str(self) -> &'static str {
        match self {
            FirstPass::Counts => "counts",
            FirstPass::Fields => "fields",
            FirstPass::Model => "model",
        }
    }
}
