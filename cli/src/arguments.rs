//! The command line.

use crate::commands::eval::device::Wanted;
use aent_train::tasks::NAMES;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Losses for reinforcement learning on language models, written in .aent files.
#[derive(Debug, Parser)]
#[command(
    name = "aent",
    version,
    about,
    after_help = "Exit status: 0 done, 1 the spec or the batch is wrong, 2 usage."
)]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Find everything that is wrong with files
    Check(Check),
    /// Write files in the one canonical layout, comments kept
    Fmt(Fmt),
    /// Show what a file compiles to and costs, or what a diagnostic means
    Explain(Explain),
    /// List the terms, reductions and controllers that a file can use, or describe one
    Terms(Terms),
    /// Run one step of a file on a batch and print its numbers as JSON
    Eval(Eval),
    /// Train a small policy with several files side by side, and write a report
    Train(Train),
    /// Compare finished runs of the same methods on different tasks, on one page
    Compare(Compare),
}

/// `aent check`
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The files; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// For people (on standard error) or for programs (on standard output)
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
    /// Let the files import from this folder too, besides their own project
    #[arg(long, value_name = "FOLDER")]
    pub(crate) allow_import: Vec<PathBuf>,
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
    /// The files; `-` formats standard input to standard output
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Change nothing; list the files that would change, and exit with 1 if there are any
    #[arg(long)]
    pub(crate) check: bool,
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
    #[arg(long)]
    pub(crate) markdown: bool,
    /// How many sequences B a step or a micro-batch has, for its memory
    #[arg(long, value_name = "B", default_value_t = 8, value_parser = size())]
    pub(crate) sequences: u64,
    /// How many tokens T a sequence is long, for the memory of a step
    #[arg(long, value_name = "T", default_value_t = 1024, value_parser = size())]
    pub(crate) length: u64,
    /// How many token ids V there are, for memory
    #[arg(long, value_name = "V", default_value_t = 151_936, value_parser = size())]
    pub(crate) vocabulary: u64,
    /// Set a `param` of the file
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    pub(crate) set: Vec<(String, f64)>,
    /// Let the files import from this folder too, besides their own project
    #[arg(long, value_name = "FOLDER")]
    pub(crate) allow_import: Vec<PathBuf>,
}

/// `aent terms`
#[derive(Debug, Args)]
pub(crate) struct Terms {
    /// The one to describe
    #[arg(conflicts_with_all = ["markdown", "format"])]
    pub(crate) name: Option<String>,
    /// Write the reference of all of them as Markdown
    #[arg(long, conflicts_with = "format")]
    pub(crate) markdown: bool,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
}

/// `aent eval`
#[derive(Debug, Args)]
pub(crate) struct Eval {
    /// The file; `-` is standard input
    pub(crate) file: PathBuf,
    /// The batch: a safetensors file with the fields that the file needs
    #[arg(long, value_name = "FILE")]
    pub(crate) batch: PathBuf,
    /// Write the loss, its gradients and every `let` to a safetensors file
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Set a `param` of the file
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    pub(crate) set: Vec<(String, f64)>,
    /// Let the files import from this folder too, besides their own project
    #[arg(long, value_name = "FOLDER")]
    pub(crate) allow_import: Vec<PathBuf>,
    /// Begin with saved controllers
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
    /// Save the controllers after the step
    #[arg(long, value_name = "FILE")]
    pub(crate) save_state: Option<PathBuf>,
    /// Where to compute: `cpu`, `cuda` or `cuda:N`
    #[arg(long, default_value = "cpu")]
    pub(crate) device: Wanted,
    /// Convert the floating-point fields of the batch first
    #[arg(long, value_enum)]
    pub(crate) dtype: Option<Dtype>,
    /// How to compute row statistics
    #[arg(long, value_enum, default_value_t = KernelsName::Auto)]
    pub(crate) kernels: KernelsName,
    /// Cut the batch into N nearly equal parts along B; the result is that of the whole
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) microbatches: Option<usize>,
    /// After one step to warm up, run N more and print the median seconds and the peak memory
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) repeat: Option<usize>,
}

/// Kinds of floating-point numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Dtype {
    /// 32 bits.
    F32,
    /// 64 bits.
    F64,
    /// 16 bits with the exponent of 32.
    Bf16,
}

impl From<Dtype> for tch::Kind {
    fn from(dtype: Dtype) -> Self {
        match dtype {
            Dtype::F32 => tch::Kind::Float,
            Dtype::F64 => tch::Kind::Double,
            Dtype::Bf16 => tch::Kind::BFloat16,
        }
    }
}

/// Implementations of row statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum KernelsName {
    /// The fastest for the device and the kind of the logits
    Auto,
    /// Plain torch operations
    Reference,
}

