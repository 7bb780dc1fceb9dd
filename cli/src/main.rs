//! The program `aent`.

use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(feature = "tch")]
    let host = Some(&aent::host::Libtorch as _);
    #[cfg(not(feature = "tch"))]
    let host = None;
    ExitCode::from(aent_cli::run(std::env::args_os(), host))
}
