//! `#[on_schedule]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt as _;
use syn::parse::{Parse, ParseStream};
use syn::{Error, Ident, ItemFn, LitStr, Result};

use crate::attributes::{self, Keys, comma, milliseconds, value};
use crate::handler;
use crate::retry::Retry;

/// What stands in the attribute's parentheses.
pub(crate) struct Arguments {
    cron: String,
    name: Option<LitStr>,
    timezone: Option<String>,
    missed: Option<Missed>,
    timeout_ms: Option<u64>,
    retry: Option<Retry>,
}

enum Missed {
    RunOnce,
    Skip,
    CatchUp,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        if !input.peek(LitStr) {
            return Err(input.error("when? Write a cron expression first, such as `\"0 9 * * 1-5\"`"));
        }
        let cron = attributes::cron(&input.parse()?)?;
        comma(input)?;
        let mut arguments = Self { cron, name: None, timezone: None, missed: None, timeout_ms: None, retry: None };
        let mut seen = Keys::default();
        while !input.is_empty() {
            arguments.parse_key(input, &mut seen)?;
            comma(input)?;
        }
        Ok(arguments)
    }
}

impl Arguments {
    fn parse_key(&mut self, input: ParseStream<'_>, seen: &mut Keys) -> Result<()> {
        let key: Ident = input.parse()?;
        seen.once(&key)?;
        match key.to_string().as_str() {
            "name" => self.name = Some(value(input)?),
            "timezone" => self.timezone = Some(timezone(&value(input)?)?),
            "missed" => self.missed = Some(missed(&value(input)?)?),
            "timeout" => self.timeout_ms = Some(milliseconds(&value(input)?)?),
            "retry" => self.retry = Some(Retry::parse(input)?),
            _ => {
                return Err(Error::new(
                    key.span(),
                    format!("unknown key `{key}`; known are `name`, `timezone`, `missed`, `timeout` and `retry(…)`"),
                ));
            }
        }
        Ok(())
    }

    /// The schedule's name, which is a word of its event type.
    fn name(&self, function: &ItemFn) -> Result<String> {
        let (name, span) = match &self.name {
            Some(literal) => (literal.value(), literal.span()),
            None => (function.sig.ident.unraw().to_string(), function.sig.ident.span()),
        };
        if attributes::is_token(&name) {
            return Ok(name);
        }
        Err(Error::new(span, "a schedule's name is of letters, digits, `-` and `_`; give it one with `name = \"…\"`"))
    }
}

fn timezone(literal: &LitStr) -> Result<String> {
    let name = literal.value();
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err(Error::new(literal.span(), "a time zone is named as IANA does: `Europe/Zurich`, `UTC`"));
    }
    Ok(name)
}

fn missed(literal: &LitStr) -> Result<Missed> {
    match literal.value().as_str() {
        "run-once" => Ok(Missed::RunOnce),
        "skip" => Ok(Missed::Skip),
        "catch-up" => Ok(Missed::CatchUp),
        _ => Err(Error::new(
            literal.span(),
            "for times that were missed there is one event in all (`\"run-once\"`), none (`\"skip\"`) or one each \
             (`\"catch-up\"`)",
        )),
    }
}

pub(crate) fn expand(arguments: &Arguments, function: &ItemFn) -> Result<TokenStream> {
    let argument = handler::argument(function, "a schedule's handler takes one argument, the `Tick`")?;
    let plugin = handler::plugin_name();
    let name = arguments.name(function)?;
    let cron = &arguments.cron;
    let timezone = handler::string(arguments.timezone.as_deref());
    let missed = handler::option(arguments.missed.as_ref().map(|missed| match missed {
        Missed::RunOnce => quote!(::sandbus_sdk::plugin::Missed::RunOnce),
        Missed::Skip => quote!(::sandbus_sdk::plugin::Missed::Skip),
        Missed::CatchUp => quote!(::sandbus_sdk::plugin::Missed::CatchUp),
    }));
    let timeout = handler::option(arguments.timeout_ms);
    let retry = handler::option(arguments.retry.as_ref().map(Retry::policy));

    let description = quote! {
        fn subscription(#plugin: &str) -> ::sandbus_sdk::plugin::Subscription {
            ::sandbus_sdk::plugin::Subscription {
                name: ::std::string::String::from(#name),
                pattern: ::sandbus_sdk::plugin::schedule_type(#plugin, #name),
                concurrency: ::std::option::Option::Some(1),
                filters: ::std::option::Option::None,
                start: ::std::option::Option::None,
                ordering_key: ::std::option::Option::None,
                dead_letter_policy: ::std::option::Option::None,
                max_backlog: ::std::option::Option::None,
                retry: #retry,
                timeout_ms: #timeout,
            }
        }

        fn schedule(#plugin: &str) -> ::std::option::Option<::sandbus_sdk::plugin::Schedule> {
            ::std::option::Option::Some(::sandbus_sdk::plugin::Schedule {
                name: ::std::string::String::from(#name),
                cron: ::std::string::String::from(#cron),
                timezone: #timezone,
                missed: #missed,
                type_: ::sandbus_sdk::plugin::schedule_type(#plugin, #name),
                datacontenttype: ::std::option::Option::None,
                data: ::std::option::Option::None,
            })
        }
    };
    Ok(handler::implementation(function, argument, &description))
}
