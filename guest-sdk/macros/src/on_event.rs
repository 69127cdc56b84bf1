//! `#[on_event]`.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned as _;
use syn::{Error, FnArg, Ident, ItemFn, LitFloat, LitInt, LitStr, Result, ReturnType, Token};

use crate::attributes;

/// What stands in the attribute's parentheses.
#[derive(Default)]
pub(crate) struct Arguments {
    pattern: Option<String>,
    name: Option<String>,
    concurrency: Option<u32>,
    ordering_key: Option<String>,
    timeout_ms: Option<u64>,
    retry: Option<Retry>,
}

#[derive(Default)]
struct Retry {
    attempts: Option<u32>,
    first_delay_ms: Option<u64>,
    factor_percent: Option<u32>,
    max_delay_ms: Option<u64>,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut arguments = Self::default();
        while !input.is_empty() {
            if input.peek(LitStr) {
                arguments.pattern = Some(attributes::pattern(&input.parse()?)?);
            } else {
                arguments.parse_key(input)?;
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(arguments)
    }
}

impl Arguments {
    fn parse_key(&mut self, input: ParseStream<'_>) -> Result<()> {
        let key: Ident = input.parse()?;
        match key.to_string().as_str() {
            "name" => self.name = Some(value::<LitStr>(input)?.value()),
            "concurrency" => self.concurrency = Some(positive(&value(input)?)?),
            "ordering_key" => self.ordering_key = Some(value::<LitStr>(input)?.value()),
            "timeout" => self.timeout_ms = Some(attributes::milliseconds(&value(input)?)?),
            "retry" => self.retry = Some(Retry::parse(input)?),
            _ => {
                return Err(Error::new(
                    key.span(),
                    format!(
                        "unknown key `{key}`; known are a pattern, `name`, `concurrency`, `ordering_key`, `timeout` and `retry(…)`"
                    ),
                ));
            }
        }
        Ok(())
    }
}

impl Retry {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let content;
        syn::parenthesized!(content in input);
        let mut retry = Self::default();
        while !content.is_empty() {
            let key: Ident = content.parse()?;
            match key.to_string().as_str() {
                "attempts" => retry.attempts = Some(positive(&value(&content)?)?),
                "first_delay" => retry.first_delay_ms = Some(attributes::milliseconds(&value(&content)?)?),
                "factor" => retry.factor_percent = Some(percent(&content)?),
                "max_delay" => retry.max_delay_ms = Some(attributes::milliseconds(&value(&content)?)?),
                _ => {
                    return Err(Error::new(
                        key.span(),
                        format!("unknown key `{key}`; known are `attempts`, `first_delay`, `factor` and `max_delay`"),
                    ));
                }
            }
            if !content.is_empty() {
                content.parse::<Token![,]>()?;
            }
        }
        Ok(retry)
    }
}

fn value<T: Parse>(input: ParseStream<'_>) -> Result<T> {
    input.parse::<Token![=]>()?;
    input.parse()
}

fn positive(literal: &LitInt) -> Result<u32> {
    match literal.base10_parse()? {
        0 => Err(Error::new(literal.span(), "at least 1")),
        number => Ok(number),
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked first")]
fn percent(input: ParseStream<'_>) -> Result<u32> {
    input.parse::<Token![=]>()?;
    let (factor, span) = if input.peek(LitInt) {
        let literal: LitInt = input.parse()?;
        (literal.base10_parse::<f64>()?, literal.span())
    } else {
        let literal: LitFloat = input.parse()?;
        (literal.base10_parse::<f64>()?, literal.span())
    };
    if (1.0..=100.0).contains(&factor) {
        return Ok((factor * 100.0).round() as u32);
    }
    Err(Error::new(span, "the factor is from 1 to 100"))
}

pub(crate) fn expand(arguments: &Arguments, function: &ItemFn) -> Result<TokenStream> {
    let signature = &function.sig;
    if let Some(asyncness) = signature.asyncness {
        return Err(Error::new(asyncness.span(), "a handler is not async: the host runs many at a time"));
    }
    let argument = match signature.inputs.iter().collect::<Vec<_>>().as_slice() {
        [FnArg::Typed(argument)] => &*argument.ty,
        _ => return Err(Error::new(signature.span(), "an event handler takes one argument, the event")),
    };

    // Out of sight of the user's own names, which may be the same.
    let value = Ident::new("argument", Span::mixed_site());
    let delivery = Ident::new("delivery", Span::mixed_site());
    let function_name = &signature.ident;
    let visibility = &function.vis;
    let name = arguments.name.clone().unwrap_or_else(|| function_name.to_string());
    let pattern = match &arguments.pattern {
        Some(pattern) => quote!(#pattern),
        None => quote_spanned! { argument.span() =>
            {
                // An item of its own, so that a mere check evaluates it too.
                const PATTERN: &str = match <#argument as ::sandbus_sdk::EventArgument>::TYPE {
                    ::std::option::Option::Some(name) => name,
                    ::std::option::Option::None => ::std::panic!(
                        "this argument belongs to no single event type; name a pattern: #[on_event(\"some.type\")]"
                    ),
                };
                PATTERN
            }
        },
    };
    let concurrency = option(arguments.concurrency);
    let ordering_key = match &arguments.ordering_key {
        Some(key) => quote!(::std::option::Option::Some(::std::string::String::from(#key))),
        None => quote!(::std::option::Option::None),
    };
    let timeout = option(arguments.timeout_ms);
    let retry = arguments.retry.as_ref().map_or_else(|| quote!(::std::option::Option::None), retry_policy);
    let decode = quote_spanned! { argument.span() => <#argument as ::sandbus_sdk::EventArgument>::from_delivery };
    let output = match &signature.output {
        ReturnType::Default => signature.ident.span(),
        ReturnType::Type(_, output) => output.span(),
    };
    let call = quote_spanned! { output => ::sandbus_sdk::plugin::HandlerResult::into_result(#function_name(#value)) };

    Ok(quote! {
        #[doc(hidden)]
        #[allow(non_camel_case_types, reason = "it bears the function's name")]
        #[derive(Debug)]
        #visibility struct #function_name {}

        impl ::sandbus_sdk::plugin::Handler for #function_name {
            fn subscription() -> ::sandbus_sdk::plugin::Subscription {
                ::sandbus_sdk::plugin::Subscription {
                    name: ::std::string::String::from(#name),
                    pattern: ::std::string::String::from(#pattern),
                    concurrency: #concurrency,
                    ordering_key: #ordering_key,
                    retry: #retry,
                    timeout_ms: #timeout,
                }
            }

            fn call(
                #delivery: ::sandbus_sdk::bindings::sandbus::plugin::types::Delivery,
            ) -> ::sandbus_sdk::Result<()> {
                let #value = #decode(#delivery)?;
                #call
            }
        }
    })
}

fn retry_policy(retry: &Retry) -> TokenStream {
    let attempts = option(retry.attempts);
    let first_delay = option(retry.first_delay_ms);
    let factor = option(retry.factor_percent);
    let max_delay = option(retry.max_delay_ms);
    quote! {
        ::std::option::Option::Some(::sandbus_sdk::plugin::RetryPolicy {
            attempts: #attempts,
            first_delay_ms: #first_delay,
            factor_percent: #factor,
            max_delay_ms: #max_delay,
        })
    }
}

fn option<T: quote::ToTokens>(value: Option<T>) -> TokenStream {
    match value {
        Some(value) => quote!(::std::option::Option::Some(#value)),
        None => quote!(::std::option::Option::None),
    }
}
