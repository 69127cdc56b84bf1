//! The macros of `sandbus-sdk`. Each attribute leaves its item unchanged and adds an implementation, so that the
//! compiler's errors point to the user's own lines.

mod attributes;
mod event;
mod filter;
mod handler;
mod on_event;
mod on_schedule;
mod retry;
mod route;

use proc_macro::TokenStream;

/// Makes a type the data of one event type.
///
/// ```
/// # use sandbus_sdk::prelude::*;
/// #[derive(Event, Serialize, Deserialize)]
/// #[event(type = "user.registered")]
/// struct UserRegistered {
///     name: String,
/// }
/// ```
#[proc_macro_derive(Event, attributes(event))]
pub fn derive_event(input: TokenStream) -> TokenStream {
    expand(syn::parse(input).and_then(|input| event::expand(&input)))
}

/// Makes a function an event handler.
///
/// The function has one argument: a type that derives `Event`, or `Event<T>` if it also needs the attributes. It
/// returns `()` or `Result<()>`. The subscription has the function's name. All arguments of the attribute are optional:
///
/// ```
/// # use sandbus_sdk::prelude::*;
/// #[on_event(
///     "order.>",                       // the pattern; by default the event type of the argument
///     name = "orders",                 // the subscription's name
///     filters(prefix(source = "/shop"), not(suffix(subject = ".test"))), // all must match
///     start = "beginning",             // or "now", a time in RFC 3339, or a position of the log
///     concurrency = 4,                 // the highest number of concurrent deliveries
///     ordering_key = "/customer/id",   // attribute or JSON pointer; events with the same value are delivered in order
///     dead_letter_policy = "park",     // deliveries with the same key wait for a dead letter; or "release"
///     max_backlog = 10_000,            // with more deliveries waiting, publishers are refused
///     timeout = "5s",                  // for one invocation
///     retry(
///         max_attempts = 5, initial_delay = "200ms", backoff_multiplier = 2.0, max_delay = "1m",
///         jitter = 0.5,                // the random part of each delay
///         non_retryable = ["trap"],    // also "timeout", "out-of-memory", "webhook", "retry", "exception", "request"
///     ),
/// )]
/// fn audit(order: Event<serde_json::Value>) -> Result<()> {
///     info!("{} {}", order.event_type, order.data);
///     Ok(())
/// }
/// ```
///
/// The filters are those of the CloudEvents Subscriptions API: `exact`, `prefix` and `suffix` compare attributes, all
/// of which must match; `all`, `any` and `not` combine filters.
#[proc_macro_attribute]
pub fn on_event(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let item: proc_macro2::TokenStream = item.into();
    let expanded =
        syn::parse(arguments).and_then(|arguments| on_event::expand(&arguments, &syn::parse2(item.clone())?));
    append(&item, expanded)
}

/// Runs a function at the times of a cron expression with five fields (minute, hour, day, month, weekday), or with six
/// if the first one is seconds.
///
/// The function has one argument, the [`Tick`](../sandbus_sdk/struct.Tick.html), and returns `()` or `Result<()>`. List
/// it among the `handlers` of `plugin!`. The schedule has the function's name. Its events have the type
/// `schedule.<plugin>.<name>`; they are delivered as other events are, with retries and dead letters. A time is missed
/// if the plugin did not run at that time, or if the host is more than a minute late. All arguments but the first are
/// optional:
///
/// ```
/// # use sandbus_sdk::prelude::*;
/// #[on_schedule(
///     "0 9 * * 1-5",                   // at nine o'clock on working days
///     timezone = "Europe/Zurich",      // UTC by default
///     missed = "skip",                 // missed times; also "run-once" and "catch-up"
///     name = "daily",                  // the schedule's name
///     timeout = "30s",                 // for one invocation
///     retry(max_attempts = 3),         // as in `#[on_event]`
/// )]
/// fn daily(tick: Tick) -> Result<()> {
///     info!("the report of {:?}", tick.due);
///     Ok(())
/// }
///
/// plugin! { name: "reports", handlers: [daily] }
/// # fn main() {}
/// ```
#[proc_macro_attribute]
pub fn on_schedule(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let item: proc_macro2::TokenStream = item.into();
    let expanded =
        syn::parse(arguments).and_then(|arguments| on_schedule::expand(&arguments, &syn::parse2(item.clone())?));
    append(&item, expanded)
}

/// Makes a function the handler of an HTTP route. A segment of the path in braces is a parameter, and `{*rest}` as the
/// last one takes the rest of the path.
///
/// ```
/// # use sandbus_sdk::prelude::*;
/// # #[derive(Deserialize)] struct NewUser { name: String }
/// #[route(POST, "/greetings/{language}")]
/// fn greet(request: Request, Json(user): Json<NewUser>) -> Result<Json<String>, Problem> {
///     Ok(Json(format!("{} {}", request.param("language")?, user.name)))
/// }
/// ```
#[proc_macro_attribute]
pub fn route(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let item: proc_macro2::TokenStream = item.into();
    let expanded = syn::parse(arguments).and_then(|arguments| route::expand(&arguments, &syn::parse2(item.clone())?));
    append(&item, expanded)
}

/// Appends the expansion to the user's item. The item is kept if the expansion fails, so that the macro's error does
/// not lead to "cannot find function" errors.
///
/// A handler owns its argument in any case, and so the lint against needless values is switched off.
fn append(item: &proc_macro2::TokenStream, expanded: syn::Result<proc_macro2::TokenStream>) -> TokenStream {
    let mut tokens = quote::quote! {
        #[allow(clippy::needless_pass_by_value, reason = "a handler owns its argument")]
        #item
    };
    tokens.extend(expanded.unwrap_or_else(|error| {
        let error = error.into_compile_error();
        let stub = handler::stub(item);
        quote::quote!(#error #stub)
    }));
    tokens.into()
}

fn expand(expanded: syn::Result<proc_macro2::TokenStream>) -> TokenStream {
    expanded.unwrap_or_else(|error| error.into_compile_error()).into()
}
