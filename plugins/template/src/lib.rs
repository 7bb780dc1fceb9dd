//! A plugin crate to copy: one term and one controller, written against `aent::plugin::prelude` alone.
//!
//! A program gets them by naming the crate once, `use aent_plugin_template as _;`. Then a file may call
//! `template::tail_mass(...)` and `template::step(...)`, with the same diagnostics, documentation and saved
//! programs as a built-in.

mod step;
mod tail_mass;
