//! `#[route]`.

mod path;

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned as _;
use syn::{Error, FnArg, Ident, ItemFn, LitStr, Result, ReturnType, Token};

use crate::attributes::comma;
use crate::handler;

const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

/// How long a path may be, in bytes.
const BYTES_LIMIT: usize = 1_024;

/// The arguments of the attribute.
pub(crate) struct Arguments {
    method: String,
    path: String,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let span = input.span();
        let usage = || Error::new(span, "a route is a method and a path: `#[route(POST, \"/orders/{id}\")]`");
        let method: Ident = input.parse().map_err(|_| usage())?;
        if !METHODS.contains(&method.to_string().as_str()) {
            let message = format!("unknown method; the methods are {}", METHODS.join(", "));
            return Err(Error::new(method.span(), message));
        }
        input.parse::<Token![,]>().map_err(|_| usage())?;
        let path: LitStr = input.parse().map_err(|_| usage())?;
        check_path(&path.value()).map_err(|fault| {
            Error::new(path.span(), format!("the path of route `{method} {}` is invalid: {fault}", path.value()))
        })?;
        comma(input)?;
        if !input.is_empty() {
            return Err(input.error("a route has a method and a path, and no options"));
        }
        Ok(Self { method: method.to_string(), path: path.value() })
    }
}

pub(crate) fn expand(arguments: &Arguments, function: &ItemFn) -> Result<TokenStream> {
    let signature = &function.sig;
    handler::check_is_plain(function)?;
    let mut types = Vec::new();
    for input in &signature.inputs {
        match input {
            FnArg::Typed(argument) => types.push(&*argument.ty),
            FnArg::Receiver(receiver) => {
                return Err(Error::new(receiver.span(), "a route's handler is a function without `self`"));
            }
        }
    }

    let Arguments { method, path } = arguments;
    // Hygienic: the user's own names may be the same.
    let request = Ident::new("request", Span::mixed_site());
    let function_name = &signature.ident;
    let visibility = &function.vis;
    let arguments: Vec<_> = types
        .iter()
        .map(|argument| {
            quote_spanned! { argument.span() =>
                match <#argument as ::sandbus_sdk::http::FromRequest>::from_request(#request) {
                    ::std::result::Result::Ok(argument) => argument,
                    ::std::result::Result::Err(problem) => {
                        return ::sandbus_sdk::http::IntoOutcome::into_outcome(
                            ::std::result::Result::<(), _>::Err(problem),
                        );
                    }
                }
            }
        })
        .collect();
    let output = match &signature.output {
        ReturnType::Default => signature.ident.span(),
        ReturnType::Type(_, output) => output.span(),
    };
    let call =
        quote_spanned! { output => ::sandbus_sdk::http::IntoOutcome::into_outcome(#function_name(#(#arguments),*)) };

    Ok(quote! {
        #[doc(hidden)]
        #[allow(non_camel_case_types, reason = "the type has the function's name")]
        #[derive(Debug)]
        #visibility struct #function_name {}

        impl ::sandbus_sdk::plugin::Route for #function_name {
            const METHOD: &'static str = #method;
            const PATH: &'static str = #path;

            #[allow(unused_variables, reason = "a route may take no argument")]
            fn call(
                #request: &::sandbus_sdk::http::Request,
            ) -> ::std::result::Result<::sandbus_sdk::http::Response, ::sandbus_sdk::http::Response> {
                #call
            }
        }
    })
}

/// Checks a route's path. An error is the fault, and what to write instead.
fn check_path(path: &str) -> std::result::Result<(), String> {
    if path.len() > BYTES_LIMIT {
        return Err(format!("it is longer than {BYTES_LIMIT} bytes"));
    }
    path::check(path)
}

#[cfg(test)]
mod tests {
    use super::path::PARAMETER_LIMIT;
    use super::*;

    /// The host and the other SDKs read the same table.
    #[test]
    fn paths_are_accepted_and_refused_as_in_the_table() {
        let table: serde_json::Value =
            serde_json::from_str(include_str!("../../conformance/route-paths.json")).unwrap();
        for path in table["accepted"].as_array().unwrap() {
            let path = path.as_str().unwrap();
            assert_eq!(check_path(path), Ok(()), "{path}");
        }
        for row in table["refused"].as_array().unwrap() {
            let (path, words) = (row[0].as_str().unwrap(), row[1].as_str().unwrap());
            let refused = check_path(path);
            assert!(refused.as_ref().is_err_and(|reason| reason.contains(words)), "{path}: {refused:?}");
        }
        assert_eq!(table["methods"], serde_json::json!(METHODS));
        assert_eq!((&table["max_bytes"], &table["max_parameters"]), (&BYTES_LIMIT.into(), &PARAMETER_LIMIT.into()));
        assert_eq!(check_path(&format!("/{}", "a".repeat(BYTES_LIMIT - 1))), Ok(()));
        assert!(check_path(&format!("/{}", "a".repeat(BYTES_LIMIT))).is_err());
        let many = |count: usize| (0..count).map(|number| format!("/{{p{number}}}")).collect::<String>();
        assert_eq!(check_path(&many(PARAMETER_LIMIT)), Ok(()));
        assert!(check_path(&many(PARAMETER_LIMIT + 1)).is_err());
    }
}
