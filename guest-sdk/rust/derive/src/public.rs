//! `#[derive(Public)]`.

use quote::quote;
use syn::{DeriveInput, Error, LitStr};

use crate::Expansion;
use crate::fields::{Column, Row, attribute};

pub fn expand(input: DeriveInput) -> Expansion {
    let row = Row::new(&input, "Public")?;
    let (name, (major, minor)) = schema(&input)?;
    let (ty, generics, key_type) = (row.ty(), row.generics(), row.key_type());
    let columns = row.columns.iter().map(|column| {
        let Column { ty, name, key, .. } = column;
        let kind = column.kind();
        quote! {
            ::pelton_sdk::public::PublicColumn {
                name: #name,
                kind: #kind,
                nullable: <#ty as ::pelton_sdk::ToColumn>::NULLABLE,
                key: #key,
            }
        }
    });
    let key = row.key_of(|column| {
        let ident = &column.ident;
        quote!(::core::clone::Clone::clone(&self.#ident))
    });
    let written = row.columns.iter().map(|column| &column.ident);
    let parts = row.key_parts();
    let key_written = parts.iter().map(|(_, part)| quote!(::pelton_sdk::ToColumn::to_column(#part, to);));
    let deleted = row.columns.iter().map(|column| match parts.iter().find(|(key, _)| key.ident == column.ident) {
        Some((_, part)) => quote!(::pelton_sdk::ToColumn::to_column(#part, to);),
        None => quote!(to.unchanged();),
    });
    Ok(quote! {
        #[automatically_derived]
        #[allow(clippy::unused_unit)] // the key of a row without one
        impl #generics ::pelton_sdk::Public for #ty {
            type Key = #key_type;
            const SCHEMA: &'static ::pelton_sdk::public::PublicSchema = &::pelton_sdk::public::PublicSchema {
                name: #name,
                major: #major,
                minor: #minor,
                columns: &[#(#columns),*],
            };

            fn key(&self) -> Self::Key {
                #key
            }

            fn write(&self, to: &mut ::pelton_sdk::msgpack::Writer) {
                #(::pelton_sdk::ToColumn::to_column(&self.#written, to);)*
            }

            fn write_key(key: &Self::Key, to: &mut ::pelton_sdk::msgpack::Writer) {
                let _ = key;
                #(#key_written)*
            }

            fn write_deleted(key: &Self::Key, to: &mut ::pelton_sdk::msgpack::Writer) {
                let _ = key;
                #(#deleted)*
            }
        }
    })
}

fn schema(input: &DeriveInput) -> syn::Result<(String, (u32, u32))> {
    let Some(attribute) = attribute(input, "public")? else {
        let message = "say which public schema its rows are of: #[public(name = \"orders\", version = \"1.0\")]";
        return Err(Error::new_spanned(&input.ident, message));
    };
    let (mut name, mut version) = (None, None);
    attribute.parse_nested_meta(|meta| {
        if meta.path.is_ident("name") {
            name = Some(meta.value()?.parse::<LitStr>()?);
        } else if meta.path.is_ident("version") {
            let text: LitStr = meta.value()?.parse()?;
            let numbers = text.value();
            let parsed = numbers.split_once('.').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
            version = Some(parsed.ok_or_else(|| Error::new_spanned(text, "write major.minor, such as \"1.0\""))?);
        } else {
            return Err(meta.error("unknown option; #[public] has `name = \"…\"` and `version = \"1.0\"`"));
        }
        Ok(())
    })?;
    let name = name.ok_or_else(|| Error::new_spanned(attribute, "name the public schema: name = \"orders\""))?;
    if name.value().is_empty() {
        return Err(Error::new_spanned(name, "name the public schema"));
    }
    Ok((name.value(), version.unwrap_or((1, 0))))
}
