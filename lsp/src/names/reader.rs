//! Reads what the names of a statement are there for, off its tokens.

use super::words::{Call, Kind, Role, Word, part};
use aent::span::{Span, Spanned};
use aent::syntax::Token;

/// Reads the tokens of one statement.
pub(super) struct Reader<'t> {
    text: &'t str,
    tokens: &'t [Spanned<Token>],
    end: usize,
    at: usize,
    /// The names so far.
    pub(super) words: Vec<Word>,
    /// The calls and groups so far.
    pub(super) calls: Vec<Call>,
    /// The calls that are open.
    pub(super) open: Vec<usize>,
    /// The name, or the callee of the call, that ends right before the next token.
    base: Option<usize>,
}

impl<'t> Reader<'t> {
    /// Reads a statement up to a token.
    pub(super) fn read(text: &'t str, tokens: &'t [Spanned<Token>], end: usize, keyword: &str) -> Self {
        let (words, calls, open) = (Vec::new(), Vec::new(), Vec::new());
        let mut reader = Self { text, tokens, end, at: 0, words, calls, open, base: None };
        reader.statement(keyword);
        reader
    }

    fn statement(&mut self, keyword: &str) {
        if keyword.is_empty() {
            self.headless();
        } else {
            self.at = 1;
        }
        match keyword {
            "param" => self.define(Kind::Param),
            "let" => self.define(Kind::Let),
            "metric" => self.define(Kind::Metric),
            "loss" if self.text_at(self.at + 1) == "=" => self.define(Kind::Loss),
            "input" => {
                self.define(Kind::Input);
                return self.language();
            }
            "set" if self.is_name(self.at) => {
                let span = self.tokens[self.at].span;
                self.push(span, Role::Language);
                self.at += 1;
            }
            "import" => {
                let is_alias = |at| self.text_at(at) == "as";
                if let Some(before) = (self.at..self.tokens.len()).find(|at| is_alias(*at)) {
                    self.at = before + 1;
                    self.define(Kind::Alias);
                }
                return;
            }
            "controller" => {
                self.define(Kind::Controller);
                if self.text_at(self.at) == "=" {
                    self.at += 1;
                    if let Some(span) = self.path() {
                        let word = self.push(span, Role::Controller);
                        self.base = Some(word);
                    }
                }
            }
            "fn" => {
                self.define(Kind::Function);
                self.parameters();
                self.steps();
            }
            _ => {}
        }
        self.formula();
    }

    /// `foo = 1` and `lett foo = 1` were most likely meant to define `foo`.
    fn headless(&mut self) {
        if self.is_name(1) && self.text_at(2) == "=" {
            self.at = 1;
        }
        if self.is_name(self.at) && self.text_at(self.at + 1) == "=" {
            self.define(Kind::Let);
        }
    }

    fn define(&mut self, kind: Kind) {
        if self.is_name(self.at) && self.at < self.end {
            let span = self.tokens[self.at].span;
            self.push(span, Role::Definition(kind));
            self.at += 1;
        }
    }

    /// The names between the parentheses of a `fn`, with the formulas of their defaults.
    fn parameters(&mut self) {
        if self.text_at(self.at) != "(" {
            return;
        }
        let depth = self.open.len();
        self.enter(None);
        while self.at < self.end && self.open.len() > depth {
            let starts = matches!(self.text_at(self.at.wrapping_sub(1)), "(" | ",");
            if self.open.len() == depth + 1 && starts && self.is_name(self.at) {
                self.define(Kind::Parameter);
                self.base = None;
            } else {
                self.token();
            }
        }
    }

