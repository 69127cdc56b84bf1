//! What `#[on_event]` and `#[on_schedule]` have in common: a function that takes deliveries.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Error, FnArg, Ident, ItemFn, Result, ReturnType, Type};

/// The type of a handler's one argument.
pub(crate) fn argument<'function>(function: &'function ItemFn, expected: &str) -> Result<&'function Type> {
    let signature = &function.sig;
    if let Some(asyncness) = signature.asyncness {
        return Err(Error::new(asyncness.span(), "a handler is not async: the host runs many at a time"));
    }
    match signature.inputs.iter().collect::<Vec<_>>().as_slice() {
        [FnArg::Typed(argument)] => Ok(&argument.ty),
        _ => Err(Error::new(signature.span(), expected)),
    }
}

/// The impl that stands beside the function. `description` is the trait's functions that tell of it, in which
/// the plugin's name is [`plugin_name`].
pub(crate) fn implementation(function: &ItemFn, argument: &Type, description: &TokenStream) -> TokenStream {
    let signature = &function.sig;
    // Out of sight of the user's own names, which may be the same.
    let value = Ident::new("argument", Span::mixed_site());
    let delivery = Ident::new("delivery", Span::mixed_site());
    let function_name = &signature.ident;
    let visibility = &function.vis;
    let decode = quote_spanned! { argument.span() => <#argument as ::sandbus_sdk::EventArgument>::from_delivery };
    let output = match &signature.output {
        ReturnType::Default => signature.ident.span(),
        ReturnType::Type(_, output) => output.span(),
    };
    let call = quote_spanned! { output => ::sandbus_sdk::plugin::HandlerResult::into_result(#function_name(#value)) };

    quote! {
        #[doc(hidden)]
        #[allow(non_camel_case_types, reason = "it bears the function's name")]
        #[derive(Debug)]
        #visibility struct #function_name {}

        impl ::sandbus_sdk::plugin::Handler for #function_name {
            #description

            fn call(
                #delivery: ::sandbus_sdk::bindings::sandbus::plugin::types::Delivery,
            ) -> ::sandbus_sdk::Result<()> {
                let #value = #decode(#delivery)?;
                #call
            }
        }
    }
}

/// The argument of the trait's describing functions.
pub(crate) fn plugin_name() -> Ident {
    Ident::new("plugin", Span::mixed_site())
}

/// The tokens of an optional value.
pub(crate) fn option<T: ToTokens>(value: Option<T>) -> TokenStream {
    match value {
        Some(value) => quote!(::std::option::Option::Some(#value)),
        None => quote!(::std::option::Option::None),
    }
}

/// The tokens of an optional string.
pub(crate) fn string(value: Option<&str>) -> TokenStream {
    option(value.map(|value| quote!(::std::string::String::from(#value))))
}
