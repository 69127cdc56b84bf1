//! The macros of `sandbus-sdk`. Each leaves what it is put on as it is, and adds one impl beside it, so
//! that the compiler's errors point to the user's own lines.

mod attributes;
mod event;
mod on_event;
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
///     "order.>",                    // which types; the argument's own by default
///     name = "orders",              // the subscription's name
///     concurrency = 4,              // deliveries in flight
///     ordering_key = "subject",     // in order for each value of this attribute
///     timeout = "5s",               // for one invocation
///     retry(attempts = 5, first_delay = "200ms", factor = 2.0, max_delay = "1m"),
/// )]
/// fn audit(order: Event<serde_json::Value>) -> Result<()> {
///     info!("{} {}", order.event_type, order.data);
///     Ok(())
/// }
/// ```
#[proc_macro_attribute]
pub fn on_event(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let item: proc_macro2::TokenStream = item.into();
    let expanded =
        syn::parse(arguments).and_then(|arguments| on_event::expand(&arguments, &syn::parse2(item.clone())?));
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
