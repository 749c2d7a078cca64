//! `#[derive(Source)]`.

use quote::quote;
use syn::{DeriveInput, Error, Ident, LitStr};

use crate::Expansion;
use crate::fields::{Column, Row, attribute};

pub fn expand(input: DeriveInput) -> Expansion {
    let row = Row::new(&input, "Source")?;
    let Table { schema, name, ops } = table(&input)?;
    let (ident, ty, generics) = (&row.ident, row.ty(), row.generics());
    let lifetime = row.lifetime.clone().unwrap_or_else(|| syn::parse_quote!('pelton));
    let static_or_own = row.lifetime.clone().unwrap_or_else(|| syn::parse_quote!('static));

    let columns = row.columns.iter().map(|column| {
        let Column { ty, name, key, .. } = column;
        let kind = column.kind();
        quote! {
            ::pelton_sdk::source::SourceColumn {
                name: #name,
                key: #key,
                kind: #kind,
                nullable: <#ty as ::pelton_sdk::ToColumn>::NULLABLE,
                expected: <#ty as ::pelton_sdk::FromColumn<#static_or_own>>::EXPECTED,
                accepts: <#ty as ::pelton_sdk::FromColumn<#static_or_own>>::accepts,
            }
        }
    });
    let (key_type, key) = (
        row.key_type(),
        row.key_of(|column| {
            let ident = &column.ident;
            quote!(::core::clone::Clone::clone(&self.#ident))
        }),
    );
    let written = row.columns.iter().map(|column| &column.ident);
    let read = |wanted: &dyn Fn(&Column) -> bool| {
        let chosen: Vec<_> = row.columns.iter().enumerate().filter(|(_, column)| wanted(column)).collect();
        let slots: Vec<Ident> = chosen.iter().map(|(i, _)| quote::format_ident!("field_{i}")).collect();
        let indexes = chosen.iter().map(|(i, _)| *i as u16);
        let types: Vec<_> = chosen.iter().map(|(_, column)| &column.ty).collect();
        let names: Vec<_> = chosen.iter().map(|(_, column)| &column.name).collect();
        quote! {
            #(let mut #slots: ::core::option::Option<#types> = ::core::option::Option::None;)*
            while let ::core::option::Option::Some((field, value)) = row.next()? {
                match field {
                    #(#indexes => match <#types as ::pelton_sdk::FromColumn<#lifetime>>::from_column(value) {
                        ::core::result::Result::Ok(value) => #slots = ::core::option::Option::Some(value),
                        ::core::result::Result::Err(unfit) => return ::core::result::Result::Err(row.unfit(unfit)),
                    },)*
                    _ => {}
                }
            }
            #(let ::core::option::Option::Some(#slots) = #slots else {
                return ::core::result::Result::Err(row.missing(#names));
            };)*
        }
    };
    let (all, keys) = (read(&|_| true), read(&|column| column.key));
    let fields = row.columns.iter().enumerate().map(|(i, column)| {
        let (ident, slot) = (&column.ident, quote::format_ident!("field_{i}"));
        quote!(#ident: #slot)
    });
    let read_key = row.key_of(|column| {
        let i = row.columns.iter().position(|other| other.ident == column.ident).expect("one of them");
        let slot = quote::format_ident!("field_{i}");
        quote!(#slot)
    });

    Ok(quote! {
        #[automatically_derived]
        #[allow(clippy::unused_unit)] // the key of a row without one
        impl #generics ::pelton_sdk::source::SourceRow for #ty {
            type Key = #key_type;
            const TABLE: &'static ::pelton_sdk::source::Table = &::pelton_sdk::source::Table {
                schema: #schema,
                name: #name,
                columns: &[#(#columns),*],
                ops: &[#(::pelton_sdk::Op::#ops),*],
            };

            fn key(&self) -> Self::Key {
                #key
            }

            fn write(&self, to: &mut ::pelton_sdk::msgpack::Writer) {
                #(::pelton_sdk::ToColumn::to_column(&self.#written, to);)*
            }
        }

        #[automatically_derived]
        #[allow(clippy::unused_unit)] // the key of a row without one
        impl<#lifetime> ::pelton_sdk::source::Source<#lifetime> for #ty {
            fn decode(row: &mut ::pelton_sdk::source::RowReader<#lifetime, '_>) -> ::pelton_sdk::Result<Self> {
                #all
                ::core::result::Result::Ok(#ident { #(#fields),* })
            }

            fn decode_key(row: &mut ::pelton_sdk::source::RowReader<#lifetime, '_>) -> ::pelton_sdk::Result<Self::Key> {
                #keys
                ::core::result::Result::Ok(#read_key)
            }
        }
    })
}

struct Table {
    schema: String,
    name: String,
    ops: Vec<Ident>,
}

fn table(input: &DeriveInput) -> syn::Result<Table> {
    let Some(attribute) = attribute(input, "source")? else {
        let message = "say which table its rows come from: #[source(table = \"public.orders\")]";
        return Err(Error::new_spanned(&input.ident, message));
    };
    let (mut schema, mut table, mut message, mut ops) = (None, None::<LitStr>, None::<LitStr>, Vec::new());
    attribute.parse_nested_meta(|meta| {
        if meta.path.is_ident("table") {
            table = Some(meta.value()?.parse()?);
        } else if meta.path.is_ident("schema") {
            schema = Some(meta.value()?.parse::<LitStr>()?.value());
        } else if meta.path.is_ident("message") {
            message = Some(meta.value()?.parse()?);
        } else if meta.path.is_ident("ops") {
            meta.parse_nested_meta(|op| {
                let known =
                    [("insert", "Insert"), ("update", "Update"), ("delete", "Delete"), ("truncate", "Truncate")];
                match known.iter().find(|(name, _)| op.path.is_ident(name)) {
                    Some((_, case)) => ops.push(Ident::new(case, proc_macro2::Span::call_site())),
                    None => return Err(op.error("unknown operation; there are insert, update, delete and truncate")),
                }
                Ok(())
            })?;
        } else {
            return Err(meta.error(
                "unknown option; #[source] has `table = \"schema.table\"`, `schema = \"…\"`, `ops(insert, …)` and, for \
                 logical messages, `message = \"prefix\"`",
            ));
        }
        Ok(())
    })?;
    match (table, message) {
        (Some(table), None) => {
            let text = table.value();
            // With a schema of its own the table's name may hold dots.
            let (schema, name) = match (schema, text.split_once('.')) {
                (Some(schema), _) => (schema, text.clone()),
                (None, Some((schema, name))) => (schema.to_owned(), name.to_owned()),
                (None, None) => ("public".to_owned(), text.clone()),
            };
            if schema.is_empty() || name.is_empty() {
                return Err(Error::new_spanned(table, "write `schema.table`, without quotes around the names"));
            }
            Ok(Table { schema, name, ops })
        }
        (None, Some(prefix)) => Ok(Table { schema: "pg_logical_message".to_owned(), name: prefix.value(), ops }),
        (Some(_), Some(prefix)) => {
            Err(Error::new_spanned(prefix, "a row comes from a table or from a message, not both"))
        }
        (None, None) => {
            Err(Error::new_spanned(attribute, "say which table its rows come from: table = \"public.orders\""))
        }
    }
}
