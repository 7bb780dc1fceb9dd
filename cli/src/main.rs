//! The program `aent`: checks, formats, explains, evaluates and trains losses written in `.aent` files.

mod arguments;
mod commands;
mod plugins;
mod render;
mod stream;

use arguments::{Arguments, Command};
use clap::Parser;
use std::io::{self, Write};
use std::process::ExitCode;

/// What a command leaves behind when it could do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// Done; there may have been warnings.
    Done,
    /// The spec or the batch is wrong, and the user was told.
    Wrong,
    /// The arguments contradict one another, and the user was told.
    Usage,
}

/// A sentence for the user: why a command could not go on.
type Outcome = Result<Status, String>;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(answer) => return show(&answer),
    };
    let outcome = match arguments.command {
        Command::Check(arguments) => commands::check::run(&arguments),
        Command::Fmt(arguments) => Ok(commands::fmt::run(&arguments)),
        Command::Explain(arguments) => commands::explain::run(&arguments),
        Command::Terms(arguments) => commands::terms::run(&arguments),
        Command::Eval(arguments) => commands::eval::run(&arguments),
        Command::Train(arguments) => commands::train::run(&arguments),
        Command::Compare(arguments) => commands::compare::run(&arguments),
    };
    match outcome {
        Ok(Status::Done) => ExitCode::SUCCESS,
        Ok(Status::Wrong) => ExitCode::from(1),
        Ok(Status::Usage) => ExitCode::from(2),
        Err(sentence) => failed(&sentence),
    }
}

/// Shows what is wrong with the arguments on standard error, or on standard output the help or the version.
fn show(answer: &clap::Error) -> ExitCode {
    let written = answer.print().and_then(|()| io::stdout().flush());
    if answer.use_stderr() {
        return ExitCode::from(2);
    }
    match stream::checked(written, "standard output") {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => failed(&sentence),
    }
}

fn failed(sentence: &str) -> ExitCode {
    stream::complain(&render::sentence(sentence));
    ExitCode::from(1)
}
