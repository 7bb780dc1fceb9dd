//! Imports from the disk: they stay in the project, one file comes once, and what is no aent file is not shown.

#![cfg(unix)]

use super::found;
use aent::Compiler;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const SECRET: &str = "root:x:0:0:root:/root:/bin/bash\ndaemon:*:1:1\n";
const LIB: &str = "let bonus = token_mean(log_prob)\n";

/// A folder `project` with a `spec.aent` that imports `path`, and a folder `other` beside it.
struct Disk(TempDir);

impl Disk {
    fn new() -> Self {
        let disk = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(disk.path("project/sub")).unwrap();
        fs::create_dir(disk.path("other")).unwrap();
        disk.write("project/lib.aent", LIB);
        disk.write("other/lib.aent", LIB);
        disk.write("other/secret", SECRET);
        disk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).unwrap();
    }

    fn link(&self, target: impl AsRef<Path>, name: &str) {
        symlink(target, self.path(name)).unwrap();
    }

    /// Ids and messages of what is found in `project/spec.aent`, which imports these.
    fn check(&self, compiler: &Compiler, imports: &[&str]) -> Vec<(String, String)> {
        let imports: Vec<String> = imports.iter().map(|path| format!("import \"{path}\"\n")).collect();
        let imports = imports.concat();
        self.write("project/spec.aent", format!("{imports}loss = -token_mean(log_prob)\n"));
        let (diagnostics, sources) = match compiler.compile_file(self.path("project/spec.aent")) {
            Ok(program) => (program.warnings().clone(), program.sources().clone()),
            Err(failure) => (failure.diagnostics, failure.sources),
        };
        // Nothing that is shown may come from the secret.
        assert!(sources.iter().all(|(_, source)| !source.text().contains("root:x")));
        let found = found(&diagnostics, &sources);
        assert!(
            found.iter().all(|found| found.file.ends_with("spec.aent") && !found.message.contains("root:x"))
        );
        found.into_iter().map(|found| (found.id, found.message)).collect()
    }

    #[track_caller]
    fn allowed(&self, import: &str) {
        assert_eq!(self.check(&Compiler::new(), &[import]), [], "{import}");
    }

    /// The message of the one finding.
    #[track_caller]
    fn refused(&self, import: &str, id: &str) -> String {
        let found = self.check(&Compiler::new(), &[import]);
        assert_eq!(found.len(), 1, "{import}: {found:?}");
        assert_eq!(found[0].0, id, "{import}: {found:?}");
        found[0].1.clone()
    }
}

#[test]
fn imports_of_the_own_folder_are_allowed_in_every_spelling() {
    let disk = Disk::new();
    for import in ["lib.aent", "./lib.aent", "sub/../lib.aent", "../project/lib.aent"] {
        disk.allowed(import);
    }
}

#[test]
fn imports_that_leave_the_project_are_refused() {
    let disk = Disk::new();
    disk.link(disk.path("other/lib.aent"), "project/link.aent");
    disk.link(disk.path("other"), "project/folder");
    for import in ["../other/lib.aent", "link.aent", "folder/lib.aent", "sub/../../other/lib.aent"] {
        let message = disk.refused(import, "import-outside-project");
        assert!(message.contains(&format!("\"{import}\"")), "{message}");
    }
    let absolute = disk.path("other/lib.aent").display().to_string();
    assert!(disk.refused(&absolute, "import-outside-project").contains("absolute path"));
    // An absolute path names one machine, even within the project.
    let absolute = disk.path("project/lib.aent").display().to_string();
    assert!(disk.refused(&absolute, "import-outside-project").contains("absolute path"));
}

#[test]
fn whether_there_is_a_file_outside_is_not_told() {
    let disk = Disk::new();
    let there = disk.refused("../other/secret", "import-outside-project");
    let missing = disk.refused("../other/missing", "import-outside-project");
    assert_eq!(there.replace("secret", "missing"), missing);
    assert!(disk.refused("missing.aent", "unknown-import").contains("No such file"));
}

#[test]
fn the_nearest_folder_with_git_is_the_project() {
    let disk = Disk::new();
    fs::create_dir(disk.path(".git")).unwrap();
    disk.allowed("../other/lib.aent");
    disk.link(disk.path("other/lib.aent"), "project/link.aent");
    disk.allowed("link.aent");
    // A worktree has a file of that name.
    disk.write("project/.git", "gitdir: elsewhere\n");
    disk.refused("../other/lib.aent", "import-outside-project");
}

