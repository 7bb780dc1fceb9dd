//! Numbered steps with their durations, and child processes that fail with a message.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// A run with a known number of steps, each shown with its title and its duration.
pub(crate) struct Steps {
    total: usize,
    done: usize,
    started: Instant,
}

impl Steps {
    /// Starts the clock of a run of `total` steps.
    pub(crate) fn new(total: usize) -> Self {
        Self { total, done: 0, started: Instant::now() }
    }

    /// Runs one step. A failure ends the run with an error that names the step.
    pub(crate) fn run<T>(&mut self, title: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.done += 1;
        println!("\n[{}/{}] {title}", self.done, self.total);
        let started = Instant::now();
        let result = work();
        let took = elapsed(started.elapsed());
        match result {
            Ok(value) => {
                println!("      done in {took}");
                Ok(value)
            }
            Err(error) => {
                Err(error.context(format!("step {} of {} failed after {took}", self.done, self.total)))
            }
        }
    }

    /// Prints that all is done.
    pub(crate) fn finish(self, sentence: &str) {
        debug_assert_eq!(self.done, self.total, "the number of steps announced is the number done");
        println!("\n{sentence} ({} in all)", elapsed(self.started.elapsed()));
    }
}

/// A command that runs a program in a folder, with empty input.
pub(crate) fn program(name: impl AsRef<OsStr>, args: &[&str], folder: &Path) -> Command {
    let mut command = Command::new(name);
    command.args(args).current_dir(folder).stdin(Stdio::null());
    command
}

/// The cargo that started this program.
pub(crate) fn cargo(args: &[&str], root: &Path) -> Command {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    program(&cargo, args, root)
}

/// Runs a command that writes to the terminal; `help` says what to do when it fails.
pub(crate) fn check(mut command: Command, help: &str) -> Result<()> {
    println!("      {}", shown(&command));
    let status = command.status().with_context(|| format!("`{}` cannot be started", shown(&command)))?;
    if !status.success() {
        bail!("`{}` ended with {status}\n{help}", shown(&command));
    }
    Ok(())
}

/// The line that a program prints; `None` if it fails or prints nothing.
pub(crate) fn ask(program: impl AsRef<OsStr>, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let line = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !line.is_empty()).then_some(line)
}

/// The command as typed in a shell.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    let name = if program.is_absolute() { name } else { program.as_os_str() };
    let words = std::iter::once(name).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// A duration in readable units.
pub(crate) fn elapsed(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        _ => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_told_in_the_units_that_matter() {
        assert_eq!(elapsed(Duration::from_millis(1_240)), "1.2 s");
        assert_eq!(elapsed(Duration::from_secs(59)), "59 s");
        assert_eq!(elapsed(Duration::from_secs(185)), "3 min 05 s");
    }

    #[test]
    fn a_command_is_shown_as_one_would_type_it() {
        let command = program("/usr/lib/rust/bin/cargo", &["fmt", "--check"], Path::new("."));
        assert_eq!(shown(&command), "cargo fmt --check");
        assert_eq!(
            shown(&program("target/release/aent", &["train"], Path::new("."))),
            "target/release/aent train"
        );
    }

    #[test]
    fn a_program_that_fails_has_no_answer() {
        assert_eq!(ask("echo", &["3", "11"]), Some("3 11".to_owned()));
        assert_eq!(ask("false", &[]), None);
        assert_eq!(ask("no-such-program", &[]), None);
    }

    #[test]
    fn a_failing_step_is_named_by_its_number() {
        let mut steps = Steps::new(2);
        steps.run("first", || Ok(())).unwrap();
        let error = steps.run("second", || -> Result<()> { bail!("no room") }).unwrap_err();
        let text = format!("{error:#}");
        assert!(text.starts_with("step 2 of 2 failed after"), "{text}");
        assert!(text.ends_with("no room"), "{text}");
    }
}
