//! Along a sequence: what adds up from either end, places and lengths.

use crate::judge::{Sheet, judge, sum};
use crate::session;
use aent::testing::{Extent, gradient_matches_differences, sample, smooth};

/// Of each valid token, a number from its place in its sequence's row of valid tokens.
fn placed(sheet: &Sheet<'_>, of: impl Fn(&[usize], usize) -> f64) -> Vec<f64> {
    sheet.tokens(|at| {
        let row = sheet.row_of(at);
        let place = row.iter().position(|other| *other == at).expect("a valid token is in its row");
        of(&row, place)
    })
}

/// 1 or -1, and undefined at every masked position.
const SIGN: &str = "(advantages / abs(advantages))";

#[test]
fn values_add_up_from_the_start() {
    judge("cumsum(log_prob * advantages)", |sheet| {
        placed(sheet, |row, place| sum(&row[..=place], |at| sheet.x[at] * sheet.advantage(at)))
    });
    judge(&format!("cumsum(log_prob * {SIGN}) * {SIGN}"), |sheet| {
        let sign = |at: usize| sheet.advantage(at).signum();
        placed(sheet, |row, place| sign(row[place]) * sum(&row[..=place], |at| sheet.x[at] * sign(at)))
    });
    judge("exp(cumsum(log_prob - old_log_prob))", |sheet| {
        placed(sheet, |row, place| sum(&row[..=place], |at| sheet.moved(at)).exp())
    });
}

#[test]
fn values_add_up_from_the_end_with_a_discount() {
    for (args, discount) in [("", 1.0_f64), (", discount = 0.9", 0.9), (", discount = 0", 0.0)] {
        let behind = |row: &[usize], place: usize, of: &dyn Fn(usize) -> f64| -> f64 {
            (place..row.len()).map(|later| discount.powi((later - place) as i32) * of(row[later])).sum()
        };
        judge(&format!("reverse_cumsum(log_prob * advantages{args})"), |sheet| {
            placed(sheet, |row, place| behind(row, place, &|at| sheet.x[at] * sheet.advantage(at)))
        });
        judge(&format!("reverse_cumsum(log_prob * {SIGN}{args}) * {SIGN}"), |sheet| {
            let sign = |at: usize| sheet.advantage(at).signum();
            placed(sheet, |row, place| sign(row[place]) * behind(row, place, &|at| sheet.x[at] * sign(at)))
        });
    }
}

#[test]
fn sums_along_a_sequence_have_the_gradient_of_their_value() {
    // The value of the critic is another leaf, and a loss of whole sequences another way back.
    let session = session(
        "loss = token_mean(cumsum(values * log_prob)^2) + token_mean(entropy * reverse_cumsum(values, discount = 0.7))
              + batch_mean(seq_max(reverse_cumsum(log_prob)) * seq_std(cumsum(values)))",
    );
    for case in sample(&smooth(Extent { sequences: 1..=3, width: 2..=5, vocabulary: 2..=4 }), 15) {
        gradient_matches_differences(&session, &case).unwrap();
    }
}

#[test]
fn the_return_of_dense_rewards_is_that_of_gae_without_a_critic() {
    judge(
        "reverse_cumsum(advantages, discount = 0.9) - gae(rewards = 0, old_values = 0, token_rewards = advantages, gamma = 0.9)",
        |sheet| sheet.tokens(|_| 0.0),
    );
}

#[test]
fn tokens_have_a_place_and_sequences_a_length() {
    for expr in ["position", "position()"] {
        judge(expr, |sheet| placed(sheet, |_, place| place as f64));
    }
    for expr in ["length", "length()"] {
        judge(expr, |sheet| sheet.sequences(|row| row.len() as f64));
    }
    judge("position == length - 1", |sheet| placed(sheet, |row, place| f64::from(place + 1 == row.len())));
    judge("0.9 ^ position * log_prob", |sheet| {
        placed(sheet, |row, place| 0.9_f64.powi(place as i32) * sheet.x[row[place]])
    });
    judge(&format!("position * {SIGN}"), |sheet| {
        placed(sheet, |row, place| place as f64 * sheet.advantage(row[place]).signum())
    });
}

#[test]
fn gae_takes_one_lambda_per_token() {
    judge("gae(gamma = 0.9, lam = abs(advantages))", |sheet| {
        // The sum of later surprises, each through the lambdas between.
        let value = |at: Option<&usize>| at.map_or(0.0, |at| sheet.get("old_values", *at));
        placed(sheet, |row, place| {
            let surprise = |place: usize| {
                let last = place + 1 == row.len();
                let outcome = if last { sheet.case.rewards[row[0] / sheet.case.width] } else { 0.0 };
                outcome + 0.9 * value(row.get(place + 1)) - value(row.get(place))
            };
            let passed = |later: usize| -> f64 {
                row[place..later].iter().map(|at| 0.9 * sheet.advantage(*at).abs().min(1.0)).product()
            };
            (place..row.len()).map(|later| passed(later) * surprise(later)).sum()
        })
    });
}
