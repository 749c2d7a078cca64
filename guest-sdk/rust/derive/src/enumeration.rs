//! `#[derive(Enumeration)]`: labels of a Postgres enum (or of any text column) as a Rust enum.

use quote::quote;
use syn::{Data, DeriveInput, Error, Fields, LitStr};

use crate::Expansion;

pub fn expand(input: DeriveInput) -> Expansion {
    let Data::Enum(data) = &input.data else {
        return Err(Error::new_spanned(&input.ident, "#[derive(Enumeration)] takes an enum"));
    };
    if let Some(parameter) = input.generics.params.first() {
        return Err(Error::new_spanned(parameter, "#[derive(Enumeration)] takes no parameters"));
    }
    let (mut cases, mut labels) = (Vec::new(), Vec::<String>::new());
    for variant in &data.variants {
        if !matches!(variant.fields, Fields::Unit) {
            return Err(Error::new_spanned(variant, "a label has no fields"));
        }
        let mut label = snake_case(&variant.ident.to_string());
        for attribute in variant.attrs.iter().filter(|attribute| attribute.path().is_ident("label")) {
            label = attribute.parse_args::<LitStr>()?.value();
        }
        if labels.contains(&label) {
            return Err(Error::new_spanned(variant, format!("two variants have the label `{label}`")));
        }
        cases.push(&variant.ident);
        labels.push(label);
    }
    let ident = &input.ident;
    let expected = format!("an enum of {}", labels.join(", "));
    Ok(quote! {
        #[automatically_derived]
        impl<'pelton> ::pelton_sdk::FromColumn<'pelton> for #ident {
            const EXPECTED: &'static str = #expected;

            fn accepts(kind: &::pelton_sdk::Kind) -> bool {
                kind.is_text()
            }

            fn from_column(
                value: ::pelton_sdk::msgpack::Raw<'pelton>,
            ) -> ::core::result::Result<Self, ::pelton_sdk::Unfit> {
                match <&str as ::pelton_sdk::FromColumn<'pelton>>::from_column(value)? {
                    #(#labels => ::core::result::Result::Ok(#ident::#cases),)*
                    _ => ::core::result::Result::Err(::pelton_sdk::Unfit::Label),
                }
            }
        }

        #[automatically_derived]
        impl ::pelton_sdk::ToColumn for #ident {
            const KIND: ::pelton_sdk::Kind = ::pelton_sdk::Kind::Enumeration;

            fn to_column(&self, to: &mut ::pelton_sdk::msgpack::Writer) {
                to.text(match self {
                    #(#ident::#cases => #labels,)*
                });
            }
        }
    })
}

/// `InProgress` is the label `in_progress`, unless `#[label("…")]` says otherwise.
fn snake_case(name: &str) -> String {
    let mut label = String::new();
    for (i, letter) in name.chars().enumerate() {
        if letter.is_uppercase() && i > 0 {
            label.push('_');
        }
        label.extend(letter.to_lowercase());
    }
    label
}
