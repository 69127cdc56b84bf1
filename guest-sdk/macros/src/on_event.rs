//! `#[on_event]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::ext::IdentExt as _;
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned as _;
use syn::{Error, Ident, ItemFn, LitInt, LitStr, Result, Token};

use crate::attributes::{self, GivenOptions, comma, duration, positive, text, unknown_option};
use crate::retry::Retry;
use crate::{filter, handler};

const START: &str = "a subscription starts at `\"now\"`, at the `\"beginning\"`, at a time in RFC 3339 such as \
                     `\"2026-03-01T09:00:00Z\"`, or at a position of the log, a number";

const OPTIONS: [&str; 9] = [
    "name",
    "concurrency",
    "filters",
    "start",
    "ordering_key",
    "dead_letter_policy",
    "max_backlog",
    "timeout",
    "retry",
];

const RENAMED: [(&str, &str); 2] = [("filter", "filters"), ("on_dead_letter", "dead_letter_policy")];

/// The arguments of the attribute.
#[derive(Default)]
pub(crate) struct Arguments {
    pattern: Option<String>,
    name: Option<LitStr>,
    concurrency: Option<u32>,
    filters: Option<String>,
    start: Option<Start>,
    ordering_key: Option<String>,
    parks: Option<bool>,
    max_backlog: Option<u64>,
    timeout_ms: Option<u64>,
    retry: Option<Retry>,
}

enum Start {
    Now,
    Beginning,
    Time(String),
    Position(u64),
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut arguments = Self::default();
        let mut given = GivenOptions::default();
        while !input.is_empty() {
            if input.peek(LitStr) {
                let pattern: LitStr = input.parse()?;
                if arguments.pattern.is_some() {
                    let several = "a handler has one pattern; use `*` or `>` in it, or write another handler";
                    return Err(Error::new(pattern.span(), several));
                }
                arguments.pattern = Some(attributes::pattern(&pattern)?);
            } else {
                arguments.parse_option(input, &mut given)?;
            }
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
            "name" => self.name = Some(text(input, "name = \"orders\"")?),
            "concurrency" => self.concurrency = Some(positive(input, "concurrency = 4")?),
            "filters" => self.filters = Some(filter::parse(input)?),
            "start" => self.start = Some(Start::parse(input)?),
            "ordering_key" => {
                self.ordering_key = Some(attributes::ordering_key(&text(input, "ordering_key = \"subject\"")?)?);
            }
            "dead_letter_policy" => self.parks = Some(parks(&text(input, "dead_letter_policy = \"park\"")?)?),
            "max_backlog" => self.max_backlog = Some(positive(input, "max_backlog = 10_000")?),
            "timeout" => self.timeout_ms = Some(duration(input, "timeout")?),
            "retry" => self.retry = Some(Retry::parse(input)?),
            "type" | "pattern" => {
                let message = "the pattern stands first and without a name: `#[on_event(\"user.registered\")]`";
                return Err(Error::new(option.span(), message));
            }
            "deliveries_per_instance" | "calls_per_instance" => {
                let message = format!("only the operator sets `{option}`, in the plugin's sidecar");
                return Err(Error::new(option.span(), message));
            }
            _ => return Err(unknown_option(&option, &OPTIONS, &RENAMED)),
        }
        Ok(())
    }
}

impl Start {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        input.parse::<Token![=]>()?;
        if input.peek(LitInt) {
            return Ok(Self::Position(input.parse::<LitInt>()?.base10_parse()?));
        }
        if !input.peek(LitStr) {
            return Err(input.error(START));
        }
        let literal: LitStr = input.parse()?;
        match literal.value().as_str() {
            "now" => Ok(Self::Now),
            "beginning" => Ok(Self::Beginning),
            time if attributes::is_time(time) => Ok(Self::Time(time.to_owned())),
            _ => Err(Error::new(literal.span(), START)),
        }
    }

    fn tokens(&self) -> TokenStream {
        match self {
            Self::Now => quote!(::sandbus_sdk::plugin::Start::Now),
            Self::Beginning => quote!(::sandbus_sdk::plugin::Start::Beginning),
            Self::Time(time) => quote!(::sandbus_sdk::plugin::Start::Time(::std::string::String::from(#time))),
            Self::Position(position) => quote!(::sandbus_sdk::plugin::Start::Position(#position)),
        }
    }
}

/// Whether a dead letter parks the deliveries that share its ordering key.
fn parks(literal: &LitStr) -> Result<bool> {
    match literal.value().as_str() {
        "park" => Ok(true),
        "release" => Ok(false),
        _ => Err(Error::new(
            literal.span(),
            "the deliveries that share the key of a dead letter wait for it (`\"park\"`) or not (`\"release\"`)",
        )),
    }
}

pub(crate) fn expand(arguments: &Arguments, function: &ItemFn) -> Result<TokenStream> {
    let argument = handler::argument(function, "an event handler takes one argument, the event")?;
    let name = attributes::name(arguments.name.as_ref(), &function.sig.ident, "subscription")?;
    let pattern = match &arguments.pattern {
        Some(pattern) => quote!(#pattern),
        None => quote_spanned! { argument.span() =>
            {
                // A separate constant, so that `cargo check` evaluates it, too.
                const PATTERN: &str = match <#argument as ::sandbus_sdk::EventArgument>::TYPE {
                    ::std::option::Option::Some(name) => name,
                    ::std::option::Option::None => ::std::panic!(
                        "the argument's type does not belong to one event type; give a pattern: #[on_event(\"some.type\")]"
                    ),
                };
                PATTERN
            }
        },
    };
    let concurrency = handler::option(arguments.concurrency);
    let filters = handler::string(arguments.filters.as_deref());
    let start = handler::option(arguments.start.as_ref().map(Start::tokens));
    let ordering_key = handler::string(arguments.ordering_key.as_deref());
    let dead_letter_policy = handler::option(arguments.parks.map(|parks| match parks {
        true => quote!(::sandbus_sdk::plugin::DeadLetterPolicy::Park),
        false => quote!(::sandbus_sdk::plugin::DeadLetterPolicy::Release),
    }));
    let max_backlog = handler::option(arguments.max_backlog);
    let timeout = handler::option(arguments.timeout_ms);
    let retry = handler::option(arguments.retry.as_ref().map(Retry::policy));

    let description = quote! {
        fn subscription(_: &str) -> ::sandbus_sdk::plugin::Subscription {
            ::sandbus_sdk::plugin::Subscription {
                name: ::std::string::String::from(#name),
                pattern: ::std::string::String::from(#pattern),
                concurrency: #concurrency,
                filters: #filters,
                start: #start,
                ordering_key: #ordering_key,
                dead_letter_policy: #dead_letter_policy,
                max_backlog: #max_backlog,
                retry: #retry,
                timeout_ms: #timeout,
            }
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
            let error = syn::parse_str::<Arguments>(&format!("{option} = x")).err().expect("`x` is not a value");
            assert!(!error.to_string().starts_with("unknown option"), "{option}: {error}");
        }
    }

    #[test]
    fn former_names_are_refused_with_the_present_ones() {
        for (former, name) in RENAMED {
            let error = syn::parse_str::<Arguments>(&format!("{former} = 1")).err().expect("the name is not in use");
            assert_eq!(error.to_string(), format!("`{former}` is now called `{name}`"));
            assert!(OPTIONS.contains(&name));
        }
    }
}
