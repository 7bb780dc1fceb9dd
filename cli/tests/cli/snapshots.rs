//! How every diagnostic looks to a person. The snapshot is there to be read.

use super::fixture::Folder;
use aent::diag::codes::CODES;

#[test]
fn every_diagnostic_as_people_see_it() {
    let folder = Folder::new();
    let mut args = vec!["check".to_owned()];
    for code in CODES {
        if let Some(example) = code.example() {
            let name = format!("{}.aent", code.id);
            folder.write(&name, example);
            args.push(name);
        }
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let ran = folder.run(&args);
    assert_eq!(ran.code, 1);
    insta::assert_snapshot!("diagnostics", ran.stderr);
}

#[test]
fn a_program_as_people_see_it() {
    let ran = Folder::with("spec.aent", super::fixture::SPEC).run(&["explain", "spec.aent"]);
    insta::assert_snapshot!("explain", ran.stdout);
}
