//! Losses that fit the log-ratio of a whole sequence.

use crate::judge::{Sheet, judge, mean, sum};
use crate::reference::group_mean_and_std;

fn reward(sheet: &Sheet<'_>, row: &[usize]) -> f64 {
    sheet.case.rewards[row[0] / sheet.case.width]
}

#[test]
fn sppo_fits_the_log_ratio_to_the_reward() {
    judge("sppo(eta = 0.5)", |sheet| {
        sheet.sequences(|row| (sum(row, |at| sheet.moved(at)) - 0.5 * reward(sheet, row)).powi(2))
    });
}

#[test]
fn gvpo_fits_the_centred_log_ratio_to_the_advantage() {
    judge("gvpo(0.3)", |sheet| {
        let held = Sheet { x: sheet.held, ..*sheet };
        let ratios = held.sequences(|row| 0.3 * sum(row, |at| held.moved(at)));
        let (means, _) = group_mean_and_std(sheet.case, &ratios);
        sheet.sequences(|row| {
            let centre = means[row[0] / sheet.case.width];
            let gap = 0.3 * sum(row, |at| sheet.moved(at)) - centre - mean(row, |at| sheet.advantage(at));
            gap.powi(2) / 2.0
        })
    });
}

#[test]
fn a2po_fits_the_log_ratio_to_what_the_reward_has_over_its_value() {
    judge("a2po(value = 0.25, beta = 0.1)", |sheet| {
        sheet.sequences(|row| {
            let ratio = sum(row, |at| sheet.x[at] - sheet.get("ref_log_prob", at));
            (0.1 * ratio - (reward(sheet, row) - 0.25)).powi(2)
        })
    });
}

#[test]
fn flowrl_fits_the_policy_to_the_tilted_reference() {
    judge("flowrl(log_z = 0.5, beta = 2)", |sheet| {
        sheet.sequences(|row| {
            let held = sum(row, |at| sheet.held[at] - sheet.get("old_log_prob", at));
            let gap = mean(row, |at| sheet.x[at] - sheet.get("ref_log_prob", at));
            held.exp().min(10.0) * (0.5 + gap - 2.0 * reward(sheet, row)).powi(2)
        })
    });
}
