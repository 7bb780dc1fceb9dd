//! A step does not depend on how its batch is laid out, nor on where its row statistics were made.

use crate::generate::{Manner, choices, program};
use crate::run::{Numbers, in_two_calls, session, unpadded, whole_in};
use crate::{check, compiled, extent, kinds};
use aent::testing::{Case, rough};
use tch::Kind;

/// Asserts that a step in another form has the bits of the plain one. The gradient of a token may come as 0 in place of -0: torch
/// adds those of packed tokens to zeros.
fn same(form: impl Fn(&aent::Session, &Case, Kind) -> Result<Numbers, aent::Error>, trims: bool) {
    check(300, (choices(), rough(extent()), kinds()), |(choices, case, kind)| {
        let text = program(&choices, Manner::Wild);
        let session = session(compiled(&text));
        // A packed batch is as wide as its longest sequence.
        let case = if trims { case.trimmed() } else { case };
        let case = if case.mask.contains(&true) { case } else { return };
        let expected = whole_in(&session, &case, kind).unwrap();
        let found = form(&session, &case, kind).unwrap_or_else(|error| panic!("{error}\nin\n{text}"));
        assert!(found.same_numbers(&expected), "{kind:?}\n{text}\n{found:?}\n{expected:?}");
    });
}

#[test]
fn a_packed_batch_gives_the_bits_of_the_padded_one() {
    same(unpadded, true);
}

#[test]
fn rows_made_before_the_step_give_the_bits_of_one_call() {
    same(|session, case, kind| in_two_calls(session, case, kind, false), false);
}

#[test]
fn packed_rows_made_before_the_step_give_the_bits_of_one_call() {
    same(|session, case, kind| in_two_calls(session, case, kind, true), true);
}
