//! The fields of a row, with their `#[key]` and `#[column(…)]`.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::{Attribute, Data, DeriveInput, Error, Fields, GenericParam, Ident, Lifetime, LitStr, Type};

pub struct Row {
    pub ident: Ident,
    /// The struct's one lifetime, if its fields borrow.
    pub lifetime: Option<Lifetime>,
    pub columns: Vec<Column>,
}

pub struct Column {
    pub ident: Ident,
    pub ty: Type,
    pub name: String,
    pub key: bool,
    /// The column's kind where it is not the one that its type stands for.
    kind: Option<LitStr>,
}

impl Row {
    /// Takes a struct with named fields.
    pub fn new(input: &DeriveInput, derive: &str) -> syn::Result<Row> {
        let fields = named_fields(input, derive)?;
        let mut lifetime = None;
        for parameter in &input.generics.params {
            match parameter {
                GenericParam::Lifetime(parameter) if lifetime.is_none() => lifetime = Some(parameter.lifetime.clone()),
                GenericParam::Lifetime(parameter) => {
                    return Err(Error::new_spanned(parameter, "a row borrows from one batch: use one lifetime"));
                }
                other => {
                    return Err(Error::new_spanned(other, format!("#[derive({derive})] takes no type parameters")));
                }
            }
        }
        let columns = fields.named.iter().map(Column::new).collect::<syn::Result<Vec<_>>>()?;
        for (i, column) in columns.iter().enumerate() {
            if columns[..i].iter().any(|other| other.name == column.name) {
                return Err(Error::new_spanned(&column.ident, format!("two fields are the column `{}`", column.name)));
            }
        }
        Ok(Row { ident: input.ident.clone(), lifetime, columns })
    }

    /// The type with its lifetime.
    pub fn ty(&self) -> TokenStream {
        let ident = &self.ident;
        self.lifetime.as_ref().map_or(quote!(#ident), |lifetime| quote!(#ident<#lifetime>))
    }

    /// The generics of an impl for it.
    pub fn generics(&self) -> TokenStream {
        self.lifetime.as_ref().map_or(quote!(), |lifetime| quote!(<#lifetime>))
    }

    pub fn keys(&self) -> Vec<&Column> {
        self.columns.iter().filter(|column| column.key).collect()
    }

    /// The type of the key: one field's own, otherwise a tuple.
    pub fn key_type(&self) -> TokenStream {
        match &self.keys()[..] {
            [one] => one.ty.to_token_stream(),
            keys => {
                let types = keys.iter().map(|column| &column.ty);
                quote!((#(#types,)*))
            }
        }
    }

    /// The key's value, of the given expressions for its fields.
    pub fn key_of(&self, part: impl Fn(&Column) -> TokenStream) -> TokenStream {
        match &self.keys()[..] {
            [one] => part(one),
            keys => {
                let parts = keys.iter().map(|column| part(column));
                quote!((#(#parts,)*))
            }
        }
    }

    /// For each key field the expression that reaches it in `key`, a reference to the key.
    pub fn key_parts(&self) -> Vec<(&Column, TokenStream)> {
        match &self.keys()[..] {
            [one] => vec![(*one, quote!(key))],
            keys => {
                let part = |(i, column): (usize, &&'_ Column)| {
                    let index = syn::Index::from(i);
                    (&self.columns[self.position(column)], quote!(&key.#index))
                };
                keys.iter().enumerate().map(part).collect()
            }
        }
    }

    fn position(&self, column: &Column) -> usize {
        self.columns.iter().position(|other| other.ident == column.ident).expect("one of them")
    }
}

impl Column {
    fn new(field: &syn::Field) -> syn::Result<Column> {
        let ident = field.ident.clone().expect("named fields have names");
        let mut column =
            Column { name: ident.unraw().to_string(), ident, ty: field.ty.clone(), key: false, kind: None };
        for attribute in &field.attrs {
            if attribute.path().is_ident("key") {
                attribute.meta.require_path_only()?;
                column.key = true;
            } else if attribute.path().is_ident("column") {
                column.options(attribute)?;
            }
        }
        Ok(column)
    }

    fn options(&mut self, attribute: &Attribute) -> syn::Result<()> {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("name") {
                self.name = meta.value()?.parse::<LitStr>()?.value();
                Ok(())
            } else if meta.path.is_ident("kind") {
                self.kind = Some(meta.value()?.parse()?);
                Ok(())
            } else {
                Err(meta.error("unknown option; #[column] has `name = \"…\"` and `kind = \"…\"`"))
            }
        })
    }

    /// The column's kind, as an expression.
    pub fn kind(&self) -> TokenStream {
        let ty = &self.ty;
        let Some(kind) = &self.kind else { return quote!(<#ty as ::pelton_sdk::ToColumn>::KIND) };
        let name = kind.value();
        let case = match name.as_str() {
            "boolean" | "bool" => quote!(Bool),
            "smallint" => quote!(Int16),
            "integer" => quote!(Int32),
            "bigint" => quote!(Int64),
            "real" => quote!(Float32),
            "double precision" => quote!(Float64),
            "numeric" => quote!(Numeric),
            "text" => quote!(Text),
            "bytea" => quote!(Bytea),
            "uuid" => quote!(Uuid),
            "json" => quote!(Json),
            "jsonb" => quote!(Jsonb),
            "date" => quote!(Date),
            "time" => quote!(Time),
            "timetz" => quote!(Timetz),
            "timestamp" => quote!(Timestamp),
            "timestamptz" => quote!(Timestamptz),
            "interval" => quote!(Interval),
            "enum" => quote!(Enumeration),
            other => match other.strip_suffix("[]") {
                Some(element) => quote!(Array(::std::borrow::Cow::Borrowed(#element))),
                None => quote!(Other(::std::borrow::Cow::Borrowed(#other))),
            },
        };
        quote!(::pelton_sdk::Kind::#case)
    }
}

/// Takes the fields of a struct with named fields.
pub fn named_fields<'a>(input: &'a DeriveInput, derive: &str) -> syn::Result<&'a syn::FieldsNamed> {
    let message = format!("#[derive({derive})] takes a struct with named fields");
    match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) if !fields.named.is_empty() => Ok(fields),
            _ => Err(Error::new_spanned(&input.ident, message)),
        },
        _ => Err(Error::new_spanned(&input.ident, message)),
    }
}

/// Returns the one attribute of that name.
pub fn attribute<'a>(input: &'a DeriveInput, name: &str) -> syn::Result<Option<&'a Attribute>> {
    let mut found = input.attrs.iter().filter(|attribute| attribute.path().is_ident(name));
    let first = found.next();
    match found.next() {
        Some(second) => Err(Error::new_spanned(second, format!("a second #[{name}]; write one"))),
        None => Ok(first),
    }
}
