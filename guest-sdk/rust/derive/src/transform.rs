//! `#[transform(…)]` on a function or on an `impl` block.

use proc_macro2::{Group, Ident, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{
    Error, FnArg, GenericArgument, ImplItem, Item, ItemFn, ItemImpl, LitInt, LitStr, Path, PathArguments, Signature,
    Token, Type,
};

use crate::Expansion;

/// What stands in the parentheses.
#[derive(Default)]
pub struct Arguments {
    name: Option<LitStr>,
    version: Option<LitStr>,
    publishes: Vec<Path>,
    parallel: bool,
    whole_transactions: bool,
    stateful: bool,
    state_version: Option<LitInt>,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> syn::Result<Arguments> {
        let mut arguments = Arguments::default();
        while !input.is_empty() {
            let option: Ident = input.parse()?;
            match option.to_string().as_str() {
                "name" => arguments.name = Some(value(input)?),
                "version" => arguments.version = Some(value(input)?),
                "state_version" => arguments.state_version = Some(value(input)?),
                "publishes" => {
                    let list;
                    syn::parenthesized!(list in input);
                    let rows = Punctuated::<Path, Token![,]>::parse_terminated(&list)?;
                    arguments.publishes = rows.into_iter().collect();
                }
                "parallel" => arguments.parallel = true,
                "whole_transactions" => arguments.whole_transactions = true,
                "stateful" => arguments.stateful = true,
                _ => {
                    let known = "name = \"…\", version = \"…\", publishes(Row, …), stateful, state_version = 1, parallel and \
                                 whole_transactions";
                    return Err(Error::new_spanned(&option, format!("unknown option; #[transform] has {known}")));
                }
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(arguments)
    }
}

fn value<T: Parse>(input: ParseStream<'_>) -> syn::Result<T> {
    input.parse::<Token![=]>()?;
    input.parse()
}

pub fn expand(arguments: Arguments, item: TokenStream) -> Expansion {
    let message = "#[transform] takes a function `fn(change: Change<Row>, out: &mut Out) -> Result<()>`, or an `impl` block \
                   with one such method a table";
    match syn::parse2(item)? {
        Item::Fn(item) => of_function(arguments, item),
        Item::Impl(item) => of_impl(arguments, item),
        other => Err(Error::new_spanned(other.to_token_stream().into_iter().next(), message)),
    }
}

/// A function's transform is a type of the same name: types and functions do not collide.
fn of_function(arguments: Arguments, item: ItemFn) -> Expansion {
    let signature = &item.sig;
    plain(signature)?;
    let inputs: Vec<_> = signature.inputs.iter().collect();
    let row = inputs.first().and_then(|input| changed_row(input));
    let (Some(row), 2..=3) = (row, inputs.len()) else {
        let message = "write fn(change: Change<Row>, out: &mut Out), and as a third argument settings: &Settings if there are any";
        return Err(Error::new_spanned(&signature.inputs, message));
    };
    let settings = match inputs.get(2) {
        None => quote!(()),
        Some(FnArg::Typed(typed)) => match &*typed.ty {
            Type::Reference(reference) => reference.elem.to_token_stream(),
            other => return Err(Error::new_spanned(other, "take the settings by reference")),
        },
        Some(other) => return Err(Error::new_spanned(other, "take the settings by reference")),
    };
    let (visibility, name) = (&item.vis, &signature.ident);
    let call = if inputs.len() == 3 { quote!(#name(change, out, &this.settings)) } else { quote!(#name(change, out)) };
    let handler = Handler { row, call, ahead: None };
    let init = quote!(::core::result::Result::Ok(#name { settings }));
    let glue = glue(&arguments, &quote!(#name), &name.to_string(), &settings, &init, &[handler], false)?;
    Ok(quote! {
        #item

        #[doc = "The transform that the function of the same name is."]
        #[allow(non_camel_case_types, dead_code)]
        #visibility struct #name {
            settings: #settings,
        }

        #glue
    })
}

fn of_impl(arguments: Arguments, item: ItemImpl) -> Expansion {
    if let Some((_, path, _)) = &item.trait_ {
        return Err(Error::new_spanned(path, "#[transform] takes an inherent impl, not one of a trait"));
    }
    if let Some(parameter) = item.generics.params.first() {
        return Err(Error::new_spanned(parameter, "a transform outlives every batch: it has no parameters"));
    }
    let ty = &item.self_ty;
    let (mut handlers, mut aheads) = (Vec::<Handler>::new(), Vec::<(String, Ident)>::new());
    let (mut init, mut settings, mut ends) = (None, quote!(()), false);
    for method in &item.items {
        let ImplItem::Fn(method) = method else { continue };
        let (signature, name) = (&method.sig, &method.sig.ident);
        let row = signature.inputs.iter().nth(1).and_then(changed_row);
        if name == "init" {
            let mut passed = Vec::new();
            for input in &signature.inputs {
                match input {
                    FnArg::Typed(typed) if matches!(&*typed.ty, Type::Reference(_)) => passed.push(quote!(context)),
                    FnArg::Typed(typed) => {
                        settings = typed.ty.to_token_stream();
                        passed.push(quote!(settings));
                    }
                    FnArg::Receiver(receiver) => {
                        let message = "init makes the transform: fn init(settings: Settings) -> Result<Self>";
                        return Err(Error::new_spanned(receiver, message));
                    }
                }
            }
            init = Some(quote!(<#ty>::init(#(#passed),*)));
        } else if name == "end_of_transaction" {
            ends = true;
        } else if let Some(row) = signature.inputs.iter().nth(1).and_then(looked_at_row) {
            plain(signature)?;
            if signature.inputs.len() != 3 {
                let message = "write fn(&self, change: &Change<Row>, ahead: &mut Ahead)";
                return Err(Error::new_spanned(&signature.inputs, message));
            }
            aheads.push((row.to_string(), name.clone()));
        } else if let Some(row) = row {
            plain(signature)?;
            match signature.inputs.first() {
                Some(FnArg::Receiver(receiver)) if receiver.mutability.is_none() && receiver.reference.is_some() => {}
                other => {
                    let message = "take `&self`: an instance may be replaced between any two batches, and a batch may run \
                                   twice, so what must survive goes into a `Map` of the state";
                    return Err(Error::new_spanned(other, message));
                }
            }
            if signature.inputs.len() != 3 {
                return Err(Error::new_spanned(
                    &signature.inputs,
                    "write fn(&self, change: Change<Row>, out: &mut Out)",
                ));
            }
            handlers.push(Handler { row, call: quote!(this.#name(change, out)), ahead: None });
        }
    }
    for (row, name) in aheads {
        match handlers.iter_mut().find(|handler| handler.row.to_string() == row) {
            Some(handler) if handler.ahead.is_none() => handler.ahead = Some(name),
            Some(_) => {
                return Err(Error::new_spanned(name, "a second method reads ahead for these changes; write one"));
            }
            None => {
                let message = "it reads ahead for changes that no method takes: write one with `change: Change<Row>`";
                return Err(Error::new_spanned(name, message));
            }
        }
    }
    if handlers.is_empty() {
        let message =
            "no method takes a change: write fn orders(&self, change: Change<Order>, out: &mut Out) -> Result<()>";
        return Err(Error::new_spanned(ty, message));
    }
    let init = init.unwrap_or_else(|| quote!(::core::result::Result::Ok(<#ty as ::core::default::Default>::default())));
    let name = ty.to_token_stream().to_string();
    let glue = glue(&arguments, &ty.to_token_stream(), &name, &settings, &init, &handlers, ends)?;
    Ok(quote!(#item #glue))
}

struct Handler {
    /// The `Row` of `Change<Row>`, its lifetimes left open.
    row: TokenStream,
    call: TokenStream,
    /// The method that names the state which a change will need.
    ahead: Option<Ident>,
}

fn plain(signature: &Signature) -> syn::Result<()> {
    if let Some(asyncness) = &signature.asyncness {
        return Err(Error::new_spanned(asyncness, "a transform is called and returns: it has nothing to wait for"));
    }
    for parameter in signature.generics.params.iter() {
        if !matches!(parameter, syn::GenericParam::Lifetime(_)) {
            return Err(Error::new_spanned(
                parameter,
                "one function takes the changes of one table: no type parameters",
            ));
        }
    }
    Ok(())
}

/// Returns `Row` when the argument is a `Change<Row>`.
fn changed_row(input: &FnArg) -> Option<TokenStream> {
    match input {
        FnArg::Typed(typed) => row_of_change(&typed.ty),
        FnArg::Receiver(_) => None,
    }
}

/// Returns `Row` when the argument is a `&Change<Row>`.
fn looked_at_row(input: &FnArg) -> Option<TokenStream> {
    match input {
        FnArg::Typed(typed) => match &*typed.ty {
            Type::Reference(reference) => row_of_change(&reference.elem),
            _ => None,
        },
        FnArg::Receiver(_) => None,
    }
}

fn row_of_change(ty: &Type) -> Option<TokenStream> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last().filter(|segment| segment.ident == "Change")?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    match arguments.args.first()? {
        GenericArgument::Type(ty) => Some(open_lifetimes(ty.to_token_stream())),
        _ => None,
    }
}

/// Writes `'_` for every lifetime: the glue has none of the function's own names.
fn open_lifetimes(tokens: TokenStream) -> TokenStream {
    let mut after_tick = false;
    let open = |token: TokenTree| {
        let was_tick = std::mem::replace(&mut after_tick, matches!(&token, TokenTree::Punct(p) if p.as_char() == '\''));
        match token {
            TokenTree::Ident(ident) if was_tick => TokenTree::Ident(Ident::new("_", ident.span())),
            TokenTree::Group(group) => TokenTree::Group(Group::new(group.delimiter(), open_lifetimes(group.stream()))),
            other => other,
        }
    };
    tokens.into_iter().map(open).collect()
}

fn glue(
    arguments: &Arguments,
    ty: &TokenStream,
    fallback_name: &str,
    settings: &TokenStream,
    init: &TokenStream,
    handlers: &[Handler],
    ends: bool,
) -> Expansion {
    if arguments.publishes.is_empty() {
        let message = "say what it publishes: #[transform(name = \"orders\", publishes(PublicOrder))]";
        return Err(Error::new(ty.span(), message));
    }
    if arguments.parallel && arguments.whole_transactions {
        let message =
            "`parallel` and `whole_transactions` exclude each other: parallel instances see parts of a transaction";
        return Err(Error::new(ty.span(), message));
    }
    if ends && !arguments.whole_transactions {
        let message = "`end_of_transaction` needs `whole_transactions`: a large transaction comes in pieces otherwise, and \
                       the last of them may have no change that the transform takes";
        return Err(Error::new(ty.span(), message));
    }
    let name = arguments.name.as_ref().map_or_else(|| fallback_name.to_owned(), LitStr::value);
    let version = match &arguments.version {
        Some(version) => quote!(#version),
        None => quote!(::core::env!("CARGO_PKG_VERSION")),
    };
    let (parallel, whole) = (arguments.parallel, arguments.whole_transactions);
    let stateful = arguments.stateful || arguments.state_version.is_some();
    let state_version = arguments.state_version.as_ref().map_or(quote!(1), |version| quote!(#version));
    let publishes = &arguments.publishes;
    let tables = handlers.iter().map(|Handler { row, call, ahead }| {
        let ahead = match ahead {
            None => quote!(::core::option::Option::None),
            Some(name) => quote! {{
                fn ahead<'pelton>(
                    this: &#ty,
                    input: &mut ::pelton_sdk::source::Input<'pelton, '_>,
                    ahead: &mut ::pelton_sdk::state::Ahead,
                ) -> ::pelton_sdk::Result<()> {
                    let change = input.change()?;
                    this.#name(&change, ahead);
                    ::core::result::Result::Ok(())
                }
                ::core::option::Option::Some(ahead)
            }},
        };
        quote! {{
            fn run<'pelton>(
                this: &#ty,
                input: &mut ::pelton_sdk::source::Input<'pelton, '_>,
                out: &mut ::pelton_sdk::Out,
            ) -> ::pelton_sdk::Result<()> {
                let _ = this;
                let change = input.change()?;
                #call
            }
            ::pelton_sdk::transform::Handler {
                table: <#row as ::pelton_sdk::source::SourceRow>::TABLE,
                run,
                ahead: #ahead,
            }
        }}
    });
    let ends = ends.then(|| {
        quote! {
            fn end_of_transaction(&self, out: &mut ::pelton_sdk::Out) -> ::pelton_sdk::Result<()> {
                <#ty>::end_of_transaction(self, out)
            }
        }
    });
    Ok(quote! {
        impl ::pelton_sdk::transform::Transform for #ty {
            const NAME: &'static str = #name;
            const VERSION: &'static str = #version;
            const PARALLEL: bool = #parallel;
            const WHOLE_TRANSACTIONS: bool = #whole;
            const STATEFUL: bool = #stateful;
            const STATE_VERSION: u32 = #state_version;
            type Settings = #settings;

            fn publishes() -> ::std::vec::Vec<&'static ::pelton_sdk::public::PublicSchema> {
                ::std::vec![#(<#publishes as ::pelton_sdk::Public>::SCHEMA),*]
            }

            fn tables() -> ::std::vec::Vec<::pelton_sdk::transform::Handler<Self>> {
                ::std::vec![#(#tables),*]
            }

            fn init(settings: Self::Settings, context: &::pelton_sdk::Context) -> ::pelton_sdk::Result<Self> {
                let (settings, context) = (settings, context);
                let _ = (&settings, context);
                #init
            }

            #ends
        }

        #[cfg(target_arch = "wasm32")]
        ::pelton_sdk::__export_transform!(#ty);
    })
}
