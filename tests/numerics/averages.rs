//! Averages that are made of others.

use crate::judge::{LIBRARY, Sheet, judge, sum};
use crate::reference::valid;
use aent::plan::FirstPass;

/// The valid tokens of each prompt.
fn prompts(sheet: &Sheet<'_>) -> Vec<Vec<usize>> {
    let case = sheet.case;
    let mut groups: Vec<i64> = valid(case).into_iter().map(|row| case.group[row]).collect();
    groups.sort_unstable();
    groups.dedup();
    let of =
        |group: &i64| sheet.all().into_iter().filter(|at| case.group[at / case.width] == *group).collect();
    groups.iter().map(of).collect()
}

#[test]
fn every_prompt_weighs_the_same() {
    judge("prompt_mean(log_prob * advantages)", |sheet| {
        let prompts = prompts(sheet);
        let mean =
            |tokens: &Vec<usize>| sum(tokens, |at| sheet.x[at] * sheet.advantage(at)) / tokens.len() as f64;
        vec![prompts.iter().map(mean).sum::<f64>() / prompts.len().max(1) as f64]
    });
    judge("prompts()", |sheet| vec![prompts(sheet).len() as f64]);
    // With the prompt in place of the rollout the two are one.
    judge("rollout_mean(log_prob * advantages, group) - prompt_mean(log_prob * advantages)", |_| vec![0.0]);
    judge("rollouts(group)", |sheet| vec![prompts(sheet).len() as f64]);
}

#[test]
fn a_mean_over_prompts_runs_the_model_once() {
    let program = aent::compile(&format!("{LIBRARY}\nloss = prompt_mean(clip_ppo())")).unwrap();
    assert_eq!(aent::Session::new(program).plan().first_pass, FirstPass::Fields);
}

#[test]
fn losses_of_sequences_are_weighted_by_their_length() {
    for expr in [
        "length_weighted_mean(seq_mean(log_prob) * rewards)",
        "token_mean(seq_mean(log_prob) * rewards) * token_sum(1) / max(batch_sum(1), 1)",
    ] {
        judge(expr, |sheet| {
            let losses = sheet.sequences(|row| {
                let reward = sheet.case.rewards[row[0] / sheet.case.width];
                row.len() as f64 * reward * sum(row, |at| sheet.x[at]) / row.len() as f64
            });
            vec![losses.iter().sum::<f64>() / valid(sheet.case).len().max(1) as f64]
        });
    }
}
