//! The values of the synthetic problem's figure in the AEnt paper, measured from its pixels (within 0.002 in reward).

/// A row of the figure: the mean reward at the last step, if it is drawn, and the gains over no bonus.
pub(super) struct Published {
    /// The number of optimal actions.
    pub(super) n: i64,
    /// The final reward without an entropy term.
    pub(super) none: Option<f64>,
    /// The gain of the full entropy bonus.
    pub(super) full: f64,
    /// The gain of the clamped entropy bonus.
    pub(super) clamped: f64,
}

/// The figure's four numbers of optimal actions.
pub(super) const PUBLISHED: [Published; 4] = [
    Published { n: 15, none: Some(0.24), full: 0.12, clamped: 0.56 },
    Published { n: 10, none: Some(0.20), full: 0.12, clamped: 0.40 },
    Published { n: 5, none: None, full: 0.00, clamped: 0.24 },
    Published { n: 1, none: Some(0.20), full: 0.00, clamped: 0.24 },
];

/// The published gain of a spec at `n` optimal actions.
pub(super) fn gain(spec: &str, n: i64) -> Option<f64> {
    let row = PUBLISHED.iter().find(|row| row.n == n)?;
    match spec {
        super::FULL => Some(row.full),
        super::CLAMPED => Some(row.clamped),
        _ => None,
    }
}

/// The published final reward of a spec at `n` optimal actions.
pub(super) fn reward(spec: &str, n: i64) -> Option<f64> {
    let none = PUBLISHED.iter().find(|row| row.n == n)?.none?;
    if spec == super::NONE { Some(none) } else { Some(none + gain(spec, n)?) }
}
