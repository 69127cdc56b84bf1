//! The macros of `sandbus-sdk`. Each leaves what it is put on as it is, and adds one impl beside it, so
//! that the compiler's errors point to the user's own lines.

mod attributes;
mod event;
mod filter;
mod handler;
mod on_event;
mod on_schedule;
mod retry;
mod route;

use proc_macro::TokenStream;

/// Makes a type the payload of one event type.
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
/// It takes one argument: a type that derives `Event`, or `Event<T>` for the attributes too. It returns
/// nothing or a `Result<()>`. The subscription bears the function's name. All parts are optional:
///
/// ```
/// # use sandbus_sdk::prelude::*;
/// #[on_event(
///     "order.>",                       // which types; the argument's own by default
///     name = "orders",                 // the subscription's name
///     filter(prefix(source = "/shop"), not(suffix(subject = ".test"))), // which of them: all must match
///     start = "beginning",             // or "now", a time in RFC 3339, a position of the log
///     concurrency = 4,                 // deliveries in flight
///     ordering_key = "/customer/id",   // in order for each value of this attribute, or of this part of the data
///     on_dead_letter = "park",         // what shares the key of a dead letter waits; "release": goes on without it
///     max_backlog = 10_000,            // more than that waiting, and publishers are told to come back later
///     timeout = "5s",                  // for one invocation
///     retry(
///         attempts = 5, first_delay = "200ms", factor = 2.0, max_delay = "1m",
///         jitter = 0.5,                // the part of each delay that is left to chance
///         permanent = ["trap"],        // not tried again; also "timeout", "out-of-memory", "webhook", "retry",
///                                      // "exception", "request"
///     ),
/// )]
/// fn audit(order: Event<serde_json::Value>) -> Result<()> {
///     info!("{} {}", order.event_type, order.data);
///     Ok(())
/// }
/// ```
///
/// The filters are those of the CloudEvents Subscriptions API: `exact`, `prefix` and `suffix` compare
/// attributes (all that they name must match), and `all`, `any` and `not` combine filters.
#[proc_macro_attribute]
pub fn on_event(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let item: proc_macro2::TokenStream = item.into();
    let expanded =
        syn::parse(arguments).and_then(|arguments| on_event::expand(&arguments, &syn::parse2(item.clone())?));
    beside(&item, expanded)
}

/// Makes a function run at certain times, by a cron expression of five fields (minute, hour, day, month,
/// weekday) or of six with seconds in front.
///
/// It takes one argument, the [`Tick`](../sandbus_sdk/struct.Tick.html), and returns nothing or a `Result<()>`. It
/// stands among the `handlers` of `plugin!`. The schedule bears the function's name, and its events are of the type
/// `schedule.<plugin>.<name>`, which the plugin is made to publish and to subscribe to: a tick is handled as any
/// other event is, with retries and dead letters. All parts but the first are optional:
///
/// ```
/// # use sandbus_sdk::prelude::*;
/// #[on_schedule(
///     "0 9 * * 1-5",                   // at nine on working days
///     timezone = "Europe/Zurich",      // UTC by default
///     missed = "skip",                 // times that passed while it did not run; also "run-once" and "catch-up"
///     name = "daily",                  // the schedule's name
///     timeout = "30s",                 // for one invocation
///     retry(attempts = 3),             // as with `#[on_event]`
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
    beside(&item, expanded)
}

/// Makes a function the handler of an HTTP route.
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
    beside(&item, expanded)
}

/// Keeps the user's item whether or not the expansion succeeded: an error of the macro must not bring
/// "cannot find function" errors with it.
///
/// A handler takes its argument by value, needed or not; a lint that says otherwise would be no help.
fn beside(item: &proc_macro2::TokenStream, expanded: syn::Result<proc_macro2::TokenStream>) -> TokenStream {
    let mut tokens = quote::quote! {
        #[allow(clippy::needless_pass_by_value, reason = "a handler owns its argument")]
        #item
    };
    tokens.extend(expanded.unwrap_or_else(|error| error.into_compile_error()));
    tokens.into()
}

fn expand(expanded: syn::Result<proc_macro2::TokenStream>) -> TokenStream {
    expanded.unwrap_or_else(|error| error.into_compile_error()).into()
}
