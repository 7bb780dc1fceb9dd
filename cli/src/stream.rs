//! Writing to the standard streams. A reader that has gone away, as in `aent terms | head`, is no error; a full disk is.

use std::io::{self, ErrorKind, Write};

/// Writes text to standard output.
pub(crate) fn print(text: &str) -> Result<(), String> {
    checked(write(&mut io::stdout().lock(), text), "standard output")
}

/// Writes text to standard error where it is what a command was asked for.
pub(crate) fn report(text: &str) -> Result<(), String> {
    checked(write(&mut io::stderr().lock(), text), "standard error")
}

/// Writes a remark to standard error. Where it cannot be written, the exit status still says how the command ended.
pub(crate) fn complain(text: &str) {
    let _ = write(&mut io::stderr().lock(), text);
}

/// Whether a write to a standard stream failed, as a sentence.
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
