//! `#[on_event]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned as _;
use syn::{Error, Ident, ItemFn, LitInt, LitStr, Result, Token};

use crate::attributes::{self, Keys, comma, milliseconds, positive, value};
use crate::retry::Retry;
use crate::{filter, handler};

const START: &str = "a subscription starts at `\"now\"`, at the `\"beginning\"`, at a time in RFC 3339 such as \
                     `\"2026-03-01T09:00:00Z\"`, or at a position of the log, a number";

/// What stands in the attribute's parentheses.
#[derive(Default)]
pub(crate) struct Arguments {
    pattern: Option<String>,
    name: Option<String>,
    concurrency: Option<u32>,
    filters: Option<String>,
    start: Option<Start>,
    ordering_key: Option<String>,
    park: Option<bool>,
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
        let mut seen = Keys::default();
        while !input.is_empty() {
            if input.peek(LitStr) {
                let pattern: LitStr = input.parse()?;
                if arguments.pattern.is_some() {
                    let several = "a handler has one pattern; use `*` or `>` in it, or write another handler";
                    return Err(Error::new(pattern.span(), several));
                }
                arguments.pattern = Some(attributes::pattern(&pattern)?);
            } else {
                arguments.parse_key(input, &mut seen)?;
            }
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
            "name" => self.name = Some(value::<LitStr>(input)?.value()),
            "concurrency" => self.concurrency = Some(positive(&value(input)?)?),
            "filter" => self.filters = Some(filter::parse(input)?),
            "start" => self.start = Some(Start::parse(input)?),
            "ordering_key" => self.ordering_key = Some(attributes::ordering_key(&value(input)?)?),
            "on_dead_letter" => self.park = Some(parks(&value(input)?)?),
            "max_backlog" => self.max_backlog = Some(positive(&value(input)?)?),
            "timeout" => self.timeout_ms = Some(milliseconds(&value(input)?)?),
            "retry" => self.retry = Some(Retry::parse(input)?),
            _ => {
                return Err(Error::new(
                    key.span(),
                    format!(
                        "unknown key `{key}`; known are a pattern, `name`, `concurrency`, `filter(…)`, `start`, \
                         `ordering_key`, `on_dead_letter`, `max_backlog`, `timeout` and `retry(…)`"
                    ),
                ));
            }
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

/// Whether a dead letter holds back what shares its ordering key.
fn parks(literal: &LitStr) -> Result<bool> {
    match literal.value().as_str() {
        "park" => Ok(true),
        "release" => Ok(false),
        _ => Err(Error::new(
            literal.span(),
            "deliveries behind a dead letter wait (`\"park\"`) or go on without it (`\"release\"`)",
        )),
    }
}

pub(crate) fn expand(arguments: &Arguments, function: &ItemFn) -> Result<TokenStream> {
    let argument = handler::argument(function, "an event handler takes one argument, the event")?;
    let name = arguments.name.clone().unwrap_or_else(|| function.sig.ident.to_string());
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
    let concurrency = handler::option(arguments.concurrency);
    let filters = handler::string(arguments.filters.as_deref());
    let start = handler::option(arguments.start.as_ref().map(Start::tokens));
    let ordering_key = handler::string(arguments.ordering_key.as_deref());
    let dead_letter_policy = handler::option(arguments.park.map(|parks| match parks {
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
