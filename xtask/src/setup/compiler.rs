//! Checks that there is a C++ compiler before starting long work.

use std::process::{Command, Stdio};

use anyhow::{Result, bail};

/// An empty C++17 program that needs the headers of the standard library as well as the compiler.
const ARGS: [&str; 7] = ["-std=c++17", "-fsyntax-only", "-include", "vector", "-x", "c++", "-"];

/// Checks a small program with the compiler that the build will use.
pub(crate) fn check() -> Result<()> {
    let compiler = std::env::var("CXX").ok().filter(|name| !name.trim().is_empty());
    check_compiler(compiler.as_deref().unwrap_or("c++"))
}

fn check_compiler(compiler: &str) -> Result<()> {
    // `CXX` may contain flags, or a wrapper before the compiler's name.
    let mut words = compiler.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or(compiler));
    let Ok(output) = command.args(words).args(ARGS).stdin(Stdio::null()).output() else {
        bail!("there is no C++ compiler: `{compiler}` cannot be started\n{}", install_one());
    };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!(
            "the C++ compiler `{compiler}` cannot compile a small C++17 program:\n{}\n{}",
            said.trim(),
            install_one()
        );
    }
    Ok(())
}

fn install_one() -> &'static str {
    if cfg!(target_os = "macos") {
        "install one with `xcode-select --install`"
    } else {
        "install one, for example `apt install g++` (Debian, Ubuntu) or `dnf install gcc-c++` (Fedora)"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_compiler_comes_with_a_way_to_install_one() {
        let text = check_compiler("no-such-compiler").unwrap_err().to_string();
        assert!(text.contains("`no-such-compiler` cannot be started"), "{text}");
        assert!(text.contains("install"), "{text}");
    }

    #[test]
    fn a_compiler_that_fails_is_quoted() {
        let text = check_compiler("ls --no-such-flag").unwrap_err().to_string();
        assert!(text.contains("cannot compile"), "{text}");
        assert!(text.contains("no-such-flag"), "{text}");
    }
}
