//! The program `aent`: checks, formats, explains, evaluates and trains losses written in `.aent` files.

mod arguments;
mod commands;
mod plugins;
mod render;
mod stream;

use arguments::{Arguments, Command};
use clap::Parser;
use std::process::ExitCode;

/// What a command leaves behind when it could do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// Done; there may have been warnings.
    Done,
    /// The spec or the batch is wrong, and the user was told.
    Wrong,
}

/// A sentence for the user: why a command could not go on.
type Outcome = Result<Status, String>;

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
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
        Err(sentence) => {
            stream::complain(&render::sentence(&sentence));
            ExitCode::from(1)
        }
    }
}
