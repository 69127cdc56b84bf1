//! `#[derive(Event)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt as _;
use syn::parse::ParseStream;
use syn::spanned::Spanned as _;
use syn::{DeriveInput, Error, Ident, LitStr, Meta, Result, Token};

use crate::attributes::{self, comma};

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let event_type = event_type(input)?;
    if !input.generics.params.is_empty() {
        return Err(Error::new(
            input.generics.span(),
            "an event cannot have type parameters: it stands for one event type",
        ));
    }

    let name = &input.ident;
    Ok(quote! {
        #[automatically_derived]
        impl ::sandbus_sdk::EventType for #name {
            const TYPE: &'static str = #event_type;
        }

        #[automatically_derived]
        impl ::sandbus_sdk::Payload for #name {
            const TYPE: ::std::option::Option<&'static str> = ::std::option::Option::Some(#event_type);

            fn decode(data: ::std::option::Option<::std::vec::Vec<u8>>) -> ::sandbus_sdk::Result<Self> {
                ::sandbus_sdk::private::decode_json(data.as_deref().unwrap_or(b"null"))
            }
        }

        #[automatically_derived]
        impl ::sandbus_sdk::EventArgument for #name {
            const TYPE: ::std::option::Option<&'static str> = ::std::option::Option::Some(#event_type);

            fn from_delivery(
                delivery: ::sandbus_sdk::bindings::sandbus::plugin::types::Delivery,
            ) -> ::sandbus_sdk::Result<Self> {
                <Self as ::sandbus_sdk::Payload>::decode(delivery.event.data)
            }
        }
    })
}

/// The type in `#[event(type = "…")]`.
fn event_type(input: &DeriveInput) -> Result<String> {
    const EXAMPLE: &str = "write `#[event(type = \"user.registered\")]`";
    let mut found = None;
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("event")) {
        let malformed = |span| Error::new(span, EXAMPLE);
        let Meta::List(list) = &attribute.meta else { return Err(malformed(attribute.span())) };
        // `type` is a keyword, and a likely mistake is to leave it out.
        let parse = |arguments: ParseStream<'_>| {
            let span = arguments.span();
            let key = arguments.call(Ident::parse_any).map_err(|_| malformed(span))?;
            if key != "type" {
                return Err(Error::new(key.span(), format!("unknown option `{key}`; {EXAMPLE}")));
            }
            let span = arguments.span();
            arguments.parse::<Token![=]>().map_err(|_| malformed(span))?;
            let span = arguments.span();
            let literal = arguments.parse::<LitStr>().map_err(|_| malformed(span))?;
            comma(arguments)?;
            if !arguments.is_empty() {
                return Err(arguments.error("`type` is the only option"));
            }
            Ok(literal)
        };
        let literal = list.parse_args_with(parse)?;
        if found.is_some() {
            return Err(Error::new(attribute.span(), "an event has one type"));
        }
        found = Some(attributes::event_type(&literal)?);
    }
    found.ok_or_else(|| Error::new(input.ident.span(), format!("the event type is missing; {EXAMPLE}")))
}
