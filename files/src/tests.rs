//! Tests of writes, failed writes, and paths that lead to one file.

use super::{same, write};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .expect("the folder can be read")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("the file is there").permissions().mode() & 0o7777
}

#[test]
fn a_new_file_has_the_permissions_of_any_new_file() {
    let folder = folder();
    let (ours, usual) = (folder.path().join("ours"), folder.path().join("usual"));
    write(&ours, b"new").unwrap();
    fs::write(&usual, "new").unwrap();
    assert_eq!(fs::read(&ours).unwrap(), b"new");
    assert_eq!(mode(&ours), mode(&usual));
    assert_eq!(names(folder.path()), ["ours", "usual"]);
}

#[test]
fn an_existing_file_keeps_its_permissions() {
    let folder = folder();
    let path = folder.path().join("file");
    fs::write(&path, "old").unwrap();
    for wanted in [0o600, 0o755, 0o660] {
        fs::set_permissions(&path, Permissions::from_mode(wanted)).unwrap();
        write(&path, b"new").unwrap();
        assert_eq!(mode(&path), wanted);
    }
}

#[test]
fn a_link_stays_a_link() {
    let folder = folder();
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).unwrap();
    symlink("inner/target", folder.path().join("first")).unwrap();
    symlink("first", folder.path().join("second")).unwrap();
    // The target need not exist.
    for text in ["new", "newer"] {
        write(&folder.path().join("second"), text.as_bytes()).unwrap();
        assert_eq!(fs::read_to_string(inner.join("target")).unwrap(), text);
        assert!(folder.path().join("second").is_symlink() && folder.path().join("first").is_symlink());
    }
    assert_eq!(names(&inner), ["target"]);
}

#[test]
fn links_in_a_circle_are_an_error() {
    let folder = folder();
    symlink("b", folder.path().join("a")).unwrap();
    symlink("a", folder.path().join("b")).unwrap();
    assert!(write(&folder.path().join("a"), b"new").is_err());
    assert_eq!(names(folder.path()), ["a", "b"]);
}

#[test]
fn a_failed_write_leaves_the_old_file_and_nothing_else() {
    let folder = folder();
    let path = folder.path().join("file");
    fs::write(&path, "old").unwrap();
    let failed: io::Result<()> = super::replace(&path, |beside| {
        fs::write(beside, "half")?;
        Err(io::ErrorKind::StorageFull.into())
    });
    assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    assert_eq!(names(folder.path()), ["file"]);
}

#[test]
fn a_folder_is_not_replaced() {
    let folder = folder();
    let path = folder.path().join("folder");
    fs::create_dir(&path).unwrap();
    assert_eq!(write(&path, b"new").unwrap_err().kind(), io::ErrorKind::IsADirectory);
    assert!(path.is_dir());
    assert_eq!(names(folder.path()), ["folder"]);
}

#[test]
fn a_missing_folder_is_named_by_the_systems_reason_alone() {
    let folder = folder();
    let error = write(&folder.path().join("not/there"), b"new").unwrap_err().to_string();
    assert_eq!(error, io::Error::from_raw_os_error(2).to_string());
}

#[test]
fn a_device_is_written_and_stays_one() {
    write(Path::new("/dev/null"), b"new").unwrap();
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
    assert_eq!(write(Path::new("/dev/full"), b"new").unwrap_err().kind(), io::ErrorKind::StorageFull);
}

#[test]
fn names_of_the_greatest_length_are_written() {
    let folder = folder();
    let name = "n".repeat(255);
    write(&folder.path().join(&name), b"new").unwrap();
    assert_eq!(names(folder.path()), [name]);
}

#[test]
fn one_file_is_the_same_by_every_road() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("sub")).unwrap();
    fs::write(at("file"), "").unwrap();
    fs::write(at("other"), "").unwrap();
    symlink("file", at("link")).unwrap();
    fs::hard_link(at("file"), at("hard")).unwrap();
    for road in ["file", "./file", "sub/../file", "link", "hard"] {
        assert!(same(&at("file"), &at(road)), "{road}");
    }
    assert!(!same(&at("file"), &at("other")));
    assert!(!same(&at("file"), &at("missing")));
}

#[test]
fn files_that_are_not_there_are_the_same_in_one_place() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("sub")).unwrap();
    symlink("missing", at("link")).unwrap();
    assert!(same(&at("missing"), &at("sub/../missing")));
    assert!(same(&at("missing"), &at("link")));
    assert!(!same(&at("missing"), &at("sub/missing")));
    assert!(!same(&at("nowhere/missing"), &at("missing")));
}