#[test]
fn a_link_to_a_spec_belongs_to_the_folder_of_the_link() {
    let disk = Disk::new();
    disk.write("other/spec.aent", "import \"lib.aent\"\nloss = -bonus\n");
    disk.link("../other/spec.aent", "project/linked.aent");
    Compiler::new().compile_file(disk.path("project/linked.aent")).unwrap();
}

#[test]
fn folders_are_allowed_by_name() {
    let disk = Disk::new();
    disk.link("other", "alias");
    disk.link(disk.path("other/lib.aent"), "project/link.aent");
    let absolute = disk.path("other/lib.aent").display().to_string();
    for folder in ["other", "alias", "other/../other"] {
        let compiler = Compiler::new().allow_imports(disk.path(folder));
        for import in ["../other/lib.aent", "../alias/lib.aent", "link.aent", &absolute] {
            assert_eq!(disk.check(&compiler, &[import]), [], "{folder}: {import}");
        }
        assert_eq!(disk.check(&compiler, &["../elsewhere.aent"]).len(), 1);
    }
}

#[test]
fn a_file_that_is_no_aent_file_is_not_shown() {
    let disk = Disk::new();
    disk.write("project/passwd", SECRET);
    disk.write("project/binary", b"\x7fELF\xff\x00root:x");
    disk.write("project/large", SECRET.repeat(20_000));
    for (import, reason) in [("passwd", "none of its statements"), ("binary", "UTF-8"), ("large", "bytes")] {
        let message = disk.refused(import, "unknown-import");
        assert!(message.contains("is not an `.aent` file") && message.contains(reason), "{message}");
    }
    // A link inside an allowed folder leads to the same answer.
    disk.link(disk.path("other/secret"), "project/link");
    let found = disk.check(&Compiler::new().allow_imports(disk.path("other")), &["link"]);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].0, "unknown-import");
}

#[test]
fn a_file_with_a_right_statement_is_shown_with_its_errors() {
    let disk = Disk::new();
    disk.write("project/half.aent", "let a = 1\nlet b = (\n");
    let failure = {
        disk.write("project/spec.aent", "import \"half.aent\"\nloss = -token_mean(log_prob)\n");
        Compiler::new().compile_file(disk.path("project/spec.aent")).unwrap_err()
    };
    let found = found(&failure.diagnostics, &failure.sources);
    assert!(found.iter().any(|found| found.file.ends_with("half.aent") && found.line == 2), "{found:?}");
}

#[test]
fn what_is_no_file_is_refused_and_never_waited_for() {
    let disk = Disk::new();
    assert!(disk.refused("sub", "unknown-import").contains("a folder"));
    let status = std::process::Command::new("mkfifo").arg(disk.path("project/pipe")).status().unwrap();
    assert!(status.success());
    assert!(disk.refused("pipe", "unknown-import").contains("a pipe"));
}

#[test]
fn one_file_comes_once_whatever_it_is_called() {
    let disk = Disk::new();
    disk.link("lib.aent", "project/link.aent");
    disk.link("sub", "project/alias");
    disk.write("project/sub/deep.aent", "import \"../lib.aent\"\nlet depth = bonus\n");
    let imports =
        ["lib.aent", "./lib.aent", "sub/../lib.aent", "link.aent", "sub/deep.aent", "alias/deep.aent"];
    assert_eq!(disk.check(&Compiler::new(), &imports), []);
}

#[test]
fn a_circle_is_found_through_a_link() {
    let disk = Disk::new();
    disk.link("spec.aent", "project/again.aent");
    let message = disk.refused("again.aent", "import-cycle");
    assert!(message.contains("spec.aent"), "{message}");
}

#[test]
fn a_folder_called_std_is_not_the_library() {
    let disk = Disk::new();
    fs::create_dir(disk.path("project/std")).unwrap();
    disk.write("project/std/kl.aent", "let mine = token_mean(log_prob)\n");
    disk.write(
        "project/spec.aent",
        "import \"std/kl.aent\"\nimport \"./std/kl.aent\"\nloss = -mine + token_mean(k3(ref_log_prob))\n",
    );
    Compiler::new().compile_file(disk.path("project/spec.aent")).unwrap();
}
