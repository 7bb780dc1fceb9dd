//! Writing to the standard streams. A reader that has gone away, as in `aent terms | head`, is no error.

use std::io::{self, Write};

/// Writes text to standard output.
pub(crate) fn print(text: &str) {
    write(&mut io::stdout().lock(), text);
}

/// Writes text to standard error.
pub(crate) fn complain(text: &str) {
    write(&mut io::stderr().lock(), text);
}

fn write(stream: &mut impl Write, text: &str) {
    // Nobody is left to be told that nobody listens.
    let _ = stream.write_all(text.as_bytes()).and_then(|()| stream.flush());
}
