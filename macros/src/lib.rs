//! The attributes that declare terms, reductions and controllers.
//!
//! They are documented where they are used, in `aent::plugin`.

mod choice;
mod entry;
mod parameter;
mod text;

use entry::Kind;
use proc_macro::TokenStream;
use syn::parse_macro_input;

/// Declares and registers a term: a struct whose fields are a call's constant arguments.
///
/// - `name = "acme::scaled"`: the name in the language
/// - `example = "acme::scaled(scale = 2)"`: a call that compiles; the conformance suite runs it
/// - `aliases = [Alias::new("scaled_pg", "verl")]`: its names elsewhere, optional
///
/// The struct's doc comment is the documentation, with formula and source. Each field is a parameter, documented in one
/// line. Its type is the argument's type: `f64`, `i64`, `u32`, `u64`, `bool`, `String`, `Bounds`, a `#[choice]`, or an
/// `Option` of one of these, which is off unless it is given. `#[param(...)]` says more:
///
/// - `default = 0.2`, `"k3"`, `true` or `0.8..1.2`: without it a call must give the argument
/// - `min`, `max`, `above`, `below`: the limits of a number, or of both ends of a range
/// - `unit = Unit::Ratio`: its unit
/// - `help = "..."`: what to write instead of a refused value
///
/// The attribute derives `Debug`, `Serialize` and `Deserialize`.
///
/// ```ignore
/// /// The log-probability scaled.
/// ///
/// /// Formula: `scale · log π(a)`.
/// ///
/// /// Source: none.
/// #[term(name = "acme::scaled", example = "acme::scaled(scale = 2)")]
/// struct Scaled {
///     /// What the log-probability is multiplied with.
///     #[param(above = 0)]
///     scale: f64,
/// }
/// ```
#[proc_macro_attribute]
pub fn term(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(Kind::Term, arguments, item)
}

/// Declares and registers a reduction; see [`macro@term`].
#[proc_macro_attribute]
pub fn reduction(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(Kind::Reduction, arguments, item)
}

/// Declares and registers a controller; see [`macro@term`].
#[proc_macro_attribute]
pub fn controller(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(Kind::Controller, arguments, item)
}

/// Makes an enum without fields the type of a parameter; the argument is a variant's name as a string.
///
/// A variant is written in `snake_case`, or as `#[choice("k1+")]` says. The attribute derives `Clone`, `Copy`, `Debug`,
/// `PartialEq`, `Eq`, `Serialize` and `Deserialize`.
#[proc_macro_attribute]
pub fn choice(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let _ = parse_macro_input!(arguments as syn::parse::Nothing);
    let item = parse_macro_input!(item as syn::ItemEnum);
    choice::expand(item).unwrap_or_else(syn::Error::into_compile_error).into()
}

fn expand(kind: Kind, arguments: TokenStream, item: TokenStream) -> TokenStream {
    let arguments = parse_macro_input!(arguments as entry::Arguments);
    let item = parse_macro_input!(item as syn::ItemStruct);
    entry::expand(kind, arguments, item).unwrap_or_else(syn::Error::into_compile_error).into()
}
