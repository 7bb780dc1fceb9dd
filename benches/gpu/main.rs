//! One visit to a GPU: checks every statistic, set, kind and gradient on the device against f64, then measures.
//!
//! `--device cpu` does the same on the processor, on smaller rows, so that this program is itself tested anywhere.

#![expect(clippy::print_stdout, reason = "it prints a report")]

mod check;
mod measure;
mod rows;

use std::process::ExitCode;

use aent::host::{Libtorch, load_cuda};
use aent::kernels::fallback_reason;
use tch::{Cuda, Device};

/// What is asked for on the command line.
struct Options {
    device: Device,
    rows: i64,
    vocabulary: i64,
    /// Whether nothing is measured.
    only_checks: bool,
}

fn main() -> ExitCode {
    match options(std::env::args().skip(1)).and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            println!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), String> {
    if options.device.is_cuda() {
        load_cuda().map_err(|error| error.to_string())?;
        if !Cuda::is_available() {
            println!("there is no GPU that CUDA can reach, so there is nothing to check or to measure");
            return Ok(());
        }
        if let Some(reason) = fallback_reason(&Libtorch, options.device.into()) {
            return Err(format!("the kernels cannot run on this GPU: {reason}"));
        }
    }
    let checked = check::everything(options.device)?;
    println!("{checked} rows of numbers agree with f64 on {:?}\n", options.device);
    if !options.only_checks {
        measure::everything(options.device, options.rows, options.vocabulary);
    }
    Ok(())
}

fn options(arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options { device: Device::Cuda(0), rows: 0, vocabulary: 0, only_checks: false };
    let mut arguments = arguments;
    while let Some(name) = arguments.next() {
        let mut number = || {
            let value = arguments.next().and_then(|value| value.parse::<i64>().ok());
            value.filter(|value| *value > 0).ok_or_else(|| format!("`{name}`: expected a positive number"))
        };
        match name.as_str() {
            "--rows" => options.rows = number()?,
            "--vocabulary" => options.vocabulary = number()?,
            "--only-checks" => options.only_checks = true,
            "--device" => {
                options.device = match arguments.next().as_deref() {
                    Some("cpu") => Device::Cpu,
                    Some("cuda") => Device::Cuda(0),
                    _ => return Err("`--device`: expected `cpu` or `cuda`".to_owned()),
                }
            }
            // What cargo adds when it runs a benchmark.
            "--bench" => {}
            _ => {
                let known = "`--device`, `--rows`, `--vocabulary` or `--only-checks`";
                return Err(format!("expected {known}, found `{name}`"));
            }
        }
    }
    let default = if options.device.is_cuda() { (4096, 151_936) } else { (16, 20_001) };
    options.rows = if options.rows == 0 { default.0 } else { options.rows };
    options.vocabulary = if options.vocabulary == 0 { default.1 } else { options.vocabulary };
    Ok(options)
}
