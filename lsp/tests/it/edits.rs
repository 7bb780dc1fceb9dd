//! Random edits and requests: the server must live on, answer with places that exist, and know and show what it would if it
//! met the same text for the first time.

use crate::client::uri;
use crate::findings::{checked, shown};
use crate::session::{AT_PLACES, Edit, LIB, PIECES, Session};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::fs;

fn edit() -> impl Strategy<Value = Edit> {
    let text = prop::collection::vec(prop::sample::select(&PIECES[..]), 0..3).prop_map(|all| all.concat());
    ((0..12_u32, 0..50_u32), 0..2_u32, 0..50_u32, text, 0..AT_PLACES.len())
        .prop_map(|(from, lines, to, text, request)| Edit { from, lines, to, text, request })
}

#[test]
fn after_any_edits_the_server_shows_what_a_fresh_check_finds() {
    let folder = tempfile::tempdir().unwrap();
    let main = folder.path().join("main.aent");
    fs::write(folder.path().join("lib.aent"), LIB).unwrap();
    fs::write(&main, "").unwrap();
    let file = uri(&main);
    let mut runner = TestRunner::new(Config { cases: 64, ..Config::default() });
    let strategy = prop::collection::vec(edit(), 1..12);
    runner
        .run(&strategy, |edits| {
            let mut session = Session::new(folder.path(), &file, &PIECES[..12].concat());
            for edit in &edits {
                session.edit(edit);
            }
            session.client.settle();
            let text = session.text.clone();
            fs::write(&main, &text).unwrap();
            prop_assert_eq!(shown(&session.client), checked(folder.path()), "{}", text);
            let mut fresh = Session::new(folder.path(), &file, &text);
            prop_assert_eq!(session.answers(), fresh.answers(), "{}", text);
            fresh.client.end();
            session.client.end();
            Ok(())
        })
        .unwrap();
}
