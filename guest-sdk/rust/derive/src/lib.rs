//! The derives of `pelton-sdk`, and `#[transform]`. Their documentation is there, where they are used.
//!
//! Every mistake is a compile error at the place where it was made, that says what to write instead.

use proc_macro::TokenStream;

mod enumeration;
mod fields;
mod public;
mod settings;
mod source;
mod state_value;
mod transform;

type Expansion = syn::Result<proc_macro2::TokenStream>;

fn finish(expansion: Expansion) -> TokenStream {
    expansion.unwrap_or_else(|error| error.to_compile_error()).into()
}

/// Reads rows of a source table into a struct.
#[proc_macro_derive(Source, attributes(source, key, column))]
pub fn derive_source(input: TokenStream) -> TokenStream {
    finish(syn::parse(input).and_then(source::expand))
}

/// Publishes a struct as a row of a public schema.
#[proc_macro_derive(Public, attributes(public, key, column))]
pub fn derive_public(input: TokenStream) -> TokenStream {
    finish(syn::parse(input).and_then(public::expand))
}

/// Reads the manifest's settings into a struct.
#[proc_macro_derive(Settings, attributes(setting))]
pub fn derive_settings(input: TokenStream) -> TokenStream {
    finish(syn::parse(input).and_then(settings::expand))
}

/// Stores a struct as a value of the transform's state.
#[proc_macro_derive(StateValue)]
pub fn derive_state_value(input: TokenStream) -> TokenStream {
    finish(syn::parse(input).and_then(state_value::expand))
}

/// Reads and writes a Postgres enum as a Rust enum.
#[proc_macro_derive(Enumeration, attributes(label))]
pub fn derive_enumeration(input: TokenStream) -> TokenStream {
    finish(syn::parse(input).and_then(enumeration::expand))
}

/// Makes a function, or an `impl` block with one function a table, a transform.
#[proc_macro_attribute]
pub fn transform(arguments: TokenStream, item: TokenStream) -> TokenStream {
    finish(syn::parse(arguments).and_then(|arguments| transform::expand(arguments, item.into())))
}
