//! The plugin crates linked into this program, one line each.
//!
//! A dependency that no line names is not linked and registers nothing. To add a plugin, add its crate to
//! `cli/Cargo.toml` and write here:
//!
//! ```text
//! use my_plugin as _;
//! ```
//!
//! Then every file can use its terms, reductions and controllers, and `aent terms` lists them.
