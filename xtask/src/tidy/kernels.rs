//! `unsafe` and languages other than Rust stay in `src/kernels`.

use super::Problem;
use super::scan::tokens;
use super::tree::TextFile;

const KERNELS: &str = "src/kernels/";
const OTHER_LANGUAGES: &[&str] = &["c", "cc", "cpp", "cu", "cuh", "h", "hpp"];

/// Looks for `unsafe` and for C, C++ and CUDA elsewhere.
pub(crate) fn check(files: &[TextFile]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in files.iter().filter(|file| !file.path.starts_with(KERNELS)) {
        if file.extension().is_some_and(|extension| OTHER_LANGUAGES.contains(&extension)) {
            let message = format!("C++ and CUDA belong in `{KERNELS}`");
            problems.push(Problem { path: file.path.clone(), line: 1, message });
        }
        if !file.is_rust() {
            continue;
        }
        match tokens(&file.text) {
            Ok(tokens) => {
                let found = tokens.iter().filter(|token| token.is("unsafe"));
                problems.extend(found.map(|token| Problem {
                    path: file.path.clone(),
                    line: token.line,
                    message: format!("`unsafe` belongs in `{KERNELS}`, behind a safe function"),
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
    fn cpp_stays_in_the_kernels() {
        assert_eq!(lines("train/src/node.cpp", "int x;"), [1]);
        assert_eq!(lines("src/kernels/node.cpp", "int x;"), []);
    }

    #[test]
    fn text_that_is_not_rust_is_reported() {
        assert_eq!(lines("src/a.rs", "fn a() { ( }"), [1]);
    }
}
