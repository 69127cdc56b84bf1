//! `#[derive(Event)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::spanned::Spanned as _;
use syn::{DeriveInput, Error, LitStr, Result};

use crate::attributes;

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let mut event_type = None;
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("event")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("type") {
                return Err(meta.error("unknown key; the only one is `type`"));
            }
            event_type = Some(attributes::event_type(&meta.value()?.parse::<LitStr>()?)?);
            Ok(())
        })?;
    }
    let event_type = event_type.ok_or_else(|| {
        Error::new(input.ident.span(), "which event type is it? Add `#[event(type = \"some.type\")]`")
    })?;
    if !input.generics.params.is_empty() {
        return Err(Error::new(input.generics.span(), "an event has no type parameters: its type is one on the bus"));
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
