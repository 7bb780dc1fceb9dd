//! Programs in several files, with params that are set from outside.

use super::compare::Judged;
use crate::generate::{Manner, statements};
use crate::vocabulary::INPUTS;
use aent::load::Loader;
use aent::program::ParamValue;
use aent::{Compiler, Program};
use aent_oracle::{Literal, Program as Plain};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;

/// A program: the compiled file, those that it imports, and what its params are set to.
#[derive(Clone, Debug, Default)]
pub(super) struct Files {
    main: String,
    others: BTreeMap<String, String>,
    params: BTreeMap<String, ParamValue>,
}

impl From<String> for Files {
    /// A program that imports nothing but the library.
    fn from(text: String) -> Self {
        Self { main: text, ..Self::default() }
    }
}

impl fmt::Display for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, text) in &self.others {
            writeln!(f, "# {name}\n{text}\n")?;
        }
        write!(f, "{}", self.main)?;
        self.params.iter().try_for_each(|(name, value)| write!(f, "\n# {name} is set to {value:?}"))
    }
}

/// The files that are imported, by the paths in the imports.
struct Others(BTreeMap<String, String>);

impl Loader for Others {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let found = path.to_str().and_then(|path| self.0.get(path));
        found.map(|text| text.clone().into_bytes()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Files {
    /// The program of the library.
    pub(super) fn compiled(&self) -> Result<Program, String> {
        let compiler = Compiler::new().loader(Others(self.others.clone()));
        let set =
            |compiler: Compiler, (name, value): (&String, &ParamValue)| compiler.set(name, value.clone());
        let compiler = self.params.iter().fold(compiler, set);
        compiler.compile("main.aent", &self.main).map_err(|failure| failure.to_string())
    }

    /// That of the second implementation.
    pub(super) fn judged(&self) -> Result<Judged, String> {
        let program = Plain::parse_with(&self.main, &self.others).map_err(|error| error.to_string())?;
        let set = |program: Plain, (name, value): (&String, &ParamValue)| {
            let value = match value {
                ParamValue::Number(number) => Literal::Number(*number),
                ParamValue::Bool(truth) => Literal::Truth(*truth),
                ParamValue::Text(text) => Literal::Text(text.clone()),
            };
            program.with_param(name, value)
        };
        let program = self.params.iter().fold(program, set);
        Ok(Judged { program: program.into(), trains_log_z: self.main.contains("input log_z: seq grad") })
    }
}

/// A generated program whose first definitions stand in two files of their own, each with a name or without.
pub(super) fn spread(choices: &[u16], manner: Manner) -> Files {
    let all = statements(choices, manner);
    let pick = |at: usize, options: usize| {
        let choice = choices.len().checked_sub(1 + at).map_or(0, |at| choices[at]);
        usize::from(choice) % options
    };
    let begins = |text: &String, words: &[&str]| words.iter().any(|word| text.starts_with(word));
    let (mut head, rest): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|text| begins(text, &["edition", "import", INPUTS]));
    // They are the compiled file's own business.
    let (settings, rest): (Vec<_>, Vec<_>) = rest
        .into_iter()
        .partition(|text| text.contains("set temperature") || begins(text, &["let advantages"]));
    let (definitions, rest): (Vec<_>, Vec<_>) = rest.into_iter().partition(|text| begins(text, &DEFINING));
    head.retain(|text| text != INPUTS);
    head.push("import \"inputs.aent\"".to_owned());

    let mut files = Files::default();
    files.others.insert("inputs.aent".to_owned(), INPUTS.to_owned());
    let end = pick(0, definitions.len() + 1);
    let (first, second) = definitions[..end].split_at(pick(1, end + 1));
    let (mut imports, mut names) = (Vec::new(), BTreeMap::new());
    for (number, (file, own)) in [("first", first), ("second", second)].into_iter().enumerate() {
        let written = own.iter().map(|text| renamed(text, &names));
        let text: Vec<String> = head.iter().chain(&imports).cloned().chain(written).collect();
        files.others.insert(format!("{file}.aent"), text.join("\n"));
        let is_behind_a_name = pick(2 + number, 2) == 1;
        let alias = if is_behind_a_name { format!(" as {file}") } else { String::new() };
        imports.push(format!("import \"{file}.aent\"{alias}"));
        if is_behind_a_name {
            let defined = own.iter().flat_map(|text| defined(text));
            names.extend(defined.map(|name| (name.to_owned(), format!("{file}.{name}"))));
        }
    }
    // The first file may be reached by the second before it is imported here.
    if pick(40, 2) == 1 {
        imports.reverse();
    }
    let own = definitions[end..].iter().chain(&rest).map(|text| renamed(text, &names));
    let main: Vec<String> = head.iter().chain(&settings).chain(&imports).cloned().chain(own).collect();
    files.main = main.join("\n");
    let outer = |name: String| names.get(&name).cloned().unwrap_or(name);
    let given = given(settings.iter().chain(&definitions), |at| pick(4 + at, 3));
    files.params = given.into_iter().map(|(name, value)| (outer(name), value)).collect();
    files
}

/// The words that a statement begins with which another file may have.
const DEFINING: [&str; 4] = ["param ", "let ", "fn ", "controller "];

/// The names that a statement, or several on lines of their own, define.
fn defined(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let rest = DEFINING.iter().find_map(|word| line.strip_prefix(word))?;
        rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()
    })
}

/// Another value for each third param.
fn given<'a>(
    statements: impl Iterator<Item = &'a String>,
    pick: impl Fn(usize) -> usize,
) -> Vec<(String, ParamValue)> {
    let params = statements.flat_map(|text| text.lines()).filter_map(|line| line.strip_prefix("param "));
    let params = params.enumerate().filter(|(at, _)| pick(*at) == 1).filter_map(|(_, line)| {
        let (name, value) = line.split_once(" = ")?;
        let value = match value.as_bytes()[0] {
            b'"' => ParamValue::Text("far".to_owned()),
            b't' => ParamValue::Bool(false),
            _ => ParamValue::Number(0.75),
        };
        Some((name.to_owned(), value))
    });
    params.collect()
}

/// The text with other words for some.
fn renamed(text: &str, names: &BTreeMap<String, String>) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let ends = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (word, after) = rest.split_at(ends.max(c.len_utf8()));
        let is_whole = !result.ends_with('.');
        let word = names.get(word).filter(|_| is_whole).map_or(word, String::as_str);
        result.push_str(word);
        rest = after;
    }
    result
}
