//! What a text says: statements and expressions, file by file.

use std::collections::BTreeMap;

/// A program that was read, with the files that it imports.
#[derive(Clone, Debug)]
pub struct Program {
    /// The compiled file is the first.
    pub(crate) modules: Vec<Module>,
    /// Values of params that are set from outside, by their names there.
    pub(crate) params: BTreeMap<String, Literal>,
}

impl Program {
    /// The files, with what stands before their names outside: `kl.` of one that is imported as `kl`.
    pub(crate) fn files(&self) -> Vec<(usize, String)> {
        let mut found: Vec<(usize, Vec<&str>)> = Vec::new();
        self.files_of(0, &[], &mut found);
        let written = |names: Vec<&str>| names.into_iter().flat_map(|name| [name, "."]).collect();
        found.into_iter().map(|(module, names)| (module, written(names))).collect()
    }

    /// Behind the fewest names, of several chains the first.
    fn files_of<'a>(&'a self, module: usize, names: &[&'a str], found: &mut Vec<(usize, Vec<&'a str>)>) {
        match found.iter().position(|(of, _)| *of == module) {
            Some(at) if found[at].1.len() <= names.len() => return,
            Some(at) => drop(found.remove(at)),
            None => {}
        }
        found.push((module, names.to_vec()));
        for (alias, import) in &self.modules[module].imports {
            self.files_of(*import, &[names, alias.as_deref().as_slice()].concat(), found);
        }
    }

    /// What a `param` of a file is set to from outside.
    pub(crate) fn given(&self, module: usize, name: &str) -> Option<&Literal> {
        if self.params.is_empty() {
            return None;
        }
        let (_, before) = self.files().into_iter().find(|(of, _)| *of == module)?;
        self.params.get(&format!("{before}{name}"))
    }
}

/// One file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Module {
    /// `param`, `input`, `fn`, `let` and `controller`, by name.
    pub(crate) definitions: BTreeMap<String, Definition>,
    /// Imported files, by their number, with the name that stands before theirs.
    pub(crate) imports: Vec<(Option<String>, usize)>,
    pub(crate) temperature: Option<Expr>,
    pub(crate) losses: Vec<(String, Expr)>,
    pub(crate) metrics: Vec<(String, Expr)>,
    pub(crate) asserts: Vec<Expr>,
}

/// What a name stands for.
#[derive(Clone, Debug)]
pub(crate) enum Definition {
    Param(Literal),
    Input(Input),
    Function(Function),
    Let(Expr),
    Controller { kind: String, args: Vec<Arg> },
}

/// A value written out.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// `0.2`
    Number(f64),
    /// `true`, `false`
    Truth(bool),
    /// `"k3"`
    Text(String),
}

/// What kind of field an `input` declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Input {
    /// `token`, `seq`, `scalar`, `candidates` or `logits`.
    pub(crate) shape: String,
    /// `bool`, `int`, `id`, or nothing.
    pub(crate) kind: String,
    pub(crate) grad: bool,
}

/// A `fn`.
#[derive(Clone, Debug)]
pub(crate) struct Function {
    pub(crate) params: Vec<(String, Option<Expr>)>,
    /// The parts of a block; an extra is one that is marked.
    pub(crate) parts: Vec<(String, Expr, bool)>,
    pub(crate) result: Expr,
}

/// An argument of a call; a range has two ends.
#[derive(Clone, Debug)]
pub(crate) struct Arg {
    pub(crate) name: Option<String>,
    pub(crate) value: Expr,
    pub(crate) to: Option<Expr>,
}

/// An expression.
#[derive(Clone, Debug)]
pub(crate) enum Expr {
    Literal(Literal),
    Name(String),
    /// `x.field`: an extra, or a name of an imported file.
    Field(Box<Expr>, String),
    Call(Box<Expr>, Vec<Arg>),
    Not(Box<Expr>),
    Negative(Box<Expr>),
    Binary(&'static str, Box<Expr>, Box<Expr>),
}
