//! Cuts a text into statements, so that an error in one does not hide errors in the others.

use super::ast::{Broken, File, Statement};
use super::build::{self, Problem};
use super::habits;
use super::lexical;
use super::scan::{KEYWORDS, Token, TokenKind, scan};
use super::wording::{Neighbourhood, quote};
use super::{MAX_BYTES, MAX_ERRORS, MAX_NESTING, MAX_STATEMENT_TOKENS, MAX_TOKENS};
use crate::diag::{Diagnostic, Diagnostics};
use crate::span::{SourceId, Span, Spanned};
use std::collections::HashSet;

/// Parses a whole text.
pub(super) fn parse(source: SourceId, text: &str) -> (File, Diagnostics) {
    let mut file = File { source, statements: Vec::new(), comments: Vec::new(), broken: Vec::new() };
    let mut errors = Errors::default();
    if text.len() > MAX_BYTES {
        let message = format!("expected at most {MAX_BYTES} bytes, found {}", text.len());
        errors.push(too_large(Span::new(source, 0, 0), message));
        file.broken.push(unread(source, text, 0));
        return (file, errors.found);
    }
    let (tokens, comments) = scan(source, text);
    file.comments = comments;
    let starts = cut(&tokens, text);
    let aliases = aliases(&tokens, text);
    let (mut read, mut blocks) = (0, 0);
    for (index, &start) in starts.iter().enumerate() {
        let end = starts.get(index + 1).copied().unwrap_or(tokens.len());
        let tokens_here = without_braces(&tokens[start..end], text, &mut blocks);
        if tokens_here.is_empty() {
            continue;
        }
        let next = tokens.get(end).copied();
        let here = Neighbourhood { text, source, tokens: tokens_here, next, aliases: &aliases };
        if errors.count >= MAX_ERRORS {
            errors.give_up(tokens_here[0].span(source), starts.len() - index);
            file.broken.push(unread(source, text, tokens_here[0].start));
            break;
        }
        match limits(&here) {
            Some(diagnostic) => {
                errors.push(diagnostic);
                file.broken.extend(broken(&here));
                continue;
            }
            None => read += tokens_here.len(),
        }
        if read > MAX_TOKENS {
            let message =
                format!("expected at most {MAX_TOKENS} words, numbers and symbols in a file, found more");
            errors.push(too_large(tokens_here[0].span(source), message));
            file.broken.push(unread(source, text, tokens_here[0].start));
            break;
        }
        match statement(&here, &mut errors) {
            Some(statement) => file.statements.push(statement),
            None => file.broken.extend(broken(&here)),
        }
    }
    (file, errors.found)
}

/// A statement without the braces that close the `blocks` around it. What opened them is reported.
fn without_braces<'t>(mut tokens: &'t [Token], text: &str, blocks: &mut usize) -> &'t [Token] {
    if tokens.first().is_some_and(|first| habits::opens_block(first.text(text))) {
        *blocks += tokens.iter().filter(|token| token.text(text) == "{").count();
        return tokens;
    }
    while let Some((last, most)) = tokens.split_last()
        && *blocks > 0
        && last.text(text) == "}"
    {
        (tokens, *blocks) = (most, *blocks - 1);
    }
    tokens
}

/// The errors so far.
#[derive(Default)]
struct Errors {
    found: Diagnostics,
    count: usize,
}

impl Errors {
    fn push(&mut self, diagnostic: Diagnostic) {
        if self.count < MAX_ERRORS {
            self.found.push(diagnostic);
        }
        self.count += 1;
    }

    fn give_up(&mut self, span: Span, unread: usize) {
        let message =
            format!("found {} syntax errors, the {unread} statements from here on were not read", self.count);
        self.found.push(
            Diagnostic::error("too-many-errors", span, message).help("mend the first ones and try again"),
        );
    }
}

