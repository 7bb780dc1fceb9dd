//! What the protocol demands of an answer, whatever was asked: places that exist in the text that they are of, ranges that
//! lie in one another where they must, edits that do not overlap.

use crate::client::path;
use lsp_types::{Position, Range, Uri};
use serde_json::{Map, Value};
use std::fs;

/// Checks an answer about a file with this text. Other files are those on the disk.
///
/// # Panics
/// The answer breaks a rule of the protocol.
pub(crate) fn check(method: &str, answer: &Value, file: &Uri, text: &str) {
    let found = Rules { file, text }.value(answer, file);
    assert!(found.is_ok(), "{method}: {}\nin {answer:#}\nabout {text:?}", found.unwrap_err());
    if method.starts_with("textDocument/semanticTokens") {
        let found = tokens(&answer["data"], text);
        assert!(found.is_ok(), "{method}: {}\nabout {text:?}", found.unwrap_err());
    }
}

/// The lines of a text by the protocol's rule, each with the byte at which it begins: they end with LF, CRLF or CR.
pub(crate) fn lines(text: &str) -> Vec<(usize, &str)> {
    let mut out = Vec::new();
    let mut start = 0;
    while let Some(length) = text[start..].find(['\n', '\r']) {
        let end = start + length;
        out.push((start, &text[start..end]));
        start = end + if text[end..].starts_with("\r\n") { 2 } else { 1 };
    }
    out.push((start, &text[start..]));
    out
}

struct Rules<'a> {
    file: &'a Uri,
    text: &'a str,
}

impl Rules<'_> {
    /// Checks a value and all in it. `of` is the file that its places are in.
    fn value(&self, value: &Value, of: &Uri) -> Result<(), String> {
        match value {
            Value::Array(all) => {
                all.iter().try_for_each(|one| self.value(one, of))?;
                apart(all)
            }
            Value::Object(fields) => self.object(fields, of),
            _ => Ok(()),
        }
    }

    fn object(&self, fields: &Map<String, Value>, of: &Uri) -> Result<(), String> {
        let named = ["uri", "targetUri"].iter().find_map(|name| fields.get(*name)?.as_str());
        let of = &named.map_or_else(|| of.clone(), |name| Uri(name.to_owned()));
        if fields.contains_key("character") {
            let position: Position = read(fields)?;
            self.position(position, of)?;
        }
        if fields.contains_key("start") && fields.contains_key("end") {
            let range: Range = read(fields)?;
            if before(range.end, range.start) {
                return Err(format!("{range:?} ends before it starts"));
            }
        }
        if let (Some(start), Some(end)) = (number(fields, "startLine"), number(fields, "endLine")) {
            let count = lines(self.text).len() as u64;
            if start > end || end >= count {
                return Err(format!("no fold of a text of {count} lines: {fields:?}"));
            }
        }
        if let (Some(inner), Some(outer)) = (range_of(fields, "selectionRange"), range_of(fields, "range")) {
            within(inner, outer)?;
        }
        if let (Some(inner), Some(Value::Object(parent))) = (range_of(fields, "range"), fields.get("parent"))
        {
            within(inner, range_of(parent, "range").ok_or("a parent without a range")?)?;
        }
        for (name, value) in fields {
            match value {
                // The edits of a rename or a quick fix, by file.
                Value::Object(files) if name == "changes" => {
                    files.iter().try_for_each(|(file, edits)| self.value(edits, &Uri(file.clone())))?;
                }
                // What an editor hands back as it is.
                _ if name == "data" => {}
                _ => self.value(value, of)?,
            }
        }
        Ok(())
    }

    fn position(&self, position: Position, of: &Uri) -> Result<(), String> {
        let is_there = if of == self.file {
            exists(self.text, position)
        } else {
            let text = fs::read_to_string(path(of)).map_err(|error| format!("{}: {error}", of.0))?;
            exists(&text, position)
        };
        if is_there { Ok(()) } else { Err(format!("{position:?} is no place of {}", of.0)) }
    }
}

/// Whether a text has a position, and not in the middle of a character.
fn exists(text: &str, position: Position) -> bool {
    let Some((_, line)) = lines(text).get(position.line as usize).copied() else { return false };
    let mut at = 0;
    let mut columns = line.chars().map(|character| {
        at += character.len_utf16() as u32;
        at
    });
    position.character == 0 || columns.any(|column| column == position.character)
}

/// Checks that edits of one text touch at most where one begins and the other ends.
fn apart(all: &[Value]) -> Result<(), String> {
    let edit = |value: &Value| value.get("newText").and_then(|_| range_of(value.as_object()?, "range"));
    let mut edits: Vec<Range> = all.iter().filter_map(edit).collect();
    edits.sort_by_key(|of| (of.start.line, of.start.character, of.end.line, of.end.character));
    let overlap = edits.windows(2).find(|pair| before(pair[1].start, pair[0].end));
    overlap.map_or(Ok(()), |pair| Err(format!("edits overlap: {pair:?}")))
}

/// Checks that semantic tokens follow one another, each within its line.
fn tokens(data: &Value, text: &str) -> Result<(), String> {
    let numbers: Vec<u32> = serde_json::from_value(data.clone()).map_err(|error| error.to_string())?;
    let lines = lines(text);
    let (mut line, mut column, mut end) = (0, 0, 0);
    for token in numbers.chunks(5) {
        let &[down, right, length, ..] = token else { return Err(format!("half a token: {token:?}")) };
        if down > 0 {
            (column, end) = (0, 0);
        }
        line += down;
        column += right;
        let (_, here) = lines.get(line as usize).ok_or(format!("a token in line {line}"))?;
        let width = here.encode_utf16().count() as u32;
        if column < end || length == 0 || column + length > width {
            return Err(format!("{length} units from {line}:{column} on, after {end}, of {width}"));
        }
        end = column + length;
    }
    Ok(())
}

fn within(inner: Range, outer: Range) -> Result<(), String> {
    if before(inner.start, outer.start) || before(outer.end, inner.end) {
        return Err(format!("{inner:?} does not lie in {outer:?}"));
    }
    Ok(())
}

fn before(a: Position, b: Position) -> bool {
    (a.line, a.character) < (b.line, b.character)
}

fn number(fields: &Map<String, Value>, name: &str) -> Option<u64> {
    fields.get(name)?.as_u64()
}

fn range_of(fields: &Map<String, Value>, name: &str) -> Option<Range> {
    serde_json::from_value(fields.get(name)?.clone()).ok()
}

fn read<T: serde::de::DeserializeOwned>(fields: &Map<String, Value>) -> Result<T, String> {
    serde_json::from_value(Value::Object(fields.clone())).map_err(|error| format!("{error}: {fields:?}"))
}
