//! Several processes that train into one folder.

use super::{assert_whole, command, finish, folder, numbers};
use std::process::{Output, Stdio};

/// The ends of several runs that begin at once.
fn at_once(folder: &std::path::Path, count: usize) -> Vec<Output> {
    let start = |_| command(folder).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let children: Vec<_> = (0..count).map(start).collect();
    children.into_iter().map(|child| child.wait_with_output().unwrap()).collect()
}

#[test]
fn of_processes_that_train_into_one_folder_one_writes_and_the_others_say_so() {
    let through = folder();
    finish(through.path());
    let expected = numbers(through.path());
    let mut refused = 0;
    for _ in 0..3 {
        let folder = folder();
        let ends = at_once(folder.path(), 4);
        assert!(ends.iter().any(|end| end.status.success()));
        for end in ends.iter().filter(|end| !end.status.success()) {
            let said = String::from_utf8_lossy(&end.stderr);
            assert_eq!(end.status.code(), Some(1), "{said}");
            assert!(said.contains("another `aent train` is writing `run`"), "{said}");
            refused += 1;
        }
        assert_whole(folder.path());
        assert_eq!(numbers(folder.path()), expected);
    }
    assert!(refused > 0, "no two of them met");
}
