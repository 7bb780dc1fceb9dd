//! The program `aent`, which checks, formats, explains, evaluates and trains `.aent` files, as a library for any tensor host.

mod arguments;
mod commands;
mod plugins;
mod render;
mod stream;

use aent::tensor::Host;
use arguments::{Arguments, Command};
use clap::Parser;
use std::ffi::OsString;
use std::io::{self, Write};

/// The result of a command that could do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// Done; there may have been warnings.
    Done,
    /// The spec or the batch is wrong, and an error was shown.
    Wrong,
    /// The arguments contradict one another, and an error was shown.
    Usage,
}

/// A command's status, or a sentence for the user that says why it failed.
type Outcome = Result<Status, String>;

/// Runs the command line and returns its exit status: 0 done, 1 the spec or the batch is wrong, 2 usage. The first word
/// is the program's name. `host` brings the tensors of `aent eval`.
pub fn run(arguments: impl IntoIterator<Item = OsString>, host: Option<&'static dyn Host>) -> u8 {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(answer) => return show(&answer),
    };
    render::choose(arguments.color);
    let outcome = match arguments.command {
        Command::Check(arguments) => commands::check::run(&arguments),
        Command::Fmt(arguments) => commands::fmt::run(&arguments),
        Command::Explain(arguments) => commands::explain::run(&arguments),
        Command::Terms(arguments) => commands::terms::run(&arguments),
        Command::Lsp(_) => aent_lsp::run().map(|()| Status::Done),
        Command::Completions(arguments) => commands::completions::run(&arguments),
        Command::Man(arguments) => commands::man::run(&arguments),
        #[cfg(feature = "eval")]
        Command::Eval(arguments) => match host {
            Some(host) => commands::eval::run(&arguments, host),
            None => Err("`aent eval` needs tensors, which this program was built without".to_owned()),
        },
        #[cfg(feature = "train")]
        Command::Train(arguments) => commands::train::run(&arguments),
        #[cfg(feature = "train")]
        Command::Compare(arguments) => commands::compare::run(&arguments),
    };
    #[cfg(not(feature = "eval"))]
    let _ = host;
    match outcome {
        Ok(Status::Done) => 0,
        Ok(Status::Wrong) => 1,
        Ok(Status::Usage) => 2,
        Err(sentence) => failed(&sentence),
    }
}

/// Shows errors in the arguments on standard error, and the help or the version on standard output.
fn show(answer: &clap::Error) -> u8 {
    let written = answer.print().and_then(|()| io::stdout().flush());
    if answer.use_stderr() {
        return 2;
    }
    match stream::checked(written, "standard output") {
        Ok(()) => 0,
        Err(sentence) => failed(&sentence),
    }
}

/// Shows a contradiction in the arguments that their parser cannot see.
fn usage(sentence: &str) -> Status {
    stream::complain(&render::sentence(sentence));
    Status::Usage
}

fn failed(sentence: &str) -> u8 {
    stream::complain(&render::sentence(sentence));
    1
}
