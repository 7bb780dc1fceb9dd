//! Along a sequence: what adds up from either end, places and lengths, and V-trace.

use crate::judge::{LIBRARY, Sheet, judge, sum};
use crate::session;
use aent::compile;
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

/// The inputs of V-trace.
#[derive(Clone, Copy)]
struct Told {
    gamma: f64,
    rho_bar: f64,
    c_bar: f64,
    lam: fn(&Sheet<'_>, usize) -> f64,
    dense: fn(&Sheet<'_>, usize) -> f64,
}

const PLAIN: Told = Told { gamma: 1.0, rho_bar: 1.0, c_bar: 1.0, lam: |_, _| 1.0, dense: |_, _| 0.0 };

impl Told {
    /// The target at a place of a row, as the sum of surprises that the paper's equation 1 writes.
    fn target(&self, sheet: &Sheet<'_>, row: &[usize], place: usize) -> f64 {
        let ratio = |at: usize| sheet.held_ratio(at);
        let value = |place: usize| row.get(place).map_or(0.0, |at| sheet.get("values", *at));
        let surprise = |place: usize| {
            let weight = ratio(row[place]).min(self.rho_bar);
            weight * (self.reward(sheet, row, place) + self.gamma * value(place + 1) - value(place))
        };
        let trace = |place: usize| ratio(row[place]).min(self.c_bar) * (self.lam)(sheet, row[place]);
        let later = (place..row.len()).map(|later| {
            let passed: f64 = (place..later).map(trace).product();
            self.gamma.powi((later - place) as i32) * passed * surprise(later)
        });
        value(place) + later.sum::<f64>()
    }

    fn reward(&self, sheet: &Sheet<'_>, row: &[usize], place: usize) -> f64 {
        let last = place + 1 == row.len();
        let outcome = if last { sheet.case.rewards[row[0] / sheet.case.width] } else { 0.0 };
        (self.dense)(sheet, row[place]) + outcome
    }

    fn advantage(&self, sheet: &Sheet<'_>, row: &[usize], place: usize) -> f64 {
        let next = if place + 1 < row.len() { self.target(sheet, row, place + 1) } else { 0.0 };
        let gain = self.reward(sheet, row, place) + self.gamma * next - sheet.get("values", row[place]);
        sheet.held_ratio(row[place]).min(self.rho_bar) * gain
    }
}

#[test]
fn v_trace_is_the_sum_of_truncated_surprises() {
    let token_lam = |sheet: &Sheet<'_>, at: usize| sheet.advantage(at).abs().min(1.0);
    let dense = |sheet: &Sheet<'_>, at: usize| -0.1 * sheet.get("returns", at);
    for (args, told) in [
        ("", PLAIN),
        (
            "gamma = 0.9, rho_bar = 1.3, c_bar = 0.8, lam = 0.7",
            Told { gamma: 0.9, rho_bar: 1.3, c_bar: 0.8, lam: |_, _| 0.7, ..PLAIN },
        ),
        (
            "rho_bar = 100, c_bar = 100, lam = abs(advantages), token_rewards = -0.1 * returns",
            Told { rho_bar: 100.0, c_bar: 100.0, lam: token_lam, dense, ..PLAIN },
        ),
    ] {
        judge(&format!("vtrace({args})"), |sheet| {
            placed(sheet, |row, place| told.advantage(sheet, row, place))
        });
        judge(&format!("vtrace({args}).returns"), |sheet| {
            placed(sheet, |row, place| told.target(sheet, row, place))
        });
        judge(&format!("vtrace({args}).clipped"), |sheet| {
            sheet.tokens(|at| f64::from(sheet.held_ratio(at) > told.rho_bar))
        });
    }
    // A value that is undefined at every masked position does no harm.
    judge(
        &format!("vtrace(values = values * {SIGN}, old_log_prob = old_log_prob * {SIGN} * {SIGN})"),
        |sheet| {
            let signed = sheet.tokens(|at| sheet.get("values", at) * sheet.advantage(at).signum());
            let case = sheet.case.clone().with_token("values", signed);
            placed(sheet, |row, place| PLAIN.advantage(&Sheet { case: &case, ..*sheet }, row, place))
        },
    );
}

#[test]
fn v_trace_of_one_policy_is_gae() {
    for (args, extra) in [("gamma = 0.9, lam = 0.8", ".returns"), ("gamma = 0.9", "")] {
        let expr = format!(
            "vtrace({args}, old_log_prob = log_prob, rho_bar = 2){extra} - gae({args}, old_values = values){extra}"
        );
        judge(&expr, |sheet| sheet.tokens(|_| 0.0));
    }
}

#[test]
fn a_critic_learns_from_v_trace() {
    let session = session(&format!(
        "{LIBRARY}\nlet trace = vtrace(lam = 0.9)\n\
         loss = -token_mean(log_prob * trace) + token_mean(squared_value(trace.returns))"
    ));
    // Targets are constants, so the gradient is that of the square alone.
    for case in sample(&smooth(Extent::exactly(2, 3, 4)), 5) {
        let found = aent::testing::Outcome::of(&session, &case, tch::Kind::Double).unwrap();
        let held: Vec<f64> = crate::reference::per_token(&case, |at| crate::reference::logp(&case, at));
        let sheet = Sheet { case: &case, x: &held, held: &held };
        let told = Told { lam: |_, _| 0.9, ..PLAIN };
        let tokens = sheet.all().len() as f64;
        let expected = placed(&sheet, |row, place| {
            (sheet.get("values", row[place]) - told.target(&sheet, row, place)) / tokens
        });
        crate::assert_near(&found.values_gradient, &expected, 1e-12, "the critic's gradient");
    }
}

#[test]
fn a_trace_beyond_the_weight_is_refused() {
    let failure = compile("loss = token_mean(log_prob * vtrace(c_bar = 2))").unwrap_err().to_string();
    for words in ["argument-value", "`c_bar` of at most `rho_bar`, 1, found 2"] {
        assert!(failure.contains(words), "{failure}");
    }
    compile("loss = token_mean(log_prob * vtrace(rho_bar = 2, c_bar = 2))").unwrap();
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
