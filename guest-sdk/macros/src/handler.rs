//! Code that `#[on_event]` and `#[on_schedule]` share: both mark a function that handles deliveries.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Error, FnArg, GenericArgument, Ident, ItemFn, PathArguments, Result, ReturnType, Type};

/// The type of a handler's one argument.
pub(crate) fn argument<'function>(function: &'function ItemFn, expected: &str) -> Result<&'function Type> {
    let signature = &function.sig;
    check_is_plain(function)?;
    check_error_type(&signature.output)?;
    match signature.inputs.iter().collect::<Vec<_>>().as_slice() {
        [FnArg::Typed(argument)] => Ok(&argument.ty),
        _ => Err(Error::new(signature.span(), expected)),
    }
}

/// Refuses functions that cannot be called with an argument alone.
pub(crate) fn check_is_plain(function: &ItemFn) -> Result<()> {
    let signature = &function.sig;
    if let Some(asyncness) = signature.asyncness {
        let message = "a handler cannot be async; remove `async`: the host runs invocations concurrently";
        return Err(Error::new(asyncness.span(), message));
    }
    let generics = signature.generics.type_params().next();
    generics.map_or(Ok(()), |generic| Err(Error::new(generic.span(), "a handler cannot have type parameters")))
}

/// Refuses errors that cannot become a `Failure`. The compiler would only name a missing `From` implementation.
fn check_error_type(output: &ReturnType) -> Result<()> {
    let ReturnType::Type(_, output) = output else { return Ok(()) };
    let Type::Path(path) = &**output else { return Ok(()) };
    let Some(PathArguments::AngleBracketed(arguments)) = path.path.segments.last().map(|last| &last.arguments) else {
        return Ok(());
    };
    let Some(GenericArgument::Type(error)) = arguments.args.iter().nth(1) else { return Ok(()) };
    let is_unfit = match error {
        Type::Reference(reference) => matches!(&*reference.elem, Type::Path(path) if path.path.is_ident("str")),
        Type::Path(path) => path.path.segments.last().is_some_and(|last| last.ident == "String" || last.ident == "Box"),
        Type::Tuple(tuple) => tuple.elems.is_empty(),
        _ => false,
    };
    if is_unfit {
        return Err(Error::new(
            error.span(),
            "this error does not say whether the delivery is retried; return `Result<()>`, and make errors with \
             `Failure::retry(…)`, `Failure::reject(…)`, or `.or_retry()?` and `.or_reject()?` on a result",
        ));
    }
    Ok(())
}

/// The implementation of `Handler` for the function. `description` has the trait's describing functions, whose argument
/// is [`plugin_name`].
pub(crate) fn implementation(function: &ItemFn, argument: &Type, description: &TokenStream) -> TokenStream {
    let signature = &function.sig;
    // Hygienic: the user's own names may be the same.
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
        #[allow(non_camel_case_types, reason = "the type has the function's name")]
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

/// Empty implementations for a function whose attribute has a mistake, so that `plugin!` does not report it again.
pub(crate) fn stub(item: &TokenStream) -> TokenStream {
    let Ok(function) = syn::parse2::<ItemFn>(item.clone()) else { return TokenStream::new() };
    let (name, visibility) = (&function.sig.ident, &function.vis);
    quote! {
        #[doc(hidden)]
        #[allow(non_camel_case_types, reason = "the type has the function's name")]
        #[derive(Debug)]
        #visibility struct #name {}

        impl ::sandbus_sdk::plugin::Handler for #name {
            fn subscription(_: &str) -> ::sandbus_sdk::plugin::Subscription {
                ::std::unreachable!()
            }

            fn call(_: ::sandbus_sdk::bindings::sandbus::plugin::types::Delivery) -> ::sandbus_sdk::Result<()> {
                ::std::unreachable!()
            }
        }

        impl ::sandbus_sdk::plugin::Route for #name {
            const METHOD: &'static str = "";
            const PATH: &'static str = "";

            fn call(
                _: &::sandbus_sdk::http::Request,
            ) -> ::std::result::Result<::sandbus_sdk::http::Response, ::sandbus_sdk::http::Response> {
                ::std::unreachable!()
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