impl From<KernelsName> for aent::Kernels {
    fn from(name: KernelsName) -> Self {
        match name {
            KernelsName::Auto => aent::Kernels::Auto,
            KernelsName::Reference => aent::Kernels::Reference,
        }
    }
}

/// `aent train`
#[derive(Debug, Args)]
pub(crate) struct Train {
    /// The files; each file's stem names its runs
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// What to train on
    #[arg(long, value_name = "NAME", value_parser = clap::builder::PossibleValuesParser::new(NAMES))]
    pub(crate) task: String,
    /// A group of the task's settings
    #[arg(long, value_name = "NAME")]
    pub(crate) preset: Option<String>,
    /// The seeds, as in `0,1,2` or `0..2`, both ends included; the task's own when left out
    #[arg(long, value_name = "SEEDS")]
    pub(crate) seeds: Option<Seeds>,
    /// Steps of each run; the task's own number when left out
    #[arg(long, value_name = "N")]
    pub(crate) steps: Option<u64>,
    /// The run's folder, `runs/TASK` when left out. A run that it holds already is continued
    #[arg(long, value_name = "FOLDER")]
    pub(crate) out: Option<PathBuf>,
    /// Where to compute: `cpu`, `cuda` or `cuda:N`
    #[arg(long, default_value = "cpu")]
    pub(crate) device: Wanted,
    /// Set a `param` of the files
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    pub(crate) set: Vec<(String, f64)>,
    /// Let the files import from this folder too, besides their own project
    #[arg(long, value_name = "FOLDER")]
    pub(crate) allow_import: Vec<PathBuf>,
    /// Set one of the task's settings, by its name in the report
    #[arg(long, value_name = "NAME=VALUE", value_parser = task_setting)]
    pub(crate) task_set: Vec<(String, String)>,
    /// How many runs are trained at a time, one a core when left out; no number depends on it
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) jobs: Option<usize>,
    /// Show no progress
    #[arg(long)]
    pub(crate) quiet: bool,
}

/// `aent compare`
#[derive(Debug, Args)]
pub(crate) struct Compare {
    /// The runs' folders, as `aent train` left them: the same number of files in each, in the same order
    #[arg(required = true, value_name = "FOLDER")]
    pub(crate) folders: Vec<PathBuf>,
    /// The folder to write `report.html` and `plots/` into
    #[arg(long, value_name = "FOLDER")]
    pub(crate) out: PathBuf,
    /// A sentence on how the runs were set up, for the page
    #[arg(long, value_name = "SENTENCE")]
    pub(crate) note: Vec<String>,
}

/// The seeds of a training run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seeds(pub(crate) Vec<u64>);

impl std::str::FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || format!("expected seeds such as `0,1,2` or `0..2`, found `{text}`");
        let number = |text: &str| text.trim().parse::<u64>().map_err(|_| refuse());
        let seeds: Vec<u64> = match text.split_once("..") {
            Some((first, last)) => (number(first)?..=number(last)?).take(MOST_SEEDS + 1).collect(),
            None => text.split(',').map(number).collect::<Result<_, _>>()?,
        };
        if seeds.is_empty() || seeds.len() > MOST_SEEDS {
            return Err(refuse());
        }
        Ok(Seeds(seeds))
    }
}

/// More seeds than this are a slip.
const MOST_SEEDS: usize = 10_000;

fn positive(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&number| number > 0).ok_or_else(|| "expected a number of at least 1".to_owned())
}

/// Sizes that still multiply with a few bytes.
fn size() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1..=1 << 32)
}

fn task_setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// Reads `NAME=VALUE`; a value may be a percentage, as in a file.
fn setting(text: &str) -> Result<(String, f64), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    let (digits, scale) =
        value.trim().strip_suffix('%').map_or((value.trim(), 1.0), |digits| (digits, 100.0));
    let number: f64 = digits.parse().map_err(|_| format!("expected a number after `=`, found `{value}`"))?;
    Ok((name.trim().to_owned(), number / scale))
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
    fn seeds_are_lists_or_ranges() {
        assert_eq!("0,2,5".parse(), Ok(Seeds(vec![0, 2, 5])));
        assert_eq!("1..3".parse(), Ok(Seeds(vec![1, 2, 3])));
        assert!("3..1".parse::<Seeds>().is_err());
        assert!("0..99999999".parse::<Seeds>().is_err());
        assert!("all".parse::<Seeds>().is_err());
    }

    #[test]
    fn settings_are_numbers_or_percentages() {
        assert_eq!(setting("eps=0.3"), Ok(("eps".to_owned(), 0.3)));
        assert_eq!(setting("drop=30%"), Ok(("drop".to_owned(), 0.3)));
        assert!(setting("eps").is_err());
        assert!(setting("eps=much").is_err());
    }
}
