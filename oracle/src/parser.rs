//! From tokens to a program, by recursive descent.

use crate::lexer::{Token, tokens};
use crate::tree::{Arg, Definition, Expr, Function, Input, Literal, Module, Program};
use crate::{Result, wrong};
use std::collections::BTreeMap;

/// The library that comes with the language.
const LIBRARY: [(&str, &str); 10] = [
    ("std/advantages.aent", include_str!("../../src/load/std/advantages.aent")),
    ("std/averages.aent", include_str!("../../src/load/std/averages.aent")),
    ("std/entropy.aent", include_str!("../../src/load/std/entropy.aent")),
    ("std/kl.aent", include_str!("../../src/load/std/kl.aent")),
    ("std/masks.aent", include_str!("../../src/load/std/masks.aent")),
    ("std/mismatch.aent", include_str!("../../src/load/std/mismatch.aent")),
    ("std/preferences.aent", include_str!("../../src/load/std/preferences.aent")),
    ("std/regression.aent", include_str!("../../src/load/std/regression.aent")),
    ("std/surrogates.aent", include_str!("../../src/load/std/surrogates.aent")),
    ("std/values.aent", include_str!("../../src/load/std/values.aent")),
];

impl Program {
    /// Reads a file that imports nothing but the library.
    pub fn parse(text: &str) -> Result<Self> {
        Self::parse_with(text, &BTreeMap::new())
    }

    /// Reads a file that imports others, which are given by the path that stands in the import.
    pub fn parse_with(text: &str, files: &BTreeMap<String, String>) -> Result<Self> {
        let mut reader = Reader { modules: vec![Module::default()], known: BTreeMap::new(), files };
        reader.read(0, text)?;
        Ok(Self { modules: reader.modules, params: BTreeMap::new() })
    }

    /// The same program with another value for a `param`, by its name outside: `kl.cap` in a file that is imported as `kl`.
    #[must_use]
    pub fn with_param(mut self, name: &str, value: Literal) -> Self {
        self.params.insert(name.to_owned(), value);
        self
    }
}

/// Reads files and what they import.
struct Reader<'a> {
    modules: Vec<Module>,
    known: BTreeMap<String, usize>,
    files: &'a BTreeMap<String, String>,
}

impl Reader<'_> {
    fn read(&mut self, at: usize, text: &str) -> Result<()> {
        let mut parser = Parser { tokens: tokens(text)?, at: 0 };
        let mut module = Module::default();
        while *parser.peek() != Token::End {
            if parser.takes_word("import") {
                let path = parser.text()?;
                let alias = if parser.takes_word("as") { Some(parser.name()?) } else { None };
                module.imports.push((alias, self.import(&path)?));
            } else {
                parser.statement(&mut module)?;
            }
        }
        self.modules[at] = module;
        Ok(())
    }

    fn import(&mut self, path: &str) -> Result<usize> {
        if let Some(known) = self.known.get(path) {
            return Ok(*known);
        }
        let text = match LIBRARY.iter().find(|(of, _)| *of == path) {
            Some((_, text)) => (*text).to_owned(),
            None => self.files.get(path).cloned().map_or_else(|| wrong(format!("no file {path}")), Ok)?,
        };
        let at = self.modules.len();
        self.modules.push(Module::default());
        self.known.insert(path.to_owned(), at);
        self.read(at, &text)?;
        Ok(at)
    }
}

