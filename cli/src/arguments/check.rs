//! The arguments of `aent check`.

use super::setting;
use aent::diag::Diagnostic;
use aent::diag::codes::{CODES, find};
use aent::near::nearest;
use aent::plan::Need;
use aent::program::ParamValue;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// `aent check`
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The files, or folders with them; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// How to write what is found: to standard error for people, to standard output otherwise
    #[arg(long, value_enum, default_value_t = CheckFormat::Human)]
    pub(crate) format: CheckFormat,
    /// Make an error of a lint, or of all with `warnings`
    #[arg(short = 'D', long, value_name = "LINT", value_parser = deny)]
    pub(crate) deny: Vec<Deny>,
    /// Set a `param` of every file
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    pub(crate) set: Vec<(String, ParamValue)>,
    /// What an engine knows of the whole step when it asks for the loss of a micro-batch, such as `tokens,sequences`; a file that
    /// needs more is wrong
    #[arg(long, value_name = "NEEDS", value_delimiter = ',', value_parser = need)]
    pub(crate) known: Option<Vec<Need>>,
    /// The name of standard input, for messages and imports
    #[arg(long, value_name = "NAME")]
    pub(crate) stdin_filename: Option<PathBuf>,
    /// Let the files import from this folder too, besides their own project
    #[arg(long, value_name = "FOLDER")]
    pub(crate) allow_import: Vec<PathBuf>,
    /// Leave out the summary
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// How findings are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CheckFormat {
    /// With the lines of the file
    Human,
    /// One line each: `file:line:column: severity[id]: message`
    Short,
    /// One JSON object
    Json,
    /// Commands that make a GitHub workflow show findings beside the lines
    Github,
    /// SARIF 2.1.0, for code scanning
    Sarif,
}

/// Which warnings are errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deny {
    /// All of them.
    Warnings,
    /// The lint with this id.
    Lint(&'static str),
}

impl Deny {
    /// Whether it makes an error of this warning.
    pub(crate) fn applies(self, warning: &Diagnostic) -> bool {
        match self {
            Deny::Warnings => true,
            Deny::Lint(id) => warning.id == id,
        }
    }
}

fn deny(text: &str) -> Result<Deny, String> {
    if text == "warnings" {
        return Ok(Deny::Warnings);
    }
    match find(text) {
        Some(code) if code.is_lint => Ok(Deny::Lint(code.id)),
        Some(_) => Err("it is an error already".to_owned()),
        None => {
            let lints = CODES.iter().filter(|code| code.is_lint).map(|code| code.id);
            let near = nearest(text, lints.chain(["warnings"]));
            Err(near.map_or_else(
                || "expected `warnings` or the id of a lint".to_owned(),
                |near| format!("did you mean `{near}`?"),
            ))
        }
    }
}

/// What a program may need of a step.
fn need(text: &str) -> Result<Need, String> {
    Need::named(text).ok_or_else(|| format!("expected names of {}", Need::ALL.map(Need::as_str).join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lints_are_denied_by_id_or_all_at_once() {
        assert_eq!(deny("warnings"), Ok(Deny::Warnings));
        assert_eq!(deny("entropy-sign"), Ok(Deny::Lint("entropy-sign")));
        assert!(deny("entropy-sgn").is_err_and(|message| message.contains("entropy-sign")));
        assert!(deny("unknown-name").is_err());
    }
}
