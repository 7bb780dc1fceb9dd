//! Writes to the standard streams. A closed reader, as in `aent terms | head`, is not an error; a full disk is.

use std::io::{self, ErrorKind, Write};

/// Writes text to standard output.
pub(crate) fn print(text: &str) -> Result<(), String> {
    checked(write(&mut io::stdout().lock(), text), "standard output")
}

/// Writes the output of a command to standard error.
pub(crate) fn report(text: &str) -> Result<(), String> {
    checked(write(&mut io::stderr().lock(), text), "standard error")
}

/// Writes a remark to standard error. If that fails, the exit status still shows how the command ended.
pub(crate) fn complain(text: &str) {
    let _ = write(&mut io::stderr().lock(), text);
}

/// The error of a write to a standard stream, as a sentence; a closed pipe is fine.
pub(crate) fn checked(written: io::Result<()>, stream: &str) -> Result<(), String> {
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(format!("cannot write to {stream}: {error}"))
        }
        _ => Ok(()),
    }
}

fn write(stream: &mut impl Write, text: &str) -> io::Result<()> {
    stream.write_all(text.as_bytes()).and_then(|()| stream.flush())
}
