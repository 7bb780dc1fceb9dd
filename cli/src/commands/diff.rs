//! Shows how a text would change, as `diff -u` does, in colour if standard output shows colours.

use crate::render;
use clap::builder::styling::{AnsiColor, Style};
use similar::TextDiff;
use std::io;

/// The unified diff of a file's text and its new one.
pub(crate) fn unified(name: &str, old: &str, new: &str) -> String {
    let diff = TextDiff::from_lines(old, new).unified_diff().header(name, name).to_string();
    if render::is_coloured(&io::stdout()) { coloured(&diff) } else { diff }
}

fn coloured(diff: &str) -> String {
    let line = |line: &str| {
        let style = style(line);
        let (text, end) = line.split_at(line.trim_end_matches(['\r', '\n']).len());
        format!("{style}{text}{style:#}{end}")
    };
    diff.split_inclusive('\n').map(line).collect()
}

fn style(line: &str) -> Style {
    match line.as_bytes().first() {
        _ if line.starts_with("--- ") || line.starts_with("+++ ") => Style::new().bold(),
        Some(b'+') => AnsiColor::Green.on_default(),
        Some(b'-') => AnsiColor::Red.on_default(),
        Some(b'@') => AnsiColor::Cyan.on_default(),
        _ => Style::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::coloured;

    #[test]
    fn colours_end_before_the_line_does() {
        for (line, expected) in [
            ("--- a\n", "\u{1b}[1m--- a\u{1b}[0m\n"),
            ("@@ -1 +1 @@\n", "\u{1b}[36m@@ -1 +1 @@\u{1b}[0m\n"),
            ("-x\r\n", "\u{1b}[31m-x\u{1b}[0m\r\n"),
            ("+y", "\u{1b}[32m+y\u{1b}[0m"),
            (" z\n", " z\n"),
        ] {
            assert_eq!(coloured(line), expected);
        }
    }
}
