//! `aent fmt`

use super::fixture::Folder;
use std::fs;

const LOOSE: &str = "# why\nlet   a=1   # one\nloss=token_mean( log_prob )*a\n";
const NEAT: &str = "# why\nlet a = 1  # one\nloss = token_mean(log_prob) * a\n";

#[test]
fn a_file_is_rewritten_once_with_its_comments() {
    let folder = Folder::with("a.aent", LOOSE);
    let ran = folder.run(&["fmt", "a.aent"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""));
    assert_eq!(ran.stderr, "1 file reformatted, 0 unchanged\n");
    assert_eq!(folder.read("a.aent"), NEAT);
    let again = folder.run(&["fmt", "a.aent"]);
    assert_eq!(again.stderr, "0 files reformatted, 1 unchanged\n");
    assert_eq!(folder.read("a.aent"), NEAT);
    assert_eq!(fs::read_dir(folder.path("")).unwrap().count(), 1, "nothing is left beside the file");
}

#[test]
fn checking_lists_files_and_changes_none() {
    let folder = Folder::with("a.aent", LOOSE);
    folder.write("b.aent", NEAT);
    let ran = folder.run(&["fmt", "--check", "a.aent", "b.aent"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (1, "a.aent\n"));
    assert_eq!(folder.read("a.aent"), LOOSE);
    assert_eq!(folder.run(&["fmt", "--check", "b.aent"]).code, 0);
}

#[test]
fn a_file_with_syntax_errors_stays_as_it_is_and_the_others_are_formatted() {
    let folder = Folder::with("a.aent", "let   a = (\n");
    folder.write("b.aent", LOOSE);
    let ran = folder.run(&["fmt", "a.aent", "b.aent"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("error[") && ran.stderr.contains("1 file left as found"), "{}", ran.stderr);
    assert_eq!(folder.read("a.aent"), "let   a = (\n");
    assert_eq!(folder.read("b.aent"), NEAT);
}

#[test]
fn files_that_cannot_be_read_or_are_no_text_are_named() {
    let folder = Folder::with("a.aent", b"# \xff\n");
    folder.run(&["fmt", "missing.aent"]).refused("cannot read `missing.aent`");
    folder.run(&["fmt", "a.aent"]).refused("not-utf8");
}

#[test]
fn standard_input_goes_to_standard_output() {
    let ran = Folder::new().run_with(&["fmt", "-"], LOOSE.as_bytes());
    assert_eq!((ran.code, ran.stdout.as_str()), (0, NEAT));
    let ran = Folder::new().run_with(&["fmt", "-", "--check"], LOOSE.as_bytes());
    assert_eq!((ran.code, ran.stdout.as_str()), (1, "<stdin>\n"));
    Folder::new().run_with(&["fmt", "-"], b"let").refused("error[");
}

#[test]
fn a_diff_shows_what_would_change_and_changes_nothing() {
    let folder = Folder::with("a.aent", LOOSE);
    folder.write("b.aent", NEAT);
    let ran = folder.run(&["fmt", "--diff", "a.aent", "b.aent"]);
    let expected = "--- a.aent\n+++ a.aent\n@@ -1,3 +1,3 @@\n # why\n-let   a=1   # one\n-loss=token_mean( log_prob )*a\n\
                    +let a = 1  # one\n+loss = token_mean(log_prob) * a\n";
    assert_eq!((ran.code, ran.stdout.as_str()), (1, expected));
    assert_eq!(ran.stderr, "1 file would be reformatted, 1 unchanged\n");
    assert_eq!(folder.read("a.aent"), LOOSE);
    let ran = folder.run(&["fmt", "--diff", "b.aent", "--quiet"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (0, "", ""));
    let ran = folder.run_with(&["fmt", "--diff", "-", "--stdin-filename", "x.aent"], LOOSE.as_bytes());
    assert!(ran.stdout.starts_with("--- x.aent\n+++ x.aent\n"), "{}", ran.stdout);
    let ran = folder.run(&["fmt", "--diff", "a.aent", "--color", "always"]);
    assert!(ran.stdout.contains("\u{1b}[32m+let a = 1  # one\u{1b}[0m\n"), "{}", ran.stdout);
}

#[test]
fn lines_end_as_they_did() {
    let folder = Folder::with("a.aent", LOOSE.replace('\n', "\r\n"));
    assert_eq!(folder.run(&["fmt", "a.aent"]).code, 0);
    assert_eq!(folder.read("a.aent"), NEAT.replace('\n', "\r\n"));
    assert_eq!(folder.run(&["fmt", "--check", "--diff", "a.aent"]).stdout, "");
}

#[test]
#[cfg(unix)]
fn links_and_permissions_survive() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = Folder::with("a.aent", LOOSE);
    fs::set_permissions(folder.path("a.aent"), fs::Permissions::from_mode(0o640)).unwrap();
    symlink("a.aent", folder.path("link.aent")).unwrap();
    assert_eq!(folder.run(&["fmt", "link.aent"]).code, 0);
    assert_eq!(folder.read("a.aent"), NEAT);
    assert!(fs::symlink_metadata(folder.path("link.aent")).unwrap().is_symlink());
    assert_eq!(fs::metadata(folder.path("a.aent")).unwrap().permissions().mode() & 0o777, 0o640);
}
