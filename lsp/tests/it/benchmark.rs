//! How fast the server answers, and that it keeps nothing of old texts.
//!
//! The limits hold for an optimised build: `cargo test -p aent-lsp --release -- --ignored --nocapture`.

use crate::client::{Client, uri};
use serde_json::json;
use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

/// The longest that an answer may take.
const LIMIT: Duration = Duration::from_millis(20);

/// A file of 500 lines that uses everything.
fn text() -> String {
    let mut out = String::from("import \"std/kl.aent\"\nimport \"std/surrogates.aent\"\n\n");
    let mut sum = String::from("token_mean(clip_ppo())");
    for at in 0..54 {
        let _ = write!(
            out,
            "# Part {at}.\nparam eps_{at} = 0.2 in 0 .. 1\nfn scaled_{at}(x, by = eps_{at}) = by * x\n\
             let ratio_{at} = exp(log_prob - old_log_prob - 0.{at})\nlet policy_{at} = clip_ppo(low = eps_{at}, high = 0.28)\n\
             let entropy_{at} = clamped_entropy(drop = {at}%)\n\
             metric clip_{at} = token_mean(policy_{at}.clipped)\nmetric kl_{at} = token_mean(k3(ref_log_prob))\n\n"
        );
        let _ =
            write!(sum, "\n    + token_mean(scaled_{at}(detach(ratio_{at})) * policy_{at} - entropy_{at})");
    }
    out + "loss = " + &sum + "\n"
}

#[test]
#[ignore = "measures an optimised build"]
fn answers_come_within_the_limit_and_memory_stays_flat() {
    let folder = tempfile::tempdir().unwrap();
    let file = uri(&folder.path().join("main.aent"));
    let text = text();
    let lines = text.lines().count();
    assert!((480..=560).contains(&lines), "{lines}");
    let mut client = Client::new(folder.path());
    client.open(&file, &text);
    client.settle();
    assert_eq!(client.shown.get(&file).map_or(0, Vec::len), 0);

    let line = text.lines().position(|of| of.starts_with("let policy_20")).unwrap() as u32;
    let at = json!({ "line": line, "character": 17 });
    let everything =
        json!({ "start": { "line": 0, "character": 0 }, "end": { "line": 999, "character": 0 } });
    let params = json!({
        "textDocument": { "uri": file },
        "position": at,
        "positions": [at],
        "range": everything,
        "context": { "diagnostics": [], "includeDeclaration": true, "triggerKind": 1, "isRetrigger": false },
        "options": { "tabSize": 4, "insertSpaces": true },
        "newName": "renamed",
    });
    let methods = [
        "hover",
        "completion",
        "signatureHelp",
        "definition",
        "references",
        "documentHighlight",
        "documentSymbol",
        "codeAction",
        "codeLens",
        "formatting",
        "foldingRange",
        "selectionRange",
        "semanticTokens/full",
        "inlayHint",
    ];
    let mut slow = Vec::new();
    for method in methods {
        // Each answer follows an edit, so that it includes a check of the new text.
        let mut times = Vec::new();
        for round in 0..20_u32 {
            type_letter(&mut client, &file, line, round);
            let before = processor_time();
            client.request(&format!("textDocument/{method}"), params.clone()).unwrap();
            times.push(processor_time().saturating_sub(before));
        }
        times.sort();
        println!("{method:>24}  median {:>9.2?}  longest {:>9.2?}", times[10], times[19]);
        if times[10] > LIMIT {
            slow.push(method);
        }
    }
    assert_eq!(slow, [""; 0]);

    let resident = || -> u64 {
        let statm = fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4
    };
    let mut after_warm_up = 0;
    let start = Instant::now();
    for round in 0..10_000_u32 {
        type_letter(&mut client, &file, line, round);
        if round % 50 == 0 {
            client.request("textDocument/hover", params.clone()).unwrap();
        }
        if round == 2_000 {
            after_warm_up = resident();
        }
    }
    client.settle();
    let grown = resident().saturating_sub(after_warm_up);
    println!(
        "10,000 edits in {:.1?}; {after_warm_up} KiB after 2,000 of them, {grown} KiB more after all",
        start.elapsed()
    );
    assert!(grown < 8 * 1024, "{grown} KiB");
    client.end();
}

/// The time that the processor spent on this process. One thread answers, so that on a machine with nothing else to do an
/// answer takes as long.
fn processor_time() -> Duration {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let nanoseconds = tasks.map(|task| -> u64 {
        let text = fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|of| of.parse().ok()).unwrap_or(0)
    });
    Duration::from_nanos(nanoseconds.sum())
}

/// Types a letter at the end of a comment, or takes it away again.
fn type_letter(client: &mut Client, file: &lsp_types::Uri, line: u32, round: u32) {
    let (end, text) = if round.is_multiple_of(2) { (2, "#  ") } else { (3, "# ") };
    let range = json!({ "start": { "line": line - 4, "character": 0 }, "end": { "line": line - 4, "character": end } });
    client.change(file, &json!({ "range": range, "text": text }));
}
