//! `kill -9` at random moments of a run.

use super::{assert_whole, command, finish, folder, numbers};
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Kills of one run before it is let alone.
const EACH: u32 = 8;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a whole number"))
}

/// `KILLS=500 KILLS_SEED=7 cargo test -p aent-cli --test runs killed -- --nocapture`
#[test]
#[expect(clippy::print_stdout, reason = "the run prints its counts")]
fn a_run_that_is_killed_again_and_again_ends_with_the_numbers_of_one_that_was_not() {
    let through = folder();
    let start = Instant::now();
    finish(through.path());
    let whole = start.elapsed();
    let expected = numbers(through.path());
    let mut state = number("KILLS_SEED", 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f64 / (1u64 << 24) as f64
    };
    let asked = number("KILLS", 24);
    let (mut kills, mut began, mut tries) = (0, 0, 0u64);
    while kills < asked {
        let folder = folder();
        for _ in 0..EACH.min((asked - kills) as u32) {
            let mut child =
                command(folder.path()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            sleep(whole.mul_f64(0.7 * random()).max(Duration::from_millis(1)));
            child.kill().unwrap();
            // One that had ended by itself was not killed.
            kills += u64::from(child.wait().unwrap().signal() == Some(9));
            assert_whole(folder.path());
        }
        began += u64::from(folder.path().join("run/run.json").exists());
        finish(folder.path());
        assert_eq!(numbers(folder.path()), expected, "after {kills} kills");
        tries += 1;
        assert!(tries < 4 + asked, "{kills} kills in {tries} tries");
    }
    assert!(2 * began > tries, "{began} of {tries} runs had begun when they were killed");
    println!("{kills} kills of {tries} runs");
}
