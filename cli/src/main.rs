//! The program `aent`.
fn main() {}