    /// What the block of a `fn` names.
    fn steps(&mut self) {
        if self.text_at(self.at) != "{" {
            return;
        }
        while self.at < self.end && self.text_at(self.at) != "}" {
            let named = self.is_name(self.at + 1) && self.text_at(self.at + 2) == "=";
            let kind = match self.text_at(self.at) {
                "let" => Some(Kind::Step),
                "extra" if named => Some(Kind::Extra),
                _ => None,
            };
            match kind.filter(|_| self.open.is_empty()) {
                Some(kind) => {
                    self.at += 1;
                    self.define(kind);
                }
                None => self.token(),
            }
        }
    }

    fn language(&mut self) {
        while self.at < self.end {
            if self.is_name(self.at) {
                let span = self.tokens[self.at].span;
                self.push(span, Role::Language);
            }
            self.at += 1;
        }
    }

    fn formula(&mut self) {
        while self.at < self.end {
            self.token();
        }
    }

    /// Reads the next token of a formula.
    fn token(&mut self) {
        match self.text_at(self.at) {
            "(" => {
                let callee = self.base.take();
                self.enter(callee);
            }
            ")" => {
                let closed = self.open.pop();
                let call = closed.map(|index| &mut self.calls[index]);
                self.base = call.and_then(|call| {
                    call.close = Some(self.tokens[self.at].span);
                    call.callee
                });
                self.at += 1;
            }
            "," => {
                if let Some(call) = self.open.last().map(|index| &mut self.calls[*index]) {
                    call.commas += 1;
                    call.last = self.tokens[self.at].span.end;
                }
                self.base = None;
                self.at += 1;
            }
            "." => {
                self.at += 1;
                let of = self.base.take();
                if self.is_name(self.at) && self.at < self.end {
                    let called = self.text_at(self.at + 1) == "(";
                    let role = if called { Role::CalledMember(of) } else { Role::Member(of) };
                    let span = self.tokens[self.at].span;
                    let word = self.push(span, role);
                    self.base = called.then_some(word);
                    self.at += 1;
                }
            }
            _ => self.operand(),
        }
    }

    fn operand(&mut self) {
        let begins = matches!(self.text_at(self.at.wrapping_sub(1)), "(" | ",") && !self.open.is_empty();
        let index = self.open.last().copied();
        if let (true, Some(index)) = (begins, index) {
            self.calls[index].arguments.push((self.tokens[self.at].span.start, None));
        }
        let Some(span) = self.path() else {
            self.base = None;
            self.at += 1;
            return;
        };
        let word = if let (true, "=", Some(index)) = (begins, self.text_at(self.at), index) {
            let callee = self.calls[index].callee;
            let word = self.push(span, Role::Argument(callee));
            if let Some((_, name)) = self.calls[index].arguments.last_mut() {
                *name = Some(word);
            }
            self.base = None;
            return;
        } else if self.text_at(self.at) == "(" {
            self.push(span, Role::Callee)
        } else {
            self.push(span, Role::Value)
        };
        self.base = Some(word);
    }

    /// Goes past a name, and past the `::` and the name after it.
    fn path(&mut self) -> Option<Span> {
        if !self.is_name(self.at) || self.at >= self.end {
            return None;
        }
        let first = self.tokens[self.at].span;
        self.at += 1;
        if self.text_at(self.at) == "::" && self.is_name(self.at + 1) && self.at + 1 < self.end {
            let last = self.tokens[self.at + 1].span;
            self.at += 2;
            return Some(first.to(last));
        }
        Some(first)
    }

    fn enter(&mut self, callee: Option<usize>) {
        let open = self.tokens[self.at].span;
        self.open.push(self.calls.len());
        self.calls.push(Call { callee, open, close: None, commas: 0, last: open.end, arguments: Vec::new() });
        self.base = None;
        self.at += 1;
    }

    fn push(&mut self, span: Span, role: Role) -> usize {
        self.words.push(Word { span, role });
        self.words.len() - 1
    }

    fn is_name(&self, at: usize) -> bool {
        self.tokens.get(at).is_some_and(|token| token.node == Token::Name)
    }

    fn text_at(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| part(self.text, token.span))
    }
}
