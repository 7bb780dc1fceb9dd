//! The plugin crates that this package knows, one line each.
//!
//! A dependency that no line mentions is not linked and registers nothing. To add a plugin, name its crate in
//! `python/Cargo.toml` and write here:
//!
//! ```text
//! use my_plugin as _;
//! ```
//!
//! From then on its terms, reductions and controllers can be used in every file that Python compiles.
