//! Losses of a critic.

use crate::judge::{LIBRARY, judge, mean};
use crate::session;
use aent::testing::{Extent, gradient_matches_differences, sample, smooth};

#[test]
fn the_squared_error_is_half_the_square() {
    judge("detach(squared_value())", |sheet| {
        sheet.tokens(|at| 0.5 * (sheet.get("values", at) - sheet.get("returns", at)).powi(2))
    });
}

#[test]
fn the_huber_loss_is_linear_beyond_its_delta() {
    for delta in [0.5, 10.0] {
        judge(&format!("detach(huber_value({delta}))"), |sheet| {
            sheet.tokens(|at| {
                let error = (sheet.get("values", at) - sheet.get("returns", at)).abs();
                if error <= delta { 0.5 * error * error } else { delta * (error - 0.5 * delta) }
            })
        });
    }
}

#[test]
fn critics_have_the_gradient_of_their_losses() {
    for loss in ["squared_value()", "huber_value(0.5)", "squared_value(gae().returns)"] {
        let session = session(&format!("{LIBRARY}\nloss = token_mean(log_prob) + token_mean({loss})"));
        for case in sample(&smooth(Extent { sequences: 1..=3, width: 1..=4, vocabulary: 2..=4 }), 10) {
            gradient_matches_differences(&session, &case).unwrap();
        }
    }
}

#[test]
fn explained_variance_is_one_less_the_share_that_is_left() {
    judge("explained_variance()", |sheet| {
        let all = sheet.all();
        let spread = |of: &dyn Fn(usize) -> f64| {
            let middle = mean(&all, of);
            mean(&all, |at| (of(at) - middle).powi(2))
        };
        let target = |at: usize| sheet.get("returns", at);
        let left = |at: usize| sheet.get("returns", at) - sheet.get("old_values", at);
        vec![1.0 - spread(&left) / spread(&target).max(1e-8)]
    });
}
