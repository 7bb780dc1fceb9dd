//! The server as an editor meets it: over a connection, with files on a disk.

#![expect(clippy::unwrap_used, reason = "an answer that is not as the protocol has it has failed")]
#![expect(clippy::print_stdout, reason = "a benchmark shows what it measured")]

mod answers;
mod benchmark;
mod client;
mod edits;
mod findings;
mod marked;
mod protocol;
mod requests;
mod session;
