//! Checks that there is a C++ compiler before starting long work.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

/// Needs the standard library's headers as well as the compiler.
const PROGRAM: &str = "#include <vector>\nint main() { return static_cast<int>(std::vector<int>(1)[0]); }\n";

/// Checks a small C++17 program with the compiler that the build will use.
pub(crate) fn check() -> Result<()> {
    let compiler = std::env::var("CXX").ok().filter(|name| !name.trim().is_empty());
    check_compiler(compiler.as_deref().unwrap_or("c++"))
}

fn check_compiler(compiler: &str) -> Result<()> {
    // `CXX` may contain flags, or a wrapper before the compiler's name.
    let mut words = compiler.split_whitespace();
    let child = Command::new(words.next().unwrap_or(compiler))
        .args(words)
        .args(["-std=c++17", "-fsyntax-only", "-x", "c++", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        bail!("there is no C++ compiler: `{compiler}` cannot be started\n{}", install_one());
    };
    if let Some(mut input) = child.stdin.take() {
        // A compiler that fails at once closes its input; its own message is the better one.
        let _ = input.write_all(PROGRAM.as_bytes());
    }
    let output = child.wait_with_output()?;
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
