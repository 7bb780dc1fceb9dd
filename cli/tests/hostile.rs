//! Hostile input is answered, not suffered: an error, within seconds and within 256 MiB.
//!
//! Alone in its program, because the peak memory of children is that of the largest one so far.

use nix::sys::resource::{UsageWho, getrusage};
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

const MEBIBYTE: i64 = 1 << 20;
const LOSS: &str = "loss = -token_mean(log_prob)\n";

fn garbage(bytes: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        // Printable, so that more than the encoding is looked at.
        b' ' + (state >> 32) as u8 % 95
    };
    (0..bytes).map(|_| next()).collect()
}

fn cases() -> Vec<(&'static str, Vec<u8>)> {
    let deep = |open: &str, close: &str| {
        format!("loss = {}log_prob{}\n", open.repeat(200_000), close.repeat(200_000)).into_bytes()
    };
    let mut lines = garbage(500_000);
    for (index, byte) in lines.iter_mut().enumerate() {
        if index % 60 == 59 {
            *byte = b'\n';
        }
    }
    vec![
        ("parentheses 200,000 deep", deep("(", ")")),
        ("calls 200,000 deep", deep("exp(", ")")),
        ("open parentheses", "(".repeat(400_000).into_bytes()),
        ("negations 200,000 deep", deep("-", "")),
        ("powers 200,000 deep", deep("2^", "")),
        (
            "a sum of 20,000 terms",
            format!("loss = token_mean({})\n", vec!["log_prob"; 20_000].join(" + ")).into_bytes(),
        ),
        (
            "a shorter line of parentheses",
            format!("loss = {}1{}\n", "(".repeat(4_000), ")".repeat(4_000)).into_bytes(),
        ),
        ("5 MB of garbage", garbage(5_000_000)),
        ("500 kB of garbage on one line", garbage(500_000)),
        ("500 kB of garbage in lines", lines),
        (
            "bytes that are not UTF-8",
            [b"let a = 1\n".as_slice(), &[0xff, 0xfe, 0x80], LOSS.as_bytes()].concat(),
        ),
        ("zeros", vec![0; 300_000]),
        ("an import cycle", b"import \"case.aent\"\nloss = -token_mean(log_prob)\n".to_vec()),
        ("a string without an end", format!("import \"{}\n", "x".repeat(400_000)).into_bytes()),
        (
            "a name of 400,000 letters",
            format!("let {} = 1\n{LOSS}loss = {}", "x".repeat(400_000), "y".repeat(9)).into_bytes(),
        ),
        ("a number of 400,000 digits", format!("let a = {}\n{LOSS}", "9".repeat(400_000)).into_bytes()),
    ]
}

#[test]
fn hostile_files_are_answered_within_seconds_and_256_mebibytes() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in cases() {
        fs::write(folder.path().join("case.aent"), bytes).unwrap();
        let start = Instant::now();
        let output = Command::new(env!("CARGO_BIN_EXE_aent"))
            .args(["check", "case.aent"])
            .current_dir(&folder)
            .output()
            .unwrap();
        let took = start.elapsed();
        let stderr = String::from_utf8_lossy(&output.stderr);
        let shown: String = stderr.chars().take(2_000).collect();
        assert_eq!(output.status.code(), Some(1), "{name}: {shown}");
        assert!(stderr.contains("error["), "{name}: {shown}");
        assert!(!stderr.contains("panicked"), "{name}: {shown}");
        assert!(stderr.len() < 200_000, "{name}: {} bytes are said", stderr.len());
        // The limit is generous, because the machine may be busy; an answer takes a fraction of a second.
        assert!(took < Duration::from_secs(20), "{name}: {took:?}");
        let peak = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss() * 1024;
        assert!(peak < 256 * MEBIBYTE, "{name}: {} MiB", peak / MEBIBYTE);
    }
}
