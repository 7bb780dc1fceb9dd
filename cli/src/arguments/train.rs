//! The arguments of `aent train` and `aent compare`.

use super::eval::positive;
use super::setting;
use crate::commands::device::Wanted;
use aent::program::ParamValue;
use aent_experiments::tasks::NAMES;
use clap::Args;
use std::path::PathBuf;

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
    pub(crate) set: Vec<(String, ParamValue)>,
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
    /// The folder to write `report.html` into
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

/// More seeds are probably a mistake.
const MOST_SEEDS: usize = 10_000;

fn task_setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_lists_or_ranges() {
        assert_eq!("0,2,5".parse(), Ok(Seeds(vec![0, 2, 5])));
        assert_eq!("1..3".parse(), Ok(Seeds(vec![1, 2, 3])));
        assert!("3..1".parse::<Seeds>().is_err());
        assert!("0..99999999".parse::<Seeds>().is_err());
        assert!("all".parse::<Seeds>().is_err());
    }
}
