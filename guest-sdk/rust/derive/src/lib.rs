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
#[cfg(test)]
mod tests;
mod transform;

type Expansion = syn::Result<proc_macro2::TokenStream>;

fn finish(expansion: Expansion) -> TokenStream {
    expansion.unwrap_or_else(|error| error.to_compile_error()).into()
}

/// Reads rows of a source table into a struct with named fields, which may borrow from the batch (one lifetime).
///
/// - `#[source(table = "schema.table")]`: without a schema it is `public`; `schema = "…"` gives it apart from a name with
///   dots. Names stand as they are, without quotes.
/// - `#[source(message = "prefix")]` instead: logical messages of that prefix.
/// - `#[source(…, ops(insert, update, delete, truncate))]`: the operations to be seen; all where it is left out.
/// - `#[key]` on fields: the replica identity's columns, usually the primary key's. They are all that a delete brings.
/// - `#[column(name = "…")]` on a field: the column's name where it is not the field's.
///
/// The columns that the fields name are subscribed, no others.
#[proc_macro_derive(Source, attributes(source, key, column))]
pub fn derive_source(input: TokenStream) -> TokenStream {
    finish(syn::parse(input).and_then(source::expand))
}

/// Publishes a struct with named fields as a row of a public schema.
///
/// - `#[public(name = "orders", version = "1.0")]`: the schema's name, and its major and minor version.
/// - `#[key]` on fields: the key. Without one the schema is append-only: it takes inserts and truncates.
/// - `#[column(name = "…", kind = "…")]` on a field: the column's name, and its Postgres type, where they are not the
///   field's own. `kind` says what the text of a `String` or an `Array` is: `"varchar"`, `"integer[]"`.
#[proc_macro_derive(Public, attributes(public, key, column))]
pub fn derive_public(input: TokenStream) -> TokenStream {
    finish(syn::parse(input).and_then(public::expand))
}

/// Reads the manifest's settings into a struct, each with [`FromStr`](std::str::FromStr).
///
/// A plain field is required, an `Option` may be left out, `#[setting(default = "…")]` gives a default and
/// `#[setting(name = "…")]` another name. A field's doc comment is shown to whoever writes the manifest.
#[proc_macro_derive(Settings, attributes(setting))]
pub fn derive_settings(input: TokenStream) -> TokenStream {
    finish(syn::parse(input).and_then(settings::expand))
}

/// Stores a struct as a value of the transform's state: an array of its fields, in their order. When they change, raise
/// `state_version`.
#[proc_macro_derive(StateValue)]
pub fn derive_state_value(input: TokenStream) -> TokenStream {
    finish(syn::parse(input).and_then(state_value::expand))
}

/// Reads and writes a Postgres enum (or any text) as a Rust enum.
///
/// `InProgress` is the label `in_progress`; `#[label("…")]` on a variant gives another one. A change with a label that the
/// enum does not have is rejected.
#[proc_macro_derive(Enumeration, attributes(label))]
pub fn derive_enumeration(input: TokenStream) -> TokenStream {
    finish(syn::parse(input).and_then(enumeration::expand))
}

/// Makes a function, or an `impl` block with one method a table, a transform. A crate has one.
///
/// - `publishes(Row, …)`: its public rows. Required.
/// - `name = "…"`, `version = "…"`: where they are left out, the function's or type's name and the crate's version.
/// - `stateful`, `state_version = 1`: it has state; components of the same version read each other's.
/// - `parallel`: the host may run several instances, each with its share of the keys.
/// - `whole_transactions`: no batch ends inside a source transaction, however large. One whose changes take more than
///   `limits.memoryMib` stops the transform.
///
/// A function is `fn(change: Change<Row>, out: &mut Out) -> Result<()>`, with `settings: &Settings` as a third argument if
/// it has any; a type of the same name is the transform ([`testing`](../pelton_sdk/testing/index.html) takes it).
/// In an `impl` block these methods are called, whatever else is there:
///
/// - `fn any(&self, change: Change<Row>, out: &mut Out) -> Result<()>`, one a table;
/// - `fn any(&self, change: &Change<Row>, ahead: &mut Ahead)`, which names the state that a change will need;
/// - `fn init(settings: Settings, context: &Context) -> Result<Self>`, either argument or both may be left out; without
///   it the type is made by `Default`;
/// - `fn end_of_transaction(&self, out: &mut Out) -> Result<()>`, behind the last change that it takes of a source
///   transaction; with `whole_transactions` only.
#[proc_macro_attribute]
pub fn transform(arguments: TokenStream, item: TokenStream) -> TokenStream {
    finish(syn::parse(arguments).and_then(|arguments| transform::expand(arguments, item.into())))
}
