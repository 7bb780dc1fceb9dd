//! Cuts of a step in every kind of numbers, measured first or with counts that the caller gives.

use crate::generate::{Manner, choices, program};
use crate::run::{Numbers, in_parts, leaves_in, session, whole_in};
use crate::{check, compiled, cut_at, extent, kinds};
use aent::plan::{FirstPass, Need, Plan};
use aent::testing::{Case, Leaves, distance, smooth};
use aent::{Counts, Session};
use proptest::prelude::*;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use tch::Kind;

/// How far sums in another order may be apart; a gradient in bf16 is rounded once more.
fn tolerance(kind: Kind) -> f64 {
    match kind {
        Kind::Double => 1e-7,
        Kind::Float => 1e-3,
        _ => 1e-2,
    }
}

fn leaves_of(parts: &[(usize, Case)], kind: Kind) -> Vec<(usize, Leaves)> {
    parts.iter().map(|(start, part)| (*start, leaves_in(part, kind))).collect()
}

#[track_caller]
fn agree(found: &Numbers, expected: &Numbers, kind: Kind, text: &str) {
    if let Some(difference) = found.difference(expected, tolerance(kind)) {
        panic!("{kind:?}\n{text}\n{difference}");
    }
}

/// Everything that a caller can count of a case.
fn counts(case: &Case, session: &Session) -> Counts {
    let valid: Vec<usize> = (0..case.sequences).filter(|sequence| case.is_valid(*sequence)).collect();
    let groups: BTreeSet<i64> = valid.iter().map(|sequence| case.group[*sequence]).collect();
    let grouped = session.program().requires().into_iter().filter_map(|of| of.field);
    Counts {
        tokens: Some(case.mask.iter().filter(|counts| **counts).count() as i64),
        sequences: Some(valid.len() as i64),
        width: Some(case.width as i64),
        groups: grouped.map(|field| (field, groups.len() as i64)).collect(),
    }
}

/// The case with the samples of each group next to one another, and where each group ends.
fn by_group(case: &Case) -> (Case, Vec<usize>) {
    let mut order: Vec<usize> = (0..case.sequences).collect();
    order.sort_by_key(|sequence| case.group[*sequence]);
    let rows: Vec<Case> = order.iter().map(|sequence| case.part(*sequence..sequence + 1)).collect();
    let mut sorted = rows[0].clone();
    for row in &rows[1..] {
        sorted.sequences += 1;
        sorted.logits.extend(&row.logits);
        sorted.ref_logits.extend(&row.ref_logits);
        sorted.actions.extend(&row.actions);
        sorted.mask.extend(&row.mask);
        sorted.rewards.extend(&row.rewards);
        sorted.group.extend(&row.group);
        sorted.turn.extend(&row.turn);
        for ((_, values), (_, more)) in sorted.tokens.iter_mut().zip(&row.tokens) {
            values.extend(more);
        }
    }
    let ends = (1..sorted.sequences).filter(|at| sorted.group[*at] != sorted.group[at - 1]).collect();
    (sorted, ends)
}

#[test]
fn any_cut_gives_the_step_of_the_whole_in_every_kind() {
    let cuts = proptest::collection::vec(any::<bool>(), 4);
    let full = any::<prop::sample::Index>();
    check(300, (choices(), smooth(extent()), cuts, full, kinds()), |(choices, case, cuts, full, kind)| {
        let text = program(&choices, Manner::Tame);
        let session = session(compiled(&text));
        let expected = whole_in(&session, &case, kind).unwrap();
        let leaves = leaves_of(&cut_at(&case, &cuts, full), kind);
        let found = in_parts(session.accumulate(), &case, &leaves, true, tolerance(kind));
        agree(&found.unwrap_or_else(|error| panic!("{error}\nin\n{text}")), &expected, kind, &text);
    });
}

