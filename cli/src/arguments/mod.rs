//! The command line.

mod check;
#[cfg(feature = "eval")]
mod eval;
#[cfg(feature = "train")]
mod train;

use aent::program::ParamValue;
pub(crate) use check::{Check, CheckFormat};
use clap::{Args, ColorChoice, Parser, Subcommand, ValueEnum};
#[cfg(feature = "eval")]
pub(crate) use eval::Eval;
use std::path::PathBuf;
#[cfg(feature = "train")]
pub(crate) use train::{Compare, Train};

/// The end of the help.
const AFTER_HELP: &str = if cfg!(feature = "eval") {
    "Exit status: 0 done, 1 the spec or the batch is wrong, 2 usage."
} else {
    "Exit status: 0 done, 1 the spec is wrong, 2 usage.\n\nThis build computes nothing: `eval`, `train` and `compare` come with its default features."
};

/// Losses for reinforcement learning on language models, written in .aent files.
#[derive(Debug, Parser)]
#[command(
    name = "aent",
    version,
    about,
    after_help = AFTER_HELP
)]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
    /// When to use colours
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub(crate) color: ColorChoice,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Find everything that is wrong with files
    Check(Check),
    /// Write files in the one canonical layout, comments kept
    Fmt(Fmt),
    /// Show what a file reads, compiles to and costs, or what a diagnostic means
    Explain(Explain),
    /// List the terms, reductions and controllers that a file can use, or describe one
    Terms(Terms),
    /// Serve an editor on standard input and output
    Lsp(Lsp),
    /// Run one step of a file on a batch and print its numbers as JSON
    #[cfg(feature = "eval")]
    Eval(Eval),
    /// Train a small policy with several files side by side, and write a report
    #[cfg(feature = "train")]
    Train(Train),
    /// Compare finished runs of the same methods on different tasks, on one page
    #[cfg(feature = "train")]
    Compare(Compare),
    /// Print a script that makes a shell complete these commands and their arguments
    Completions(Completions),
    /// Print a manual page
    Man(Man),
}

/// For whom something is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// As text.
    Human,
    /// As one JSON object.
    Json,
}

/// `aent fmt`
#[derive(Debug, Args)]
pub(crate) struct Fmt {
    /// The files, or folders with them; `-` formats standard input to standard output
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Change nothing; list the files that would change, and exit with 1 if there are any
    #[arg(long)]
    pub(crate) check: bool,
    /// Change nothing; show what would change, and exit with 1 if anything would
    #[arg(long)]
    pub(crate) diff: bool,
    /// The name of standard input, for messages
    #[arg(long, value_name = "NAME")]
    pub(crate) stdin_filename: Option<PathBuf>,
    /// Leave out the summary
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// `aent explain`
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// A file, or the id of a diagnostic such as `unknown-name`
    #[arg(value_name = "FILE|ID", required_unless_present = "all", conflicts_with = "all")]
    pub(crate) target: Option<String>,
    /// Explain every diagnostic
    #[arg(long)]
    pub(crate) all: bool,
    /// Write Markdown
    #[arg(long, conflicts_with = "format")]
    pub(crate) markdown: bool,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
    /// How many sequences B a step or a micro-batch has, for its memory
    #[arg(long, value_name = "B", default_value_t = 8, value_parser = size())]
    pub(crate) sequences: u64,
    /// How many tokens T a sequence is long, for the memory of a step
    #[arg(long, value_name = "T", default_value_t = 1024, value_parser = size())]
    pub(crate) length: u64,
    /// How many token ids V there are, for memory
    #[arg(long, value_name = "V", default_value_t = 151_936, value_parser = size())]
    pub(crate) vocabulary: u64,
    /// How many tokens K the batch lists for each token, where it does, for memory
    #[arg(long, value_name = "K", default_value_t = 64, value_parser = size())]
    pub(crate) candidates: u64,
    /// Set a `param` of the file
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    pub(crate) set: Vec<(String, ParamValue)>,
    /// Let the files import from this folder too, besides their own project
    #[arg(long, value_name = "FOLDER")]
    pub(crate) allow_import: Vec<PathBuf>,
}

/// `aent terms`
#[derive(Debug, Args)]
pub(crate) struct Terms {
    /// The one to describe, or a file whose functions to list
    #[arg(value_name = "NAME|FILE", conflicts_with_all = ["markdown", "format", "search"])]
    pub(crate) name: Option<String>,
    /// List only what has all these words in its name, its description or its names elsewhere
    #[arg(long, value_name = "TEXT", conflicts_with = "markdown")]
    pub(crate) search: Option<String>,
    /// Write the reference of all of them as Markdown
    #[arg(long, conflicts_with = "format")]
    pub(crate) markdown: bool,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
}

/// `aent lsp`
#[derive(Debug, Args)]
pub(crate) struct Lsp {
    /// Accepted and ignored: several editors pass it to every server
    #[arg(long, hide = true)]
    pub(crate) stdio: bool,
}

/// `aent completions`
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

/// `aent man`
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// The command that the page is about; without it, `aent` itself
    pub(crate) command: Option<String>,
    /// Write the pages of all commands into this folder
    #[arg(long, value_name = "FOLDER", conflicts_with = "command")]
    pub(crate) out: Option<PathBuf>,
}

/// A size, limited so that products with a few bytes do not overflow.
fn size() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1..=1 << 32)
}

/// Parses `NAME=VALUE`; the value is a number, which may be a percentage, a truth value or a string without quotes.
fn setting(text: &str) -> Result<(String, ParamValue), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    match value.trim() {
        "" => Err("expected a value after `=`, found nothing".to_owned()),
        value => Ok((name.trim().to_owned(), ParamValue::of_text(value))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_has_no_contradictions() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn settings_are_numbers_truth_values_or_strings() {
        assert_eq!(setting("eps=0.3"), Ok(("eps".to_owned(), 0.3.into())));
        assert_eq!(setting("drop=30%"), Ok(("drop".to_owned(), 0.3.into())));
        assert_eq!(setting("use_kl=false"), Ok(("use_kl".to_owned(), false.into())));
        assert_eq!(setting("kl.estimator = k3+"), Ok(("kl.estimator".to_owned(), "k3+".into())));
        assert!(setting("eps").is_err());
        assert!(setting("eps=").is_err());
    }
}
