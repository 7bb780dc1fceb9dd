//! What has to hold of any text.

use super::mended;
use aent::diag::codes::CODES;
use aent::diag::{Diagnostic, Diagnostics};
use aent::source::Sources;
use aent::span::{SourceId, Span};
use aent::syntax::{parse, pieces, print, tokens};
use aent::{Compiler, Program};
use aent_show::{Colour, Size};
use serde_json::Value;
use std::time::{Duration, Instant};

/// Only tells an answer from a hang: it takes some milliseconds.
const LONGEST: Duration = Duration::from_secs(30);

/// How many texts were judged, and what they were.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// All of them.
    pub(crate) texts: u32,
    /// Those without a syntax error.
    pub(crate) parsed: u32,
    /// Those without any error.
    pub(crate) compiled: u32,
    /// What was found in them.
    pub(crate) findings: u32,
    /// Fixes that were applied.
    pub(crate) fixes: u32,
}

impl Counts {
    /// Adds the counts of other texts.
    pub(crate) fn add(&mut self, other: Counts) {
        self.texts += other.texts;
        self.parsed += other.parsed;
        self.compiled += other.compiled;
        self.findings += other.findings;
        self.fixes += other.fixes;
    }
}

macro_rules! hold {
    ($condition:expr, $($words:tt)*) => {
        if !$condition {
            return Err(format!($($words)*));
        }
    };
}
pub(crate) use hold;

/// All findings of a text, the texts they are in, and the program if it compiles.
pub(crate) fn found(text: &str) -> (Diagnostics, Sources, Option<Program>) {
    match Compiler::new().compile("spec.aent", text) {
        Ok(program) => (program.warnings().clone(), program.sources().clone(), Some(program)),
        Err(failure) => (failure.diagnostics, failure.sources, None),
    }
}

/// Says what does not hold of a text, if anything.
pub(crate) fn judge(text: &str) -> Result<Counts, String> {
    let start = Instant::now();
    let (file, wrong) = parse(SourceId(0), text);
    let words = read(text, &format!("{file:?}"))?;
    let (found, sources, program) = found(text);
    hold!(program.is_some() != found.has_errors(), "a program or an error");
    shown(&found, &sources)?;
    hold!(found.iter().count() <= words + 8, "{} findings of {words} tokens", found.iter().count());
    if let Some(program) = &program {
        // The library's functions take some thirty nodes, and a token may be a call of one.
        let most = 100 * words;
        hold!(program.nodes.len() <= most, "{} nodes of {words} tokens", program.nodes.len());
        let size = Size { sequences: 2, length: 3, vocabulary: 5, candidates: 2 };
        hold!(!aent_show::explain(program, size).is_empty(), "nothing is explained");
        valid(&aent_show::explain_json(program, size))?;
    }
    if !wrong.has_errors() {
        formatted(text, &found)?;
    }
    let fixes = mended::judge(text, !wrong.has_errors(), &found)?;
    hold!(start.elapsed() < LONGEST, "answered after {:?}", start.elapsed());
    Ok(Counts {
        texts: 1,
        parsed: u32::from(!wrong.has_errors()),
        compiled: u32::from(program.is_some()),
        findings: found.iter().count() as u32,
        fixes,
    })
}

/// Checks the places of tokens and of a tree, which is shown with `Debug` so that no node is left out. Returns the number of
/// tokens.
fn read(text: &str, tree: &str) -> Result<usize, String> {
    let all = tokens(SourceId(0), text);
    let mut end = 0;
    for token in &all {
        lies_in(text, token.span)?;
        let between = text.get(end..token.span.start as usize);
        hold!(
            between.is_some_and(|of| of.trim_matches(['\u{feff}', ' ', '\t', '\r', '\n']).is_empty()),
            "{between:?} before {token:?}"
        );
        end = token.span.end as usize;
    }
    for token in pieces(SourceId(0), text).iter().flatten() {
        hold!(all.contains(token), "{token:?} is no token of the text");
    }
    let mut places = 0;
    for place in tree.split("Span { source: SourceId(0), ").skip(1) {
        let numbers = place
            .split_once(" }")
            .and_then(|(place, _)| place.strip_prefix("start: ")?.split_once(", end: "));
        let Some((start, end)) = numbers else { continue };
        let (Ok(start), Ok(end)) = (start.parse(), end.parse()) else { continue };
        lies_in(text, Span::new(SourceId(0), start, end))?;
        places += 1;
    }
    hold!(places <= 6 * all.len(), "{places} places of {} tokens", all.len());
    Ok(all.len())
}

fn lies_in(text: &str, span: Span) -> Result<(), String> {
    hold!(text.get(span.start as usize..span.end as usize).is_some(), "{span:?} is no part of the text");
    Ok(())
}

