//! `cargo xtask docs`: writes or checks the documents that commands of `aent` print.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::steps::cargo;

/// A document and the arguments of `aent` that print it.
struct Document {
    file: &'static str,
    args: &'static [&'static str],
}

const DOCUMENTS: &[Document] = &[
    Document { file: "docs/terms.md", args: &["terms", "--markdown"] },
    Document { file: "docs/diagnostics.md", args: &["explain", "--all", "--markdown"] },
];

/// Whether to write documents or only compare them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Replace each document with the output of its command.
    Write,
    /// Fail if a document differs from the output of its command.
    Check,
}

/// Writes or checks every generated document.
pub(crate) fn docs(root: &Path, mode: Mode) -> Result<()> {
    let mut stale = Vec::new();
    for document in DOCUMENTS {
        let text = print(document, root)?;
        let path = root.join(document.file);
        let found = fs::read_to_string(&path).unwrap_or_default();
        if found == text {
            println!("      {} is up to date", document.file);
        } else if mode == Mode::Write {
            replace(&path, &text)?;
            println!("      {} written", document.file);
        } else {
            stale.push(format!(
                "{} is not what its command prints: {}",
                document.file,
                difference(&found, &text)
            ));
        }
    }
    if !stale.is_empty() {
        bail!("{}\n`cargo xtask docs` writes it anew", stale.join("\n"));
    }
    Ok(())
}

/// The output of the document's command.
fn print(document: &Document, root: &Path) -> Result<String> {
    let mut words = vec!["run", "--quiet", "--package", "aent-cli", "--"];
    words.extend(document.args);
    println!("      cargo {}", words.join(" "));
    let output = cargo(&words, root)
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("cargo cannot be started")?;
    if !output.status.success() {
        bail!(
            "`aent {}`, which prints {}, ended with {}",
            document.args.join(" "),
            document.file,
            output.status
        );
    }
    let text = String::from_utf8(output.stdout).with_context(|| format!("{} is not UTF-8", document.file))?;
    if text.trim().is_empty() {
        bail!("`aent {}` printed nothing for {}", document.args.join(" "), document.file);
    }
    Ok(text)
}

/// Writes the whole document or nothing.
fn replace(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().context("a document lies in a folder")?;
    fs::create_dir_all(folder)
        .and_then(|()| aent_files::write(path, text.as_bytes()))
        .with_context(|| format!("{} cannot be written", path.display()))
}

/// A message about the first line in which two texts differ.
fn difference(found: &str, wanted: &str) -> String {
    if found.is_empty() {
        return "it is missing or empty".to_owned();
    }
    let (mut found, mut wanted) = (found.lines(), wanted.lines());
    for line in 1.. {
        match (found.next(), wanted.next()) {
            (None, None) => break,
            (left, right) if left == right => {}
            (left, right) => {
                return format!(
                    "line {line} should be `{}`, found `{}`",
                    right.unwrap_or(""),
                    left.unwrap_or("")
                );
            }
        }
    }
    "only line ends differ".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_differing_line_is_told() {
        assert_eq!(difference("a\nb\n", "a\nc\n"), "line 2 should be `c`, found `b`");
        assert_eq!(difference("a\n", "a\nb\n"), "line 2 should be `b`, found ``");
        assert_eq!(difference("", "a\n"), "it is missing or empty");
        assert_eq!(difference("a", "a\n"), "only line ends differ");
    }

    #[test]
    fn replacing_makes_the_folder_and_leaves_nothing_beside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("docs/terms.md");
        replace(&path, "one\n").unwrap();
        replace(&path, "two\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two\n");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
