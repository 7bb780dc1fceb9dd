//! `#[term]`, `#[reduction]` and `#[controller]`: a struct as an entry of the registry.

use crate::{parameter, text};
use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Error, Expr, ExprArray, Fields, ItemStruct, LitStr, MetaNameValue, Result, Token};

#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Term,
    Reduction,
    Controller,
}

/// The arguments of the attribute.
pub(crate) struct Arguments {
    name: LitStr,
    example: LitStr,
    aliases: Vec<Expr>,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let (mut name, mut example, mut aliases) = (None, None, Vec::new());
        for MetaNameValue { path, value, .. } in
            Punctuated::<MetaNameValue, Token![,]>::parse_terminated(input)?
        {
            if path.is_ident("name") {
                name = Some(string(&value)?);
            } else if path.is_ident("example") {
                example = Some(string(&value)?);
            } else if path.is_ident("aliases") {
                let Expr::Array(ExprArray { elems, .. }) = value else {
                    return Err(Error::new_spanned(
                        value,
                        "expected `[Alias::new(\"name\", \"framework\"), ...]`",
                    ));
                };
                aliases = elems.into_iter().collect();
            } else {
                return Err(Error::new_spanned(path, "expected `name`, `example` or `aliases`"));
            }
        }
        let missing = |key: &str| Error::new(Span::call_site(), format!("expected `{key} = \"...\"`"));
        Ok(Self {
            name: name.ok_or_else(|| missing("name"))?,
            example: example.ok_or_else(|| missing("example"))?,
            aliases,
        })
    }
}

fn string(value: &Expr) -> Result<LitStr> {
    syn::parse2(quote!(#value)).map_err(|_| Error::new_spanned(value, "expected a string"))
}

pub(crate) fn expand(kind: Kind, arguments: Arguments, mut item: ItemStruct) -> Result<TokenStream> {
    let Arguments { name, example, aliases } = arguments;
    let lines = text::docs(&item.attrs);
    let (docs, rustdoc) = (lines.join("\n"), text::fenced(&lines));
    item.attrs.retain(|attribute| !attribute.path().is_ident("doc"));
    if docs.trim().is_empty() {
        return Err(Error::new_spanned(&item, "expected a doc comment: formula and source"));
    }
    let parameters = match &mut item.fields {
        Fields::Named(fields) => {
            fields.named.iter_mut().map(parameter::expand).collect::<Result<Vec<_>>>()?
        }
        Fields::Unit => {
            return Err(Error::new_spanned(&item, "expected fields in braces, `{}` where there are none"));
        }
        Fields::Unnamed(fields) => {
            return Err(Error::new_spanned(
                fields,
                "expected fields with names: they are the names of arguments",
            ));
        }
    };
    let (variant, entry) = match kind {
        Kind::Term => (quote!(Term), quote!(TermEntry)),
        Kind::Reduction => (quote!(Reduction), quote!(ReductionEntry)),
        Kind::Controller => (quote!(Controller), quote!(ControllerEntry)),
    };
    let ident = &item.ident;
    Ok(quote! {
        #[doc = #rustdoc]
        #[derive(
            Debug, ::aent::plugin::private::serde::Serialize, ::aent::plugin::private::serde::Deserialize,
        )]
        #[serde(crate = "::aent::plugin::private::serde", deny_unknown_fields)]
        #item

        const _: () = {
            static ENTRY: ::aent::plugin::#entry = ::aent::plugin::#entry::of::<#ident>(
                ::aent::plugin::Declaration::new(
                    #name,
                    ::core::env!("CARGO_PKG_NAME"),
                    ::core::env!("CARGO_PKG_VERSION"),
                )
                .docs(#docs)
                .example(#example)
                .parameters(&[#(#parameters),*])
                .aliases(&[#(#aliases),*])
                .place(::core::file!(), ::core::line!()),
            );

            ::aent::plugin::private::inventory::submit! {
                ::aent::plugin::AnyEntry::#variant(&ENTRY)
            }
        };
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(attribute: &str, item: &str) -> std::result::Result<String, String> {
        let arguments = syn::parse_str::<Arguments>(attribute);
        let item = syn::parse_str::<ItemStruct>(item).expect("a struct");
        let tokens = arguments.and_then(|arguments| expand(Kind::Term, arguments, item));
        tokens.map(|tokens| tokens.to_string().replace(' ', "")).map_err(|error| error.to_string())
    }

    const ATTRIBUTE: &str = r#"name = "acme::scaled", example = "acme::scaled(scale = 2)""#;

    #[test]
    fn a_field_is_a_parameter_with_its_type_default_and_limits() {
        let item = "/// Scaled.\nstruct Scaled { /// The factor.\n#[param(default = 2, above = 0, help = \"more\")] scale: f64 }";
        let found = expanded(ATTRIBUTE, item).expect("it expands");
        let parameter = r#"Parameter::of::<f64>("scale","Thefactor.").default(::aent::plugin::Literal::Number((2)asf64))"#;
        assert!(found.contains(parameter), "{found}");
        assert!(found.contains(r#".above((0)asf64).help("more")"#), "{found}");
        assert!(!found.contains("#[param"), "{found}");
    }

    #[test]
    fn what_is_missing_or_unknown_is_named() {
        let refused = |attribute, item| expanded(attribute, item).expect_err("it is refused");
        let scaled = "/// Scaled.\nstruct Scaled { /// The factor.\nscale: f64 }";
        assert_eq!(refused(r#"name = "a""#, scaled), "expected `example = \"...\"`");
        assert_eq!(refused(r#"nmae = "a""#, scaled), "expected `name`, `example` or `aliases`");
        assert_eq!(refused(ATTRIBUTE, "struct Scaled {}"), "expected a doc comment: formula and source");
        let undocumented = "/// Scaled.\nstruct Scaled { scale: f64 }";
        assert_eq!(refused(ATTRIBUTE, undocumented), "expected a doc comment: one line about `scale`");
        let tuple = "/// Scaled.\nstruct Scaled(f64);";
        assert!(refused(ATTRIBUTE, tuple).starts_with("expected fields with names"));
        let unknown = "/// Scaled.\nstruct Scaled { /// The factor.\n#[param(least = 0)] scale: f64 }";
        assert!(refused(ATTRIBUTE, unknown).starts_with("expected `default`, `min`"));
    }
}
