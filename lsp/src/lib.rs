//! The language server of `.aent` files: everything that an editor asks is answered by the library's own check.
//!
//! ```text
//! editor ──stdio──▶ server ──▶ project: open texts over files, one report for each
//!                      │                   │ check, the same as `aent check`
//!                      └──▶ features ◀── view: findings, facts, names, lines of a file and of what it imports
//! ```

mod alone;
mod capabilities;
mod documents;
mod features;
mod names;
mod overlay;
mod positions;
mod project;
mod requests;
mod server;
mod settings;
mod shelf;
mod uri;
mod view;

pub use alone::{Completion, Completions, completions};
use lsp_server::Connection;
pub use server::serve;

/// Serves the editor on standard input and output until it says goodbye.
///
/// # Errors
/// A sentence that says why it could not go on.
pub fn run() -> Result<(), String> {
    let (connection, threads) = Connection::stdio();
    let served = serve(&connection);
    // The writer ends when nobody can write to it any more.
    drop(connection);
    let ended = threads.join().map_err(|error| format!("cannot speak with the editor: {error}"));
    served.and(ended)
}