#[test]
fn a_share_with_counts_is_final_and_what_is_required_says_what_must_be_counted() {
    let seen = Cell::new([0; 3]);
    let cuts = proptest::collection::vec(any::<bool>(), 4);
    let full = any::<prop::sample::Index>();
    check(500, (choices(), smooth(extent()), cuts, full, kinds()), |(choices, case, cuts, full, kind)| {
        let text = program(&choices, Manner::Tame);
        let session = session(compiled(&text));
        let requires = session.program().requires();
        let needs: BTreeSet<Need> = requires.iter().map(|of| of.need).collect();
        let spans = needs.contains(&Need::Fields) || needs.contains(&Need::WholeStep);
        let of_groups = needs.contains(&Need::Groups);
        // What is required is what the plan looks at first.
        let first_pass = session.plan().first_pass;
        assert_eq!(first_pass == FirstPass::Counts, !spans && !of_groups, "{text}\n{requires:?}");
        assert!(first_pass == FirstPass::Model || !needs.contains(&Need::WholeStep), "{text}\n{requires:?}");
        let fields: BTreeSet<String> = requires.iter().filter_map(|of| of.field.clone()).collect();
        let grouped = Plan::with_groups(session.program(), true, &fields).first_pass;
        assert_eq!(grouped == FirstPass::Counts, !spans, "{text}\n{requires:?}");

        let (case, ends) = if of_groups { by_group(&case) } else { (case, Vec::new()) };
        let counts = counts(&case, &session);
        let begun = session.accumulate().with_counts(counts.clone());
        if spans {
            seen.set([seen.get()[0] + 1, seen.get()[1], seen.get()[2]]);
            assert!(begun.unwrap_err().to_string().contains("`measure` the parts"), "{text}");
            return;
        }
        // Without groups any cut will do, with them those between groups.
        let cut = |at: usize| cuts[at - 1] && (!of_groups || ends.contains(&at));
        let cuts: Vec<bool> = (1..5).map(|at| at < case.sequences && cut(at)).collect();
        let expected = whole_in(&session, &case, kind).unwrap();
        let parts = cut_at(&case, &cuts, full);
        let leaves = leaves_of(&parts, kind);
        let found = in_parts(begun.unwrap(), &case, &leaves, false, tolerance(kind));
        let found = found.unwrap_or_else(|error| panic!("{error}\nin\n{text}"));
        agree(&found, &expected, kind, &text);
        let [refused, plain, groups] = seen.get();
        seen.set([refused, plain + i32::from(!of_groups), groups + i32::from(of_groups)]);

        // An engine that divides by the number of parts gets the same gradients for its own number.
        let number = parts.len() as f64;
        let mut step = session.accumulate().with_counts(counts).unwrap().scaled(number).unwrap();
        let mut sum = 0.0;
        for (_, part) in &leaves_of(&parts, kind) {
            sum += step.forward(&part.batch).unwrap().loss().f64_at(&[]).unwrap() / number;
        }
        assert!(distance(&[sum], &[expected.loss]) <= tolerance(kind) || sum.is_nan(), "{text}");
    });
    let [refused, plain, groups] = seen.get();
    assert!(
        refused > 40 && plain > 40 && groups > 10,
        "{refused} refused, {plain} by counts, {groups} by groups"
    );
}

#[test]
fn the_counts_that_a_program_requires_are_enough() {
    check(200, (choices(), smooth(extent()), any::<prop::sample::Index>()), |(choices, case, full)| {
        let text = program(&choices, Manner::Tame);
        let session = Session::new(compiled(&text));
        let needs: BTreeSet<Need> = session.program().requires().iter().map(|of| of.need).collect();
        if needs.iter().any(|need| *need > Need::Width) {
            return;
        }
        let all = counts(&case, &session);
        let only = |need, count: Option<i64>| count.filter(|_| needs.contains(&need));
        let counts = Counts {
            tokens: only(Need::Tokens, all.tokens),
            sequences: only(Need::Sequences, all.sequences),
            width: only(Need::Width, all.width),
            groups: BTreeMap::new(),
        };
        let leaves = leaves_of(&cut_at(&case, &[true; 4], full), Kind::Double);
        let step = session.accumulate().with_counts(counts).unwrap();
        let found = in_parts(step, &case, &leaves, false, 1e-7).unwrap();
        agree(&found, &whole_in(&session, &case, Kind::Double).unwrap(), Kind::Double, &text);
    });
}
