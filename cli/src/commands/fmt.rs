//! `aent fmt`: writes files in the one canonical layout.

use super::input::{STDIN, STDIN_NAME, stdin};
use crate::arguments::Fmt;
use crate::render::counted;
use crate::{Status, render, stream};
use aent::diag::{Diagnostic, Diagnostics};
use aent::source::{Source, Sources};
use aent::span::{SourceId, Span};
use std::fs;
use std::path::Path;

/// Writes every file in the canonical layout, or lists those that are not in it.
pub(crate) fn run(arguments: &Fmt) -> Status {
    let (mut changed, mut same, mut wrong) = (0, 0, 0);
    for file in &arguments.files {
        match format(file, arguments.check) {
            Ok(Change::Changed) => changed += 1,
            Ok(Change::Same) => same += 1,
            Err(found) => {
                stream::complain(&found);
                wrong += 1;
            }
        }
    }
    let verb = if arguments.check { "would be reformatted" } else { "reformatted" };
    let left = if wrong > 0 { format!(", {} left as found", counted(wrong, "file")) } else { String::new() };
    stream::complain(&format!("{} {verb}, {same} unchanged{left}\n", counted(changed, "file")));
    let differs = arguments.check && changed > 0;
    if wrong > 0 || differs { Status::Wrong } else { Status::Done }
}

enum Change {
    Changed,
    Same,
}

/// Formats one file. An error is ready to be shown.
fn format(path: &Path, only_check: bool) -> Result<Change, String> {
    let is_stdin = path == Path::new(STDIN);
    let name = if is_stdin { STDIN_NAME.to_owned() } else { path.display().to_string() };
    let bytes = if is_stdin {
        stdin().map_err(|error| render::sentence(&error))?
    } else {
        fs::read(path).map_err(|error| render::sentence(&format!("cannot read `{name}`: {error}")))?
    };
    let text = canonical(&name, &bytes)?;
    let is_same = text.as_bytes() == bytes;
    match (only_check, is_stdin, is_same) {
        (true, _, false) => stream::print(&format!("{name}\n")),
        (false, true, _) => stream::print(&text),
        (false, false, false) => aent_files::write(path, text.as_bytes())
            .map_err(|error| format!("cannot write `{name}`: {error}")),
        _ => Ok(()),
    }
    .map_err(|error| render::sentence(&error))?;
    Ok(if is_same { Change::Same } else { Change::Changed })
}

/// The canonical text of a file without syntax errors.
fn canonical(name: &str, bytes: &[u8]) -> Result<String, String> {
    let show = |text: &str, found: &Diagnostics| {
        let mut sources = Sources::default();
        sources.add(Source::new(name, text));
        render::human(found, &sources)
    };
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        let message = format!("expected UTF-8 text, found the byte 0x{:02x}", bytes[at]);
        let found = Diagnostic::error("not-utf8", Span::new(SourceId(0), at, at), message);
        show(&String::from_utf8_lossy(bytes), &found.into())
    })?;
    let (file, found) = aent::syntax::parse(SourceId(0), text);
    if found.has_errors() {
        return Err(show(text, &found));
    }
    Ok(aent::syntax::print(&file, text))
}
