//! `#[derive(StateValue)]`: a struct as an array of its fields, in their order.

use quote::quote;
use syn::{DeriveInput, Error};

use crate::Expansion;
use crate::fields::named_fields;

pub fn expand(input: DeriveInput) -> Expansion {
    let fields = named_fields(&input, "StateValue")?;
    if let Some(parameter) = input.generics.params.first() {
        return Err(Error::new_spanned(parameter, "state outlives every batch: use owned types and no parameters"));
    }
    let ident = &input.ident;
    let names: Vec<_> = fields.named.iter().map(|field| &field.ident).collect();
    let count = names.len();
    Ok(quote! {
        #[automatically_derived]
        impl ::pelton_sdk::StateValue for #ident {
            fn write(&self, to: &mut ::pelton_sdk::msgpack::Writer) {
                to.array(#count);
                #(::pelton_sdk::StateValue::write(&self.#names, to);)*
            }

            fn read(
                from: &mut ::pelton_sdk::msgpack::Reader<'_>,
            ) -> ::core::result::Result<Self, ::pelton_sdk::msgpack::Malformed> {
                if from.array()? as usize != #count {
                    return ::core::result::Result::Err(::pelton_sdk::msgpack::Malformed);
                }
                ::core::result::Result::Ok(#ident { #(#names: ::pelton_sdk::StateValue::read(from)?),* })
            }
        }
    })
}
