//! `aent fmt`: writes files in the one canonical layout.

use super::input::{STDIN, stdin, stdin_name};
use super::{diff, files};
use crate::arguments::Fmt;
use crate::render::counted;
use crate::{Outcome, Status, render, stream, usage};
use aent::diag::{Diagnostic, Diagnostics};
use aent::source::{Source, Sources};
use aent::span::{SourceId, Span};
use std::fs;
use std::path::Path;

/// Writes every file in the canonical layout, or shows which are not in it or how they would change.
pub(crate) fn run(arguments: &Fmt) -> Outcome {
    if let Some(sentence) = files::contradiction(&arguments.files, arguments.stdin_filename.as_ref()) {
        return Ok(usage(sentence));
    }
    let (mut changed, mut same, mut wrong) = (0, 0, 0);
    for file in files::expand(&arguments.files)? {
        match format(&file, arguments) {
            Ok(Change::Changed) => changed += 1,
            Ok(Change::Same) => same += 1,
            Err(found) => {
                stream::complain(&found);
                wrong += 1;
            }
        }
    }
    let only_looks = arguments.check || arguments.diff;
    if !arguments.quiet {
        let verb = if only_looks { "would be reformatted" } else { "reformatted" };
        let left =
            if wrong > 0 { format!(", {} left as found", counted(wrong, "file")) } else { String::new() };
        stream::complain(&format!("{} {verb}, {same} unchanged{left}\n", counted(changed, "file")));
    }
    let differs = only_looks && changed > 0;
    Ok(if wrong > 0 || differs { Status::Wrong } else { Status::Done })
}

enum Change {
    Changed,
    Same,
}

/// Formats one file. An error is ready to be shown.
fn format(path: &Path, arguments: &Fmt) -> Result<Change, String> {
    let is_stdin = path == Path::new(STDIN);
    let name =
        if is_stdin { stdin_name(arguments.stdin_filename.as_ref()) } else { path.display().to_string() };
    let bytes = if is_stdin {
        stdin().map_err(|error| render::sentence(&error))?
    } else {
        fs::read(path).map_err(|error| render::sentence(&format!("cannot read `{name}`: {error}")))?
    };
    let found = text(&name, &bytes)?;
    let canonical = canonical(&name, found)?;
    let is_same = canonical == found;
    let write = || -> Result<(), String> {
        if arguments.check && !is_same {
            stream::print(&format!("{name}\n"))?;
        }
        if arguments.diff && !is_same {
            stream::print(&diff::unified(&name, found, &canonical))?;
        }
        match (arguments.check || arguments.diff, is_stdin) {
            (true, _) => Ok(()),
            (false, true) => stream::print(&canonical),
            (false, false) if is_same => Ok(()),
            (false, false) => aent_files::write(path, canonical.as_bytes())
                .map_err(|error| format!("cannot write `{name}`: {error}")),
        }
    };
    write().map_err(|error| render::sentence(&error))?;
    Ok(if is_same { Change::Same } else { Change::Changed })
}

/// A file's text.
fn text<'a>(name: &str, bytes: &'a [u8]) -> Result<&'a str, String> {
    std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        let message = format!("expected UTF-8 text, found the byte 0x{:02x}", bytes[at]);
        let found = Diagnostic::error("not-utf8", Span::new(SourceId(0), at, at), message);
        show(name, &String::from_utf8_lossy(bytes), &found.into())
    })
}

/// The canonical text of a file without syntax errors.
fn canonical(name: &str, text: &str) -> Result<String, String> {
    let (file, found) = aent::syntax::parse(SourceId(0), text);
    if found.has_errors() {
        return Err(show(name, text, &found));
    }
    Ok(aent::syntax::print(&file, text))
}

fn show(name: &str, text: &str, found: &Diagnostics) -> String {
    let mut sources = Sources::default();
    sources.add(Source::new(name, text));
    render::human(found, &sources)
}
