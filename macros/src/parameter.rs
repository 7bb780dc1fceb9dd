//! A field of an entry's struct as a declared parameter.

use crate::text;
use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, Expr, ExprLit, ExprRange, Field, Lit, Result};

/// Removes `#[param(...)]` from a field and returns the declared parameter.
pub(crate) fn expand(field: &mut Field) -> Result<TokenStream> {
    let Some(ident) = field.ident.clone() else {
        return Err(Error::new_spanned(
            &*field,
            "expected fields with names: they are the names of arguments",
        ));
    };
    let docs = text::line(&field.attrs);
    if docs.is_empty() {
        return Err(Error::new_spanned(&*field, format!("expected a doc comment: one line about `{ident}`")));
    }
    let (name, ty) = (ident.to_string(), &field.ty);
    let mut out = quote!(::aent::plugin::Parameter::of::<#ty>(#name, #docs));
    for attribute in field.attrs.extract_if(.., |attribute| attribute.path().is_ident("param")) {
        attribute.parse_nested_meta(|meta| {
            let Some(key) = meta.path.get_ident().cloned() else {
                return Err(meta.error("expected a name"));
            };
            let value: Expr = meta.value()?.parse()?;
            match key.to_string().as_str() {
                "default" => {
                    let literal = literal(&value);
                    out.extend(quote!(.default(#literal)));
                }
                "min" | "max" | "above" | "below" => out.extend(quote!(.#key((#value) as f64))),
                "unit" | "help" => out.extend(quote!(.#key(#value))),
                _ => {
                    return Err(
                        meta.error("expected `default`, `min`, `max`, `above`, `below`, `unit` or `help`")
                    );
                }
            }
            Ok(())
        })?;
    }
    Ok(out)
}

/// The code of a default value.
fn literal(value: &Expr) -> TokenStream {
    match value {
        Expr::Lit(ExprLit { lit: Lit::Bool(_), .. }) => quote!(::aent::plugin::Literal::Bool(#value)),
        Expr::Lit(ExprLit { lit: Lit::Str(_), .. }) => quote!(::aent::plugin::Literal::Text(#value)),
        Expr::Range(ExprRange { start: Some(lo), end: Some(hi), .. }) => {
            quote!(::aent::plugin::Literal::Range((#lo) as f64, (#hi) as f64))
        }
        number => quote!(::aent::plugin::Literal::Number((#number) as f64)),
    }
}
