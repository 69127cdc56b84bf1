//! `#[on_schedule]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt as _;
use syn::parse::{Parse, ParseStream};
use syn::{Error, Ident, ItemFn, LitStr, Result};

use crate::attributes::{self, GivenOptions, comma, duration, text, unknown_option};
use crate::handler;
use crate::retry::Retry;

const OPTIONS: [&str; 5] = ["name", "timezone", "missed", "timeout", "retry"];

/// The arguments of the attribute.
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
            return Err(input.error("the first argument is a cron expression, such as `\"0 9 * * 1-5\"`"));
        }
        let cron = attributes::cron(&input.parse()?)?;
        comma(input)?;
        let mut arguments = Self { cron, name: None, timezone: None, missed: None, timeout_ms: None, retry: None };
        let mut given = GivenOptions::default();
        while !input.is_empty() {
            arguments.parse_option(input, &mut given)?;
            comma(input)?;
        }
        Ok(arguments)
    }
}

impl Arguments {
    fn parse_option(&mut self, input: ParseStream<'_>, given: &mut GivenOptions) -> Result<()> {
        let option = input.call(Ident::parse_any)?;
        given.add(&option)?;
        match option.to_string().as_str() {
            "name" => self.name = Some(text(input, "name = \"daily\"")?),
            "timezone" => self.timezone = Some(timezone(&text(input, "timezone = \"Europe/Zurich\"")?)?),
            "missed" => self.missed = Some(missed(&text(input, "missed = \"skip\"")?)?),
            "timeout" => self.timeout_ms = Some(duration(input, "timeout")?),
            "retry" => self.retry = Some(Retry::parse(input)?),
            _ => return Err(unknown_option(&option, &OPTIONS, &[])),
        }
        Ok(())
    }
}

fn timezone(literal: &LitStr) -> Result<String> {
    let name = literal.value();
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err(Error::new(
            literal.span(),
            "a time zone has a name of the IANA database, such as `Europe/Zurich` or `UTC`",
        ));
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
            "missed times lead to one event together (`\"run-once\"`), to none (`\"skip\"`), or to one each \
             (`\"catch-up\"`)",
        )),
    }
}

pub(crate) fn expand(arguments: &Arguments, function: &ItemFn) -> Result<TokenStream> {
    let argument = handler::argument(function, "a schedule's handler takes one argument, the `Tick`")?;
    let plugin = handler::plugin_name();
    // The name is also a word of the event type.
    let name = attributes::name(arguments.name.as_ref(), &function.sig.ident, "schedule")?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_option_is_known_to_the_parser() {
        for option in OPTIONS {
            let text = format!("\"* * * * *\", {option} = x");
            let error = syn::parse_str::<Arguments>(&text).err().expect("`x` is not a value");
            assert!(!error.to_string().starts_with("unknown option"), "{option}: {error}");
        }
    }
}
