//! The library written in the language itself, embedded in this crate: `import "std/..."`.

/// Each file's name behind `std/` and its text.
pub const LIBRARY: &[(&str, &str)] = &[("kl.aent", include_str!("std/kl.aent"))];