/// Operators from the loosest to those above the sign; those of one row group from the left.
const LEVELS: [&[&str]; 5] =
    [&["or"], &["and"], &["<", "<=", ">", ">=", "==", "!="], &["+", "-"], &["*", "/"]];

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn statement(&mut self, module: &mut Module) -> Result<()> {
        let word = self.name()?;
        match word.as_str() {
            "edition" => {
                self.next();
            }
            "param" => {
                let name = self.named()?;
                let value = self.literal()?;
                if self.takes_word("in") {
                    self.literal()?;
                    while self.takes("..") || self.takes(",") {
                        self.literal()?;
                    }
                }
                module.definitions.insert(name, Definition::Param(value));
            }
            "input" => {
                let name = self.name()?;
                self.expect(":")?;
                let mut input = Input { shape: self.name()?, kind: String::new(), grad: false };
                for kind in ["bool", "int", "id"] {
                    if self.takes_word(kind) {
                        kind.clone_into(&mut input.kind);
                    }
                }
                input.grad = self.takes_word("grad");
                module.definitions.insert(name, Definition::Input(input));
            }
            "set" => {
                self.named()?;
                module.temperature = Some(self.expr()?);
            }
            "fn" => {
                let (name, function) = self.function()?;
                module.definitions.insert(name, Definition::Function(function));
            }
            "let" => {
                let name = self.named()?;
                let value = self.expr()?;
                module.definitions.insert(name, Definition::Let(value));
            }
            "controller" => {
                let name = self.named()?;
                let Expr::Call(kind, args) = self.expr()? else { return wrong("a controller is a call") };
                let Expr::Name(kind) = *kind else { return wrong("a controller has a kind") };
                module.definitions.insert(name, Definition::Controller { kind, args });
            }
            "loss" => {
                let name = if *self.peek() == Token::Sign("=") { String::new() } else { self.name()? };
                self.expect("=")?;
                module.losses.push((name, self.expr()?));
            }
            "metric" => {
                let name = self.named()?;
                module.metrics.push((name, self.expr()?));
            }
            "assert" => {
                module.asserts.push(self.expr()?);
                self.expect(",")?;
                self.text()?;
            }
            _ => return wrong(format!("`{word}` begins no statement")),
        }
        Ok(())
    }

    /// `name(a, b = 1) = EXPR`, or a block.
    fn function(&mut self) -> Result<(String, Function)> {
        let name = self.name()?;
        self.expect("(")?;
        let mut params = Vec::new();
        while !self.takes(")") {
            let param = self.name()?;
            params.push((param, if self.takes("=") { Some(self.expr()?) } else { None }));
            if !self.takes(",") {
                self.expect(")")?;
                break;
            }
        }
        let mut parts = Vec::new();
        if self.takes("=") {
            let result = self.expr()?;
            return Ok((name, Function { params, parts, result }));
        }
        self.expect("{")?;
        while !self.takes_word("return") {
            let extra = self.takes_word("extra");
            if !extra && !self.takes_word("let") {
                return wrong("a block has `let`, `extra` and `return`");
            }
            let part = self.named()?;
            parts.push((part, self.expr()?, extra));
        }
        let result = self.expr()?;
        self.expect("}")?;
        Ok((name, Function { params, parts, result }))
    }

    fn expr(&mut self) -> Result<Expr> {
        self.level(0)
    }

    fn level(&mut self, level: usize) -> Result<Expr> {
        if level == LEVELS.len() {
            return self.signed();
        }
        // `not` stands between `and` and the comparisons.
        if level == 2 && self.takes_word("not") {
            return Ok(Expr::Not(Box::new(self.level(2)?)));
        }
        let mut left = self.level(level + 1)?;
        while let Some(op) = LEVELS[level].iter().find(|op| self.is_next(op)) {
            self.next();
            left = Expr::Binary(op, Box::new(left), Box::new(self.level(level + 1)?));
        }
        Ok(left)
    }

    fn signed(&mut self) -> Result<Expr> {
        if self.takes("-") {
            return Ok(Expr::Negative(Box::new(self.signed()?)));
        }
        let base = self.postfix()?;
        if self.takes("^") {
            // Groups from the right, and the exponent may have a sign.
            return Ok(Expr::Binary("^", Box::new(base), Box::new(self.signed()?)));
        }
        Ok(base)
    }

    fn postfix(&mut self) -> Result<Expr> {
        let mut found = self.primary()?;
        loop {
            if self.takes(".") {
                found = Expr::Field(Box::new(found), self.name()?);
            } else if self.takes("(") {
                found = Expr::Call(Box::new(found), self.arguments()?);
            } else {
                return Ok(found);
            }
        }
    }

    fn arguments(&mut self) -> Result<Vec<Arg>> {
        let mut args = Vec::new();
        while !self.takes(")") {
            let named = matches!(self.peek(), Token::Name(_)) && self.tokens[self.at + 1] == Token::Sign("=");
            let name = if named { Some(self.named()?) } else { None };
            let value = self.expr()?;
            let to = if self.takes("..") { Some(self.expr()?) } else { None };
            args.push(Arg { name, value, to });
            if !self.takes(",") {
                self.expect(")")?;
                break;
            }
        }
        Ok(args)
    }

    fn primary(&mut self) -> Result<Expr> {
        match self.next() {
            Token::Number(number) => Ok(Expr::Literal(Literal::Number(number))),
            Token::Text(text) => Ok(Expr::Literal(Literal::Text(text))),
            Token::Name(word) if word == "true" || word == "false" => {
                Ok(Expr::Literal(Literal::Truth(word == "true")))
            }
            Token::Name(name) => Ok(Expr::Name(name)),
            Token::Sign("(") => {
                let inner = self.expr()?;
                self.expect(")")?;
                Ok(inner)
            }
            found => wrong(format!("{found:?} begins no expression")),
        }
    }

    fn literal(&mut self) -> Result<Literal> {
        let negative = self.takes("-");
        match self.primary()? {
            Expr::Literal(Literal::Number(number)) => {
                Ok(Literal::Number(if negative { -number } else { number }))
            }
            Expr::Literal(literal) => Ok(literal),
            _ => wrong("a param is a number, a truth value or a string"),
        }
    }

    /// `NAME =`.
    fn named(&mut self) -> Result<String> {
        let name = self.name()?;
        self.expect("=")?;
        Ok(name)
    }

    fn peek(&self) -> &Token {
        &self.tokens[self.at]
    }

    fn next(&mut self) -> Token {
        let token = self.tokens[self.at].clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    fn is_next(&self, op: &str) -> bool {
        match self.peek() {
            Token::Sign(sign) => *sign == op,
            Token::Name(word) => word == op,
            _ => false,
        }
    }

    fn takes(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Token::Sign(of) if *of == sign);
        if found {
            self.next();
        }
        found
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Token::Name(of) if of == word);
        if found {
            self.next();
        }
        found
    }

    fn expect(&mut self, sign: &str) -> Result<()> {
        if self.takes(sign) { Ok(()) } else { wrong(format!("expected `{sign}`, found {:?}", self.peek())) }
    }

    fn name(&mut self) -> Result<String> {
        match self.next() {
            Token::Name(name) => Ok(name),
            found => wrong(format!("expected a name, found {found:?}")),
        }
    }

    fn text(&mut self) -> Result<String> {
        match self.next() {
            Token::Text(text) => Ok(text),
            found => wrong(format!("expected a string, found {found:?}")),
        }
    }
}
