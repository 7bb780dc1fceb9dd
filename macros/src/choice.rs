//! `#[choice]`: an enum as the type of a parameter.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, Fields, ItemEnum, LitStr, Result, Variant};

pub(crate) fn expand(mut item: ItemEnum) -> Result<TokenStream> {
    let names = item.variants.iter_mut().map(name).collect::<Result<Vec<_>>>()?;
    let ident = &item.ident;
    Ok(quote! {
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq,
            ::aent::plugin::private::serde::Serialize, ::aent::plugin::private::serde::Deserialize,
        )]
        #[serde(crate = "::aent::plugin::private::serde")]
        #item

        impl ::aent::plugin::Argument for #ident {
            const TYPE: ::aent::plugin::ParameterType = ::aent::plugin::ParameterType::Choice(&[#(#names),*]);
        }
    })
}

/// The name of a variant in the language; makes serde use it too.
fn name(variant: &mut Variant) -> Result<LitStr> {
    if !matches!(variant.fields, Fields::Unit) {
        return Err(Error::new_spanned(
            &variant.fields,
            "expected a variant without fields: a choice is a name",
        ));
    }
    let mut name = LitStr::new(&snake_case(&variant.ident.to_string()), variant.ident.span());
    for attribute in variant.attrs.extract_if(.., |attribute| attribute.path().is_ident("choice")) {
        name = attribute.parse_args()?;
    }
    variant.attrs.push(syn::parse_quote!(#[serde(rename = #name)]));
    Ok(name)
}

fn snake_case(name: &str) -> String {
    let mut out = String::new();
    for (at, letter) in name.char_indices() {
        if letter.is_uppercase() && at > 0 {
            out.push('_');
        }
        out.extend(letter.to_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_are_named_in_snake_case_or_as_they_say() {
        let item = syn::parse_str("enum Level { SeqMean, #[choice(\"k1+\")] K1Through }").expect("an enum");
        let found = expand(item).expect("it expands").to_string().replace(' ', "");
        assert!(found.contains(r#"Choice(&["seq_mean","k1+"])"#), "{found}");
        assert!(found.contains(r#"#[serde(rename="k1+")]"#), "{found}");
    }

    #[test]
    fn a_variant_with_fields_is_refused() {
        let item = syn::parse_str("enum Level { Top(u64) }").expect("an enum");
        let error = expand(item).expect_err("it is refused").to_string();
        assert_eq!(error, "expected a variant without fields: a choice is a name");
    }
}
