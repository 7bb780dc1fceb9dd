//! A file with all that is known of it: what the check found and learnt, its names, its lines.

use crate::names::{Scope, Statement, Symbol, Word, part};
use crate::overlay::Overlay;
use crate::positions::{Encoding, Lines};
use aent::load::Loader;
use aent::source::Source;
use aent::span::{SourceId, Span};
use aent::{Analysis, Compiler, Fact};
use lsp_types::{Position, Range};
use std::path::{Path, PathBuf};

/// A file and what it imports, as of one moment.
#[derive(Debug)]
pub(crate) struct View {
    /// What the check says.
    pub(crate) analysis: Analysis,
    /// The names.
    pub(crate) scope: Scope,
    /// The lines of each file.
    lines: Vec<Lines>,
    /// The located paths of the files; none for those of the library.
    paths: Vec<Option<PathBuf>>,
}

/// The file that a view is of.
pub(crate) const ROOT: SourceId = SourceId(0);

/// A name at a place in the file, with what it means.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<'v> {
    /// The number of its statement.
    pub(crate) statement: usize,
    /// Its number in the statement.
    pub(crate) index: usize,
    /// The name itself.
    pub(crate) word: Word,
    /// Its text.
    pub(crate) text: &'v str,
}

impl View {
    /// Reads and checks a file.
    pub(crate) fn new(path: &Path, overlay: &Overlay, encoding: Encoding) -> Self {
        let analysis = Compiler::new().loader(overlay.clone()).analyse_file(overlay.shown(path));
        let scope = Scope::new(&analysis.bundle);
        let of = |source: &Source| Lines::new(source.text(), encoding);
        let lines = analysis.bundle.sources.iter().map(|(_, source)| of(source)).collect();
        let located = |(id, source): (SourceId, &Source)| {
            if id == ROOT { Some(overlay.locate(path)) } else { source.path().map(Path::to_owned) }
        };
        let paths = analysis.bundle.sources.iter().map(located).collect();
        Self { analysis, scope, lines, paths }
    }

    /// The text of the file itself.
    pub(crate) fn text(&self) -> &str {
        self.source(ROOT).text()
    }

    /// The text of a file, with its name.
    pub(crate) fn source(&self, id: SourceId) -> &Source {
        self.analysis.bundle.sources.get(id)
    }

    /// The located path of a file; none for one of the library.
    pub(crate) fn path(&self, id: SourceId) -> Option<&Path> {
        self.paths[id.0 as usize].as_deref()
    }

    /// The located paths of all its files, itself first.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.paths.iter().filter_map(Option::as_deref)
    }

    /// The text at a place.
    pub(crate) fn part(&self, span: Span) -> &str {
        part(self.source(span.source).text(), span)
    }

    /// The range of a place.
    pub(crate) fn range(&self, span: Span) -> Range {
        self.lines(span.source).range(self.source(span.source).text(), span)
    }

    /// The lines of a file.
    pub(crate) fn lines(&self, id: SourceId) -> &Lines {
        &self.lines[id.0 as usize]
    }

    /// The byte at a position in the file itself.
    pub(crate) fn offset(&self, position: Position) -> usize {
        self.lines(ROOT).offset(self.text(), position)
    }

    /// The place that a range covers in the file itself.
    pub(crate) fn span(&self, range: Range) -> Span {
        Span::new(ROOT, self.offset(range.start), self.offset(range.end))
    }

    /// The statements of the file itself.
    pub(crate) fn statements(&self) -> &[Statement] {
        self.scope.statements(ROOT)
    }

    /// The name at a byte of the file itself, or right before it.
    pub(crate) fn word_at(&self, offset: usize) -> Option<Found<'_>> {
        let offset = offset as u32;
        let statement = self.scope.statement_at(ROOT, offset)?;
        let words = &self.statements()[statement].words;
        let index = words.iter().position(|word| word.span.start <= offset && offset <= word.span.end)?;
        let word = words[index];
        Some(Found { statement, index, word, text: self.part(word.span) })
    }

    /// All names of a file.
    pub(crate) fn words(&self, source: SourceId) -> impl Iterator<Item = Found<'_>> {
        let statements = self.scope.statements(source).iter().enumerate();
        statements.flat_map(move |(statement, of)| {
            let words = of.words.iter().enumerate();
            words.map(move |(index, word)| Found {
                statement,
                index,
                word: *word,
                text: self.part(word.span),
            })
        })
    }

    /// What a name means.
    pub(crate) fn symbol(&self, found: &Found<'_>) -> Option<Symbol> {
        self.scope.symbol(&self.analysis.bundle, found.word.span.source, found.statement, found.index)
    }

    /// What is known of the value at a place.
    pub(crate) fn fact(&self, place: Span) -> Option<&Fact> {
        self.analysis.facts.at(place)
    }
}
