//! Checks that `unsafe`, C++ and CUDA stay in their folders, as ARCHITECTURE.md says.

use super::Problem;
use super::scan::tokens;
use super::tree::TextFile;

/// The folders for `unsafe`: the code that follows pointers, and the code that calls libtorch or reads torch's memory.
const UNSAFE: &[&str] = &["src/kernels/", "src/host/", "python/src/host/"];
/// The folders for other languages, by file extension.
const LANGUAGES: &[(&[&str], &str)] =
    &[(&["cu", "cuh", "h"], "src/kernels/"), (&["c", "cc", "cpp", "hpp"], "src/host/")];

/// Reports `unsafe`, C, C++ and CUDA in other folders.
pub(crate) fn check(files: &[TextFile]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in files {
        for (ends, home) in LANGUAGES {
            let found = file.extension().is_some_and(|extension| ends.contains(&extension));
            if found && !file.path.starts_with(home) {
                let message = format!("files in this language belong in `{home}`");
                problems.push(Problem { path: file.path.clone(), line: 1, message });
            }
        }
        if !file.is_rust() || UNSAFE.iter().any(|home| file.path.starts_with(home)) {
            continue;
        }
        match tokens(&file.text) {
            Ok(tokens) => {
                let found = tokens.iter().filter(|token| token.is("unsafe"));
                problems.extend(found.map(|token| Problem {
                    path: file.path.clone(),
                    line: token.line,
                    message: format!("`unsafe` belongs in `{}`, behind a safe function", UNSAFE.join("`, `")),
                }));
            }
            Err(message) => problems.push(Problem { path: file.path.clone(), line: 1, message }),
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        check(&[TextFile::new(path, text)]).into_iter().map(|problem| problem.line).collect()
    }

    #[test]
    fn unsafe_code_is_found_outside_the_kernels() {
        assert_eq!(lines("src/exec/mod.rs", "fn a() {\n    unsafe { b() }\n}"), [2]);
        assert_eq!(lines("src/kernels/cpu.rs", "fn a() { unsafe { b() } }"), []);
    }

    #[test]
    fn the_word_alone_is_no_code() {
        assert_eq!(lines("src/a.rs", "// unsafe\n/// unsafe\nfn a() { say(\"unsafe\", unsafe_words); }"), []);
    }

    #[test]
    fn other_languages_have_a_home() {
        assert_eq!(lines("experiments/src/node.cpp", "int x;"), [1]);
        assert_eq!(lines("src/kernels/node.cpp", "int x;"), [1]);
        assert_eq!(lines("src/host/node.cpp", "int x;"), []);
        assert_eq!(lines("src/kernels/row.cuh", "int x;"), []);
    }

    #[test]
    fn text_that_is_not_rust_is_reported() {
        assert_eq!(lines("src/a.rs", "fn a() { ( }"), [1]);
    }
}
