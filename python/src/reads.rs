//! What a program reads of the policy's rows.

use aent::program::Op;
use aent::rows::Statistic;

/// What a program reads of the policy's rows.
pub(crate) struct Reads {
    pub(crate) log_prob: bool,
    /// More than `log_prob`.
    pub(crate) rows: bool,
    pub(crate) actions: bool,
}

impl Reads {
    pub(crate) fn of(program: &aent::Program) -> Self {
        let any = |what: &dyn Fn(&Op) -> bool| program.nodes.iter().any(|node| what(&node.op));
        Self {
            log_prob: any(&|op| matches!(op, Op::LogProb(_))),
            rows: any(&|op| matches!(op, Op::Row(_))),
            actions: any(&|op| matches!(op, Op::Row(row) if row.statistic == Statistic::ActionLogit)),
        }
    }
}
