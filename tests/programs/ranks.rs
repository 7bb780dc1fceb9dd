//! Generated programs and the recipes over ranks that are threads.

use crate::generate::{Manner, choices, program};
use crate::run::{Numbers, cut, gather, leaves, whole};
use crate::{check, compiled, cut_at, extent, recipes};
use aent::testing::{Case, Extent, Leaves, distance, on_ranks, sample, smooth};
use aent::{Error, Output, ProcessGroup, Session};
use proptest::prelude::*;
use std::sync::Arc;

/// The parts of one rank, each with the row at which it begins.
type Parts = Vec<(usize, Case)>;

/// What a rank has when its step is done: its leaves, the sum of its shares, and what the step gave.
type Done = (Vec<(usize, Leaves)>, f64, Output);

fn stepped(
    session: &Session,
    parts: &[(usize, Case)],
    one: bool,
    group: Arc<dyn ProcessGroup>,
) -> Result<Done, Error> {
    let leaves: Vec<(usize, Leaves)> = parts.iter().map(|(start, part)| (*start, leaves(part))).collect();
    if one {
        let (share, output) = session.forward_over(&leaves[0].1.batch, group)?;
        share.backward()?;
        let sum = share.loss().f64_at(&[])?;
        return Ok((leaves, sum, output));
    }
    let mut step = session.accumulate().over(group)?;
    for (_, part) in &leaves {
        step.measure(&part.batch)?;
    }
    let mut sum = 0.0;
    for (_, part) in &leaves {
        let share = step.forward(&part.batch)?;
        sum += share.loss().f64_at(&[])?;
        share.backward()?;
    }
    let output = step.finish()?;
    Ok((leaves, sum, output))
}

/// One step over ranks, after which every rank must have been told the same.
fn spread(session: &Session, case: &Case, ranks: &[Parts]) -> Result<Numbers, Error> {
    let one = ranks.iter().all(|parts| parts.len() == 1);
    let done = on_ranks(ranks.len(), |group| stepped(session, &ranks[group.rank()], one, group));
    let done = done.into_iter().collect::<Result<Vec<Done>, Error>>()?;
    let leaves: Vec<_> =
        done.iter().flat_map(|(leaves, ..)| leaves.iter().map(|(start, of)| (*start, of))).collect();
    let told = done.iter().map(|(_, _, output)| gather(output, case, &leaves));
    let mut told = told.collect::<Result<Vec<Numbers>, Error>>()?;
    assert!(told.iter().all(|numbers| numbers.same_bits(&told[0])), "{told:?}");
    let sum: f64 = done.iter().map(|(_, share, _)| share).sum();
    assert!(
        distance(&[sum], &[told[0].loss]) < 1e-7,
        "the shares add up to {sum}, the loss is {}",
        told[0].loss
    );
    Ok(told.remove(0))
}

/// Deals parts out: one goes to the next rank where `turns` says so.
fn dealt(parts: Parts, turns: &[bool]) -> Vec<Parts> {
    let mut ranks: Vec<Parts> = vec![Vec::new()];
    for (index, part) in parts.into_iter().enumerate() {
        if index > 0 && turns[index - 1] {
            ranks.push(Vec::new());
        }
        let last = ranks.len() - 1;
        ranks[last].push(part);
    }
    ranks
}

#[test]
fn any_way_to_deal_a_step_out_gives_the_step_of_the_whole() {
    let bools = || proptest::collection::vec(any::<bool>(), 4);
    let full = any::<prop::sample::Index>();
    check(
        150,
        (choices(), smooth(extent()), bools(), bools(), full),
        |(choices, case, cuts, turns, full)| {
            let text = program(&choices, Manner::Tame);
            let session = Session::new(compiled(&text));
            let ranks = dealt(cut_at(&case, &cuts, full), &turns);
            let found = spread(&session, &case, &ranks).unwrap_or_else(|error| panic!("{error}\nin\n{text}"));
            if let Some(difference) = found.difference(&whole(&session, &case).unwrap(), 1e-7) {
                panic!("{:?} on {} ranks\n{text}\n{difference}", session.plan().first_pass, ranks.len());
            }
        },
    );
}

#[test]
fn ranks_observe_the_same_to_the_bit_and_what_the_whole_step_observes() {
    check(40, (choices(), smooth(extent()), any::<prop::sample::Index>()), |(choices, case, full)| {
        let text = program(&choices, Manner::Tame);
        let ranks = dealt(cut_at(&case, &[true; 4], full), &[true, false, true, true]);
        let found = on_ranks(ranks.len(), |group| {
            let mut session = Session::new(compiled(&text));
            for _ in 0..3 {
                let (.., output) =
                    stepped(&session, &ranks[group.rank()], false, Arc::clone(&group)).unwrap();
                session.update(&output).unwrap();
            }
            session.coefficients()
        });
        let mut one = Session::new(compiled(&text));
        for _ in 0..3 {
            let output = one.forward(&leaves(&case).batch).unwrap();
            one.update(&output).unwrap();
        }
        for (name, value) in one.coefficients() {
            let of = |rank: usize| found[rank][&name];
            assert!((of(0) - value).abs() < 1e-9, "{name}: {value} and {}\n{text}", of(0));
            assert!((1..ranks.len()).all(|rank| of(rank).to_bits() == of(0).to_bits()), "{name}\n{text}");
        }
    });
}

#[test]
fn every_recipe_gives_the_same_step_on_two_ranks() {
    let case = &sample(&smooth(Extent { sequences: 4..=4, width: 2..=4, vocabulary: 2..=6 }), 1)[0];
    let part = |start: usize, end: usize| (start, cut(case, start..end, case.width));
    for name in recipes::recipes() {
        let session = recipes::underway(&name, case, Session::new);
        let expected = whole(&session, case).unwrap();
        for ranks in
            [vec![vec![part(0, 1)], vec![part(1, 4)]], vec![vec![part(0, 1), part(1, 3)], vec![part(3, 4)]]]
        {
            let found = spread(&session, case, &ranks).unwrap_or_else(|error| panic!("{name}: {error}"));
            if let Some(difference) = found.difference(&expected, 1e-9) {
                panic!("{name}: {difference}");
            }
        }
    }
}
