//! On what a run was measured, and what the system says about memory.

use crate::settings::Settings;
use std::fs;
use std::time::SystemTime;

/// The lines above the tables.
pub(crate) fn described(settings: &Settings, torch: &str) -> String {
    let date = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let size = if settings.quick { "tiny sizes, figures mean nothing" } else { "forward and backward, f32" };
    format!(
        "    cargo bench --bench peers\n\n\
         {} rows, V = {}, {size}; {} rounds in turns, {} threads either side.\n\
         {}, {cores} cores, {:.0} GiB, no GPU used; torch {torch}; {}.\n",
        settings.rows,
        settings.vocabulary,
        settings.rounds,
        settings.threads,
        line("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
        line("/proc/meminfo", "MemTotal").and_then(|text| kibibytes(&text)).unwrap_or(0.0) / 1024.0 / 1024.0,
        &date[..10],
    )
}

/// The load average of the last minute.
pub(crate) fn load() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split_whitespace().next().unwrap_or("unknown").to_owned()
}

/// What the system says of this process's memory, in bytes: `VmRSS:` now, or `VmHWM:` at most.
pub(crate) fn memory(name: &str) -> Option<u64> {
    Some(kibibytes(&line("/proc/self/status", name.trim_end_matches(':'))?)? as u64 * 1024)
}

/// Lets the system look for the peak from here on.
pub(crate) fn forget_peak() -> Option<()> {
    fs::write("/proc/self/clear_refs", "5").ok()
}

/// What stands behind a name and a colon.
fn line(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'))?;
    Some(found.trim().to_owned())
}

fn kibibytes(text: &str) -> Option<f64> {
    text.strip_suffix("kB")?.trim().parse().ok()
}
