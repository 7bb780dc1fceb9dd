//! The Zed extension: it starts `aent lsp`.

use zed_extension_api::settings::LspSettings;
use zed_extension_api::{
    Command, Extension, LanguageServerId, Result, Worktree, register_extension, serde_json,
};

/// Where the program is, and what it is told at the start.
struct Aent;

impl Extension for Aent {
    fn new() -> Self {
        Self
    }

    fn language_server_command(&mut self, server: &LanguageServerId, worktree: &Worktree) -> Result<Command> {
        let binary = LspSettings::for_worktree(server.as_ref(), worktree)?.binary;
        let set = binary.and_then(|binary| binary.path);
        let command = set.or_else(|| worktree.which("aent")).ok_or(
            "there is no program `aent` on PATH; build it with `cargo build --release -p aent-cli \
             --no-default-features` in a clone of aent, or set `lsp.aent.binary.path`",
        )?;
        Ok(Command { command, args: vec!["lsp".to_owned()], env: worktree.shell_env() })
    }

    fn language_server_initialization_options(
        &mut self,
        server: &LanguageServerId,
        worktree: &Worktree,
    ) -> Result<Option<serde_json::Value>> {
        Ok(LspSettings::for_worktree(server.as_ref(), worktree)?.initialization_options)
    }
}

register_extension!(Aent);
