//! `#[derive(Settings)]`.

use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::{Attribute, DeriveInput, Error, Expr, ExprLit, GenericArgument, Lit, LitStr, Meta, PathArguments, Type};

use crate::Expansion;
use crate::fields::named_fields;

pub fn expand(input: DeriveInput) -> Expansion {
    let fields = named_fields(&input, "Settings")?;
    if let Some(parameter) = input.generics.params.first() {
        return Err(Error::new_spanned(parameter, "settings outlive every batch: use owned types and no parameters"));
    }
    let ident = &input.ident;
    let (mut declared, mut read) = (Vec::new(), Vec::new());
    for (i, field) in fields.named.iter().enumerate() {
        let field_ident = field.ident.as_ref().expect("named fields have names");
        let Options { name, default } = options(&field.attrs)?;
        let name = name.unwrap_or_else(|| field_ident.unraw().to_string());
        let inner = option_of(&field.ty);
        if let (Some(_), Some(default)) = (&inner, &default) {
            return Err(Error::new_spanned(default, "a setting with a default is never absent: make it a plain field"));
        }
        let required = inner.is_none() && default.is_none();
        let doc = doc(&field.attrs);
        let default =
            default.map_or(quote!(::core::option::Option::None), |d| quote!(::core::option::Option::Some(#d)));
        declared.push(quote! {
            ::pelton_sdk::settings::Setting { name: #name, required: #required, default: #default, doc: #doc }
        });
        let expected = match expected(inner.unwrap_or(&field.ty)) {
            Some(words) => quote!(::core::option::Option::Some(#words)),
            None => quote!(::core::option::Option::None),
        };
        let value = quote!(::pelton_sdk::settings::read_setting(given, &Self::SETTINGS[#i], #expected)?);
        read.push(match inner {
            Some(_) => quote!(#field_ident: #value),
            None => quote!(#field_ident: #value.expect("required, or has a default")),
        });
    }
    Ok(quote! {
        #[automatically_derived]
        impl ::pelton_sdk::Settings for #ident {
            const SETTINGS: &'static [::pelton_sdk::settings::Setting] = &[#(#declared),*];

            fn read(given: &::pelton_sdk::Attrs) -> ::pelton_sdk::Result<Self> {
                ::core::result::Result::Ok(#ident { #(#read),* })
            }
        }
    })
}

struct Options {
    name: Option<String>,
    default: Option<LitStr>,
}

fn options(attributes: &[Attribute]) -> syn::Result<Options> {
    let mut options = Options { name: None, default: None };
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("setting")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("name") {
                options.name = Some(meta.value()?.parse::<LitStr>()?.value());
            } else if meta.path.is_ident("default") {
                let value: Lit = meta.value()?.parse()?;
                options.default = Some(match value {
                    Lit::Str(text) => text,
                    // `default = 5` is what one writes first.
                    Lit::Int(_) | Lit::Float(_) | Lit::Bool(_) => {
                        LitStr::new(&value.to_token_stream().to_string().replace('_', ""), value.span())
                    }
                    other => return Err(Error::new_spanned(other, "write the default as the manifest would: a text")),
                });
            } else {
                return Err(meta.error("unknown option; #[setting] has `default = \"…\"` and `name = \"…\"`"));
            }
            Ok(())
        })?;
    }
    Ok(options)
}

/// Returns `T` of `Option<T>`.
fn option_of(ty: &Type) -> Option<&Type> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last().filter(|segment| segment.ident == "Option")?;
    match &last.arguments {
        PathArguments::AngleBracketed(arguments) => match arguments.args.first()? {
            GenericArgument::Type(ty) => Some(ty),
            _ => None,
        },
        _ => None,
    }
}

/// Returns what a setting of this type must be, in the words of every SDK; other types say it themselves.
fn expected(ty: &Type) -> Option<&'static str> {
    match ty.to_token_stream().to_string().as_str() {
        "bool" => Some("true or false"),
        "f32" | "f64" => Some("a number"),
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => Some("an integer"),
        "u8" | "u16" | "u32" | "u64" | "u128" | "usize" => Some("an integer, and not negative"),
        _ => None,
    }
}

/// Returns the doc comment as one line.
pub fn doc(attributes: &[Attribute]) -> String {
    let line = |attribute: &Attribute| match &attribute.meta {
        Meta::NameValue(meta) if meta.path.is_ident("doc") => match &meta.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value().trim().to_owned()),
            _ => None,
        },
        _ => None,
    };
    attributes.iter().filter_map(line).collect::<Vec<_>>().join(" ").trim().to_owned()
}