/// A canonical layout is its own layout, keeps all comments, and means the same.
fn formatted(text: &str, before: &Diagnostics) -> Result<(), String> {
    let (file, _) = parse(SourceId(0), text);
    let printed = print(&file, text);
    let (again, wrong) = parse(SourceId(0), &printed);
    hold!(!wrong.has_errors(), "does not parse any more:\n{printed}\n{wrong:?}");
    hold!(print(&again, &printed) == printed, "is formatted otherwise a second time:\n{printed}");
    let comments =
        |of: &aent::syntax::ast::File| of.comments.iter().map(|of| of.node.clone()).collect::<Vec<_>>();
    hold!(comments(&again) == comments(&file), "comments differ:\n{printed}");
    let said = |found: &Diagnostics| {
        let mut said: Vec<_> = found.iter().map(|of| (of.id, of.message.clone())).collect();
        said.sort();
        said
    };
    let after = found(&printed).0;
    hold!(said(&after) == said(before), "formatted\n{printed}\nit has {after:?}\nand had {before:?}");
    Ok(())
}

/// Checks all forms in which findings are shown.
fn shown(found: &Diagnostics, sources: &Sources) -> Result<(), String> {
    for item in found {
        placed(item, sources)?;
    }
    let values = aent_show::json(found, sources);
    for (value, item) in values.iter().zip(found) {
        valid(value)?;
        ends(&value["span"], item.span, sources)?;
        if let Some(fix) = &item.fix {
            ends(&value["fix"]["edits"][0]["span"], fix.span, sources)?;
        }
    }
    let results = aent_show::sarif(found, sources);
    valid(&aent_show::sarif_log(&results))?;
    for result in &results {
        for location in [&result["locations"], &result["relatedLocations"]]
            .into_iter()
            .filter_map(Value::as_array)
            .flatten()
        {
            let region = &location["physicalLocation"]["region"];
            let at = |line: &str, column: &str| (region[line].as_u64(), region[column].as_u64());
            let (start, end) = (at("startLine", "startColumn"), at("endLine", "endColumn"));
            hold!(region.is_null() || (start >= (Some(1), Some(1)) && start <= end), "{result}");
        }
    }
    let (lines, github) = (aent_show::lines(found, sources), aent_show::github(found, sources));
    hold!(github.iter().all(|line| line.starts_with("::")), "{github:?}");
    for line in lines.iter().chain(&github) {
        hold!(!line.contains(|letter: char| letter.is_control()), "not one plain line: {line:?}");
    }
    let people = aent_show::text(found, sources, Colour::Plain);
    hold!(people.is_empty() == found.is_empty(), "{people}");
    hold!(
        !people.contains(|letter: char| letter.is_control() && letter != '\n'),
        "a terminal would obey this: {people:?}"
    );
    let longest = 16 * 1024 * (1 + found.iter().count());
    for length in [people.len(), Value::from(values).to_string().len(), lines.concat().len()] {
        hold!(length <= longest, "{length} bytes for {} findings", found.iter().count());
    }
    Ok(())
}

fn placed(item: &Diagnostic, sources: &Sources) -> Result<(), String> {
    hold!(CODES.iter().any(|code| code.id == item.id), "nobody can look up `{}`", item.id);
    hold!(!item.message.trim().is_empty(), "{item:?}");
    for span in [item.span].into_iter().chain(item.labels.iter().map(|of| of.span)) {
        lies_in(sources.get(span.source).text(), span)?;
    }
    if let Some(fix) = &item.fix {
        lies_in(sources.get(fix.span.source).text(), fix.span)?;
        hold!(fix.span.source == SourceId(0), "changes another file: {item:?}");
    }
    Ok(())
}

/// Lines and columns are those of the bytes.
fn ends(shown: &Value, span: Span, sources: &Sources) -> Result<(), String> {
    let text = sources.get(span.source).text();
    for (at, line, column) in [(span.start, "line", "column"), (span.end, "end_line", "end_column")] {
        let before = &text[..at as usize];
        let last = before.rsplit('\n').next().unwrap_or_default();
        let expected = (before.matches('\n').count() + 1, last.chars().count() + 1);
        let found =
            (shown[line].as_u64().map(|of| of as usize), shown[column].as_u64().map(|of| of as usize));
        hold!(found == (Some(expected.0), Some(expected.1)), "{shown} is not at {expected:?}");
    }
    Ok(())
}

/// What is written as JSON is read as the same.
fn valid(value: &Value) -> Result<(), String> {
    let again = serde_json::from_str::<Value>(&value.to_string());
    hold!(again.as_ref().is_ok_and(|again| again == value), "{value} is read as {again:?}");
    Ok(())
}
