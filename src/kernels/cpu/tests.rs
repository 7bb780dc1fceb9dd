//! Rows in memory of exactly their size, on each level of instructions, against the formulas in f64. What reads or writes behind a
//! row ends the test; Miri and the address sanitizer find the rest (`docs/reliability.md`).

use super::dispatch::at_each_level;
use super::number::Element;
use super::row::{Known, Line, Pair, Place, Scratch, Tokens, read, write_gradient};
#[cfg(not(miri))]
use crate::kernels::guarded::Guarded as Memory;
use crate::kernels::naive;
use crate::passes::{Pass, Plan, facts, sums};
use crate::rows::TokenSet;
use half::{bf16, f16};

const PASS: Pass = Pass { temperature: 1.0, divided: false, set: None, compares: None, beta: None };

/// Miri watches every access, and has no pages to close.
#[cfg(miri)]
type Memory<E> = Box<[E]>;

/// Around the lengths of a vector, of a chunk and of a block. Miri is slow, and has short blocks.
const LENGTHS: &[usize] =
    if cfg!(miri) { &[17, 70] } else { &[1, 2, 15, 16, 17, 31, 64, 100, 1023, 1024, 1025, 2065, 5000] };

/// What a kind rounds to, as parts of a number and of the terms' sizes, and the smallest number that is not rounded to zero.
struct Kind {
    least: f64,
    sums: f64,
    gradient: [f64; 3],
}

const F64: Kind = Kind { least: -708.0, sums: 1e-13, gradient: [2e-16, 1e-12, 1e-300] };
const F32: Kind = Kind { least: -87.33, sums: 2e-6, gradient: [1e-7, 4e-6, 1e-38] };
const BF16: Kind = Kind { gradient: [1.0 / 256.0, 4e-6, 1e-38], ..F32 };
const F16: Kind = Kind { gradient: [1.0 / 2048.0, 4e-6, 6e-8], ..F32 };

/// Whole numbers of some eighths, so that every kind has them, with ties; some tokens are banned.
fn row(length: usize, seed: u32) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    };
    let of = |at: usize, drawn: u32| match drawn % 11 {
        0 if at > 0 => f64::NEG_INFINITY,
        1 => 0.5,
        _ => f64::from(drawn / 11 % 129) / 8.0 - 8.0,
    };
    (0..length).map(|at| of(at, next())).collect()
}

/// A reference that bans what the row bans, and nothing else: the divergences are finite.
fn beside(row: &[f64], reference: Vec<f64>) -> Vec<f64> {
    let finite = |y: f64| if y.is_finite() { y } else { -3.25 };
    row.iter().zip(reference).map(|(x, y)| if x.is_finite() { finite(y) } else { *x }).collect()
}

fn memory<E: Element>(row: &[f64]) -> Memory<E> {
    use super::number::Real;
    let wide: Vec<E::Real> = row.iter().map(|x| E::Real::of(*x)).collect();
    let mut memory = Memory::from(vec![wide_zero::<E>(); row.len()]);
    for (block, to) in wide.chunks(super::number::BLOCK).zip(memory.chunks_mut(super::number::BLOCK)) {
        E::narrow(block, to);
    }
    memory
}

fn wide_zero<E: Element>() -> E {
    // SAFETY: all bits zero are the number zero in every kind of logits.
    unsafe { std::mem::zeroed() }
}

fn wide<E: Element>(row: &[E]) -> Vec<f64> {
    use super::number::Real;
    row.iter().map(|x| x.real().wide()).collect()
}

fn plan(passes: Vec<Pass>, vocabulary: usize, lists: Vec<usize>) -> Plan {
    let references = usize::from(passes.iter().any(|pass| pass.compares.is_some()));
    Plan { passes, statistics: Vec::new(), second: true, vocabulary: vocabulary as i64, references, lists }
}

/// Plans with each set, alone and beside a comparison.
fn plans(length: usize) -> Vec<Plan> {
    let compared = Pass { temperature: 0.7, compares: Some(0), beta: Some(0.3), ..PASS };
    let sets = [
        None,
        Some(TokenSet::TopK((length as i64 / 3).max(1))),
        Some(TokenSet::TopP(0.8137)),
        Some(TokenSet::MinP(0.05)),
    ];
    let alone = sets.into_iter().map(|set| plan(vec![Pass { set, ..PASS }], length, Vec::new()));
    let both = plan(
        vec![
            compared.clone(),
            Pass { temperature: 1.3, set: sets[1], ..PASS },
            Pass { set: sets[1], ..compared },
        ],
        length,
        vec![2, 1],
    );
    alone.chain([both]).collect()
}