/// The index of the first token of each statement, or of each piece that should have been one.
pub(super) fn cut(tokens: &[Token], text: &str) -> Vec<usize> {
    let mut starts: Vec<usize> = Vec::new();
    let (mut depth, mut column, mut block) = (0_usize, 0, Block::Outside);
    for (index, &token) in tokens.iter().enumerate() {
        let before = index.checked_sub(1).map(|before| tokens[before]);
        let after_operand = before.is_none_or(Token::ends_operand);
        let begins = match token.kind {
            _ if index == 0 => true,
            _ if block == Block::Inside => {
                let defines = token.text(text) == "let" && !(token.first_on_line && token.column <= column);
                token.kind == TokenKind::Keyword && !defines
            }
            TokenKind::Keyword if token.first_on_line => {
                let defines = tokens.get(index + 1).is_none_or(|next| next.text(text) != "=");
                depth == 0 || defines || token.column <= column
            }
            TokenKind::Keyword => depth == 0 && after_operand,
            TokenKind::Word | TokenKind::Return | TokenKind::Number | TokenKind::String
                if depth == 0 && token.first_on_line =>
            {
                let after_keyword = before.is_some_and(|before| before.kind == TokenKind::Keyword);
                let defines = !after_keyword && looks_like_definition(&tokens[index..], text);
                defines || (after_operand && !continues_statement(token, text))
            }
            _ => false,
        };
        if begins {
            starts.push(index);
            (depth, column) = (0, token.column);
            block = if token.text(text) == "fn" { Block::Ahead } else { Block::Outside };
        }
        match token.kind {
            TokenKind::Open => depth += 1,
            TokenKind::Close => depth = depth.saturating_sub(1),
            TokenKind::Brace if block == Block::Ahead && token.text(text) == "{" => block = Block::Inside,
            TokenKind::Brace => block = Block::Outside,
            _ => {}
        }
    }
    starts
}

/// Where a token is, as seen from the block of the `fn` that it may belong to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    /// In a statement without a block, or behind it.
    Outside,
    /// Between `fn` and `{`.
    Ahead,
    /// Between `{` and `}`.
    Inside,
}

/// The names under which the file imports others.
fn aliases<'t>(tokens: &[Token], text: &'t str) -> HashSet<&'t str> {
    let words = |window: &[Token]| {
        let [import, _, by, alias] = window else { return None };
        let is_import = import.text(text) == "import" && by.text(text) == "as";
        is_import.then(|| alias.text(text))
    };
    tokens.windows(4).filter_map(words).collect()
}

/// `foo = 1` or `lett foo = 1`, which no expression contains.
fn looks_like_definition(tokens: &[Token], text: &str) -> bool {
    let is_sign = |token: &Token| token.text(text) == "=";
    match tokens {
        [word, sign, ..] if is_sign(sign) => word.kind == TokenKind::Word,
        [first, second, sign, ..] if is_sign(sign) => {
            first.kind == TokenKind::Word && second.kind == TokenKind::Word
        }
        _ => false,
    }
}

/// `bool`, `int`, `grad` and `id` may be on the line after `input x: token`.
fn continues_statement(token: Token, text: &str) -> bool {
    matches!(token.text(text), "bool" | "int" | "grad" | "id")
}

/// The error for a statement that is too large or too deep to be parsed.
fn limits(here: &Neighbourhood) -> Option<Diagnostic> {
    let mut depth = 0_usize;
    for token in here.tokens {
        match token.kind {
            TokenKind::Open => depth += 1,
            TokenKind::Close => depth = depth.saturating_sub(1),
            _ => continue,
        }
        if depth > MAX_NESTING {
            let message =
                format!("expected at most {MAX_NESTING} parentheses one inside the other, found more");
            return Some(
                Diagnostic::error("nesting-too-deep", token.span(here.source), message)
                    .help("name parts of it with `let` statements"),
            );
        }
    }
    let first = here.tokens[0];
    let count = here.tokens.len();
    if count <= MAX_STATEMENT_TOKENS {
        return None;
    }
    if first.kind != TokenKind::Keyword {
        return Some(unknown_statement(here, first));
    }
    let most = MAX_STATEMENT_TOKENS;
    let message = format!("expected at most {most} words, numbers and symbols in a statement, found {count}");
    Some(
        Diagnostic::error("expression-too-large", first.span(here.source), message)
            .help("name parts of it with `let` statements"),
    )
}

/// The tree of one statement; reports at least one error if there is none.
fn statement(here: &Neighbourhood, errors: &mut Errors) -> Option<Statement> {
    let before = errors.count;
    let mut opened = false;
    let first = here.tokens[0];
    if habits::opens_block(first.text(here.text)) {
        errors.push(unknown_statement(here, first));
        return None;
    }
    let is_bad = |token: &Token| {
        token.kind == TokenKind::Bad || (token.kind == TokenKind::Brace && first.text(here.text) != "fn")
    };
    for (index, token) in here.tokens.iter().enumerate().filter(|(_, token)| is_bad(token)) {
        let bad = token.text(here.text);
        // The bracket that closes a wrong bracket is part of the same mistake.
        if !(opened && bad.starts_with([']', '}'])) {
            let diagnostic = lexical::explain(here.text, token.span(here.source));
            errors.push(match habits::bracket(here, index) {
                Some(help) => diagnostic.help(help),
                None => diagnostic,
            });
        }
        opened |= bad.starts_with(['[', '{']);
    }
    parentheses(here, errors);
    if errors.count > before {
        return None;
    }
    if first.kind != TokenKind::Keyword {
        errors.push(unknown_statement(here, first));
        return None;
    }
    match build::statement(here) {
        Ok(statement) => return Some(statement),
        Err(Problem::Found(diagnostic)) => errors.push(*diagnostic),
        Err(Problem::Unexpected { at, expected }) => errors.push(here.unexpected(at, &expected)),
    }
    None
}

/// Reports unmatched parentheses.
fn parentheses(here: &Neighbourhood, errors: &mut Errors) {
    let mut open = Vec::new();
    for token in here.tokens {
        match token.kind {
            TokenKind::Open => open.push(token),
            TokenKind::Close if open.pop().is_none() => {
                let message = "expected `(` somewhere before this `)`, found none";
                errors.push(Diagnostic::error("unmatched-paren", token.span(here.source), message));
                return;
            }
            _ => {}
        }
    }
    if let Some(paren) = open.pop() {
        let found = here.next.map_or("the end of the file".to_owned(), |next| quote(next.text(here.text)));
        let message = format!("expected `)` to close this `(`, found {found}");
        let mut diagnostic =
            Diagnostic::error("unclosed-paren", paren.span(here.source), message).help("add the `)`");
        if let Some(next) = here.next {
            diagnostic = diagnostic.label(next.span(here.source), "the next statement begins here");
        }
        errors.push(diagnostic);
    }
}

fn unknown_statement(here: &Neighbourhood, first: Token) -> Diagnostic {
    if matches!(first.kind, TokenKind::Bad | TokenKind::Brace) {
        return lexical::explain(here.text, first.span(here.source));
    }
    let word = first.text(here.text);
    let message = format!("expected a statement, found {}", quote(word));
    let diagnostic = Diagnostic::error("unknown-statement", first.span(here.source), message);
    let second = here.tokens.get(1).map_or("", |token| token.text(here.text));
    let third = here.tokens.get(2).map_or("", |token| token.text(here.text));
    let near = KEYWORDS
        .into_iter()
        .map(|keyword| (strsim::damerau_levenshtein(keyword, &word.to_ascii_lowercase()), keyword))
        .min()
        .filter(|(distance, keyword)| *distance <= 2 && *distance * 2 < keyword.len());
    match (habits::statement(word), near) {
        (Some(help), _) => diagnostic.help(help),
        (None, Some((_, keyword))) => diagnostic.did_you_mean(keyword),
        _ if second == "=" && third != "=" && first.kind == TokenKind::Word => {
            let start = first.start as usize;
            diagnostic
                .help(format!("write `let {word} = ...`"))
                .fix(Span::new(here.source, start, start), "let ")
        }
        _ => diagnostic.help(format!("a statement begins with {}", listed(&KEYWORDS))),
    }
}

fn listed(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// What a statement that failed to parse would have defined, as far as that is clear.
fn broken(here: &Neighbourhood) -> Option<Broken> {
    let (first, last) = (here.tokens[0], here.tokens[here.tokens.len() - 1]);
    let second = here.tokens.get(1).copied();
    let keyword = KEYWORDS.into_iter().find(|keyword| *keyword == first.text(here.text));
    let name = match keyword {
        Some("edition" | "loss" | "assert" | "import" | "set") => None,
        // `foo = 1` and `lett foo = 1` were most likely meant to define `foo`.
        None if second.is_some_and(|token| token.text(here.text) == "=") => Some(first),
        _ => second,
    };
    let name = name.filter(|token| token.kind == TokenKind::Word);
    let name = name.map(|token| Spanned::new(token.text(here.text).to_owned(), token.span(here.source)));
    let span = first.span(here.source).to(last.span(here.source));
    (keyword.is_some() || name.is_some()).then_some(Broken { keyword, name, span })
}

/// Covers everything from one token to the end of the file.
fn unread(source: SourceId, text: &str, start: u32) -> Broken {
    Broken { keyword: None, name: None, span: Span::new(source, start as usize, text.len()) }
}

fn too_large(span: Span, message: String) -> Diagnostic {
    Diagnostic::error("file-too-large", span, message).help("split it, and `import` the parts")
}