/// Reads a row and writes its gradient, over the row and beside it, and judges both.
fn judge<E: Element + PartialEq + std::fmt::Debug>(kind: &Kind, plan: &Plan, length: usize, level: u8) {
    let logits = memory::<E>(&row(length, 7));
    let reference: Option<Memory<E>> =
        (plan.references > 0).then(|| memory(&beside(&row(length, 7), row(length, 23))));
    let references: Vec<&[E]> = reference.iter().map(|reference| &**reference).collect();
    let listed: &[i64] = if plan.lists.is_empty() { &[] } else { &[-1, 0, length as i64 - 1] };
    let tokens = || Tokens { action: length - 1, listed };
    let [mut found, cotangents] = [0.0, 1.0].map(|filled| vec![filled; plan.sums()]);
    let mut known = vec![0.0; plan.facts()];
    let cotangents: Vec<f64> =
        cotangents.iter().enumerate().map(|(at, one)| one * ((at * 5 % 7) as f64 / 4.0 - 0.6)).collect();
    let mut scratch = Scratch::new(if plan.ranks() { length } else { 0 });
    let pair = Pair { row: &logits, references: &references, divisor: 1.0 };
    let mut line = Line { sums: &mut found, facts: &mut known };
    read(&pair, &tokens(), plan, &mut scratch, &mut line);

    let x = wide(&logits);
    let y = references.first().map(|reference| wide(reference));
    let place =
        |what: &str| format!("{what}, {length} of {} on level {level}, {plan:?}", std::any::type_name::<E>());
    let mut expected = vec![(0.0, 0.0); length];
    for (index, pass) in plan.passes.iter().enumerate() {
        let of = pass.compares.and(y.as_deref());
        let formula = naive::find(&x, of, pass, true, kind.least);
        for column in 0..9 {
            let tolerance = kind.sums * formula.sizes[column];
            near(
                found[sums::of(index) + column],
                formula.sums[column],
                tolerance,
                &place(&format!("sum {column}")),
            );
        }
        let c = &cotangents[sums::of(index)..][..sums::PER_PASS];
        for (sum, (more, size)) in expected.iter_mut().zip(formula.gradient(pass, true, c)) {
            *sum = (sum.0 + more, sum.1 + size);
        }
    }
    let mut add = |id: usize, share: f64| {
        expected[id] = (expected[id].0 + share, expected[id].1 + share.abs());
    };
    add(length - 1, cotangents[sums::CHOSEN]);
    for (at, id) in listed.iter().enumerate().filter(|(_, id)| **id >= 0) {
        add(*id as usize, cotangents[plan.first_listed() + at]);
    }
    assert!(known[facts::HIGHEST].to_bits() == naive::highest(&x).to_bits());

    let mut over = logits.clone();
    let mut beside = memory::<E>(&vec![9.0; length]);
    for in_place in [false, true] {
        // The row and the gradient are one memory there, so both pointers come from it.
        let gradient = if in_place { over.as_mut_ptr() } else { beside.as_mut_ptr() };
        let row = if in_place { gradient.cast_const() } else { logits.as_ptr() };
        let references: Vec<*const E> = references.iter().map(|reference| reference.as_ptr()).collect();
        let to = Place { row, references: &references, gradient, vocabulary: length };
        let known = Known { tokens: tokens(), sums: &found, facts: &known, cotangents: &cotangents };
        // SAFETY: each pointer leads to `length` elements, which nothing else uses meanwhile.
        unsafe { write_gradient(&to, Some(&known), plan, &mut Vec::new()) };
    }
    assert_eq!(over, beside, "{}", place("over the row"));
    for (id, (found, (sum, size))) in wide(&beside).into_iter().zip(expected).enumerate() {
        let [rounding, tolerance, least] = kind.gradient;
        near(found, sum, rounding * sum.abs() + tolerance * size + least, &place(&format!("gradient {id}")));
    }
}

fn near(found: f64, expected: f64, tolerance: f64, place: &str) {
    let is_near = found.to_bits() == expected.to_bits() || (found - expected).abs() <= tolerance;
    assert!(is_near, "{place}: expected {expected}, found {found}");
}

#[test]
fn rows_of_every_length_and_kind_are_those_of_the_formulas_on_each_level() {
    at_each_level(|level| {
        for length in LENGTHS {
            for plan in plans(*length) {
                judge::<f32>(&F32, &plan, *length, level);
                judge::<bf16>(&BF16, &plan, *length, level);
                if !cfg!(miri) {
                    judge::<f64>(&F64, &plan, *length, level);
                    judge::<f16>(&F16, &plan, *length, level);
                }
            }
        }
    });
}

#[test]
fn rows_without_a_softmax_or_a_token_that_counts_are_filled() {
    at_each_level(|_| {
        for length in [1, 40, 1030] {
            let plan = plan(vec![Pass { set: Some(TokenSet::TopK(1)), ..PASS }], length, Vec::new());
            for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                let logits = memory::<f32>(&vec![bad; length]);
                let [mut found, mut known] = [vec![0.0; plan.sums()], vec![0.0; plan.facts()]];
                let mut line = Line { sums: &mut found, facts: &mut known };
                let tokens = || Tokens { action: 0, listed: &[] };
                let pair = Pair { row: &logits, references: &[], divisor: 1.0 };
                read(&pair, &tokens(), &plan, &mut Scratch::new(length), &mut line);
                assert!(found.iter().chain(&known).all(|number| number.is_nan()));
                let mut gradient = memory::<f32>(&vec![9.0; length]);
                let row = logits.as_ptr();
                let to = Place { row, references: &[], gradient: gradient.as_mut_ptr(), vocabulary: length };
                let known = Known { tokens: tokens(), sums: &found, facts: &known, cotangents: &found };
                // SAFETY: both lead to `length` elements, which nothing else uses meanwhile.
                unsafe { write_gradient(&to, Some(&known), &plan, &mut Vec::new()) };
                assert!(gradient.iter().all(|number| number.is_nan()));
                let to = Place { row, references: &[], gradient: gradient.as_mut_ptr(), vocabulary: length };
                // SAFETY: the same.
                unsafe { write_gradient(&to, None, &plan, &mut Vec::new()) };
                assert!(gradient.iter().all(|number| *number == 0.0));
            }
        }
    });
}
