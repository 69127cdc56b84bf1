//! The code that the macros expand to: the plugin's descriptor, and the dispatch of the host's calls to handlers.

use crate::bindings::exports::sandbus::plugin::descriptor as wire;
use crate::bindings::exports::sandbus::plugin::http_handler;
use crate::bindings::sandbus::plugin::types::{Delivery, Failure as WireFailure};
use crate::http::{IntoOutcome, Problem, Request};
use crate::{EventType, Failure, Result, logger, pattern};

pub use wire::{DeadLetterPolicy, Descriptor, Missed, RetryPolicy, Schedule, Start, Subscription};

/// An event handler, as `#[on_event]` or `#[on_schedule]` describes it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event handler",
    label = "there is no function of this name with `#[on_event]` or `#[on_schedule]`",
    note = "mark the function with `#[on_event]` or `#[on_schedule(\"cron expression\")]`"
)]
pub trait Handler {
    /// The handler's entry in the table of `plugin!`.
    const ENTRY: HandlerEntry =
        HandlerEntry { subscription: Self::subscription, schedule: Self::schedule, call: Self::call };

    /// The handler's subscription in a plugin of this name.
    fn subscription(plugin: &str) -> Subscription;

    /// The handler's schedule in a plugin of this name, if it has one.
    fn schedule(plugin: &str) -> Option<Schedule> {
        let _ = plugin;
        None
    }

    /// Handles a delivery.
    ///
    /// # Errors
    /// The handler's failure, or a rejection of data that does not fit.
    fn call(delivery: Delivery) -> Result<()>;
}

/// A route's handler, as `#[route]` describes it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a route's handler",
    label = "there is no function of this name with `#[route]`",
    note = "mark the function with `#[route(METHOD, \"/path\")]`"
)]
pub trait Route {
    /// The route's entry in the table of `plugin!`.
    const ENTRY: RouteEntry = RouteEntry { method: Self::METHOD, path: Self::PATH, call: Self::call };
    /// The route's method.
    const METHOD: &'static str;
    /// The route's path.
    const PATH: &'static str;

    /// Handles a request.
    ///
    /// # Errors
    /// The response. The effects are discarded.
    fn call(request: &Request) -> Result<crate::http::Response, crate::http::Response>;
}

/// The return type of an event handler.
#[diagnostic::on_unimplemented(
    message = "an event handler cannot return `{Self}`",
    note = "return `()` or `sandbus_sdk::Result<()>`"
)]
pub trait HandlerResult {
    /// Converts the value into the outcome.
    fn into_result(self) -> Result<()>;
}

impl HandlerResult for () {
    fn into_result(self) -> Result<()> {
        Ok(())
    }
}

impl<E: Into<Failure>> HandlerResult for Result<(), E> {
    fn into_result(self) -> Result<()> {
        self.map_err(Into::into)
    }
}

/// The name of an event type.
#[must_use]
pub fn type_name<E: EventType>() -> String {
    E::TYPE.to_owned()
}

/// A handler of a plugin.
#[derive(Clone, Copy, Debug)]
pub struct HandlerEntry {
    /// The handler's subscription.
    pub subscription: fn(&str) -> Subscription,
    /// The handler's schedule.
    pub schedule: fn(&str) -> Option<Schedule>,
    /// The function.
    pub call: fn(Delivery) -> Result<()>,
}

/// A route of a plugin.
#[derive(Clone, Copy, Debug)]
pub struct RouteEntry {
    /// The route's method.
    pub method: &'static str,
    /// The route's path.
    pub path: &'static str,
    /// The function.
    pub call: fn(&Request) -> Result<crate::http::Response, crate::http::Response>,
}

/// Checks a plugin's name when the plugin is compiled, by the rules of the contract's `descriptor.name`.
///
/// # Panics
/// If the name is invalid, which stops the compiler.
pub const fn check_name(name: &str) {
    const RULE: &str = "a plugin's name has lower-case letters, digits and `-`, begins and ends with a letter or a \
                        digit, and has at most 64 characters; set one: plugin! { name: \"my-plugin\", … }";
    let bytes = name.as_bytes();
    assert!(!bytes.is_empty() && bytes.len() <= 64, "{}", RULE);
    let mut index = 0;
    while index < bytes.len() {
        let is_plain = bytes[index].is_ascii_lowercase() || bytes[index].is_ascii_digit();
        let is_inside = index > 0 && index + 1 < bytes.len();
        assert!(is_plain || (bytes[index] == b'-' && is_inside), "{}", RULE);
        index += 1;
    }
}

/// The type of a schedule's events. It contains the plugin's name, so that plugins do not receive each other's ticks.
#[must_use]
pub fn schedule_type(plugin: &str, schedule: &str) -> String {
    format!("schedule.{plugin}.{schedule}")
}

/// The schedules of a plugin's handlers.
#[must_use]
pub fn schedules(plugin: &str, handlers: &[HandlerEntry]) -> Vec<Schedule> {
    handlers.iter().filter_map(|handler| (handler.schedule)(plugin)).collect()
}

/// The event types that a plugin publishes: those that it declares, and those of its schedules.
#[must_use]
pub fn publishes(plugin: &str, handlers: &[HandlerEntry], mut declared: Vec<String>) -> Vec<String> {
    declared.extend(schedules(plugin, handlers).into_iter().map(|schedule| schedule.type_));
    declared
}

/// Calls the handler of a delivery: the first of these that exists.
///
/// 1. The handler with the subscription's name, if its pattern matches the event type.
/// 2. The first handler whose pattern matches. A subscription made at run time may have any name.
/// 3. The handler with the subscription's name. Its pattern may have changed after the subscription was made.
///
/// # Errors
/// The handler's failure, or a rejection if there is no handler.
pub fn deliver(plugin: &str, handlers: &[HandlerEntry], delivery: Delivery) -> Result<(), WireFailure> {
    start();
    let find =
        |takes: &dyn Fn(Subscription) -> bool| handlers.iter().find(|handler| takes((handler.subscription)(plugin)));
    let is_named = |declared: &Subscription| declared.name == delivery.subscription;
    let takes = |declared: &Subscription| pattern::matches(&declared.pattern, &delivery.event.type_);
    let handler = find(&|declared| is_named(&declared) && takes(&declared))
        .or_else(|| find(&|declared| takes(&declared)))
        .or_else(|| find(&|declared| is_named(&declared)));
    let Some(handler) = handler else {
        return Err(WireFailure::Reject(format!("no handler takes events of type `{}`", delivery.event.type_)));
    };
    (handler.call)(delivery).map_err(WireFailure::from)
}

/// Calls the handler of a request's route.
///
/// # Errors
/// The response, if the effects are to be discarded.
pub fn respond(
    routes: &[RouteEntry],
    request: http_handler::Request,
) -> Result<http_handler::Response, http_handler::Response> {
    start();
    let route = routes.iter().find(|route| route.method == request.method && route.path == request.route);
    let Some(route) = route else {
        let problem = Problem::not_found("this plugin has no such route");
        return Err(Err::<(), _>(problem).into_outcome().unwrap_or_else(|response| response).into());
    };
    (route.call)(&Request::from(request)).map(Into::into).map_err(Into::into)
}

fn start() {
    logger::install();
    #[cfg(target_family = "wasm")]
    logger::report_panics();
}

/// Makes the crate a plugin. All sections are optional, and stand in this order:
///
/// - `name`: the plugin's name; the crate's name by default.
/// - `handlers`: functions with `#[on_event]` or `#[on_schedule]`.
/// - `routes`: functions with `#[route]`.
/// - `publishes`: the event types that the plugin publishes: types that derive `Event`, or patterns in quotes.
/// - `subscribes`: the event types for which it makes subscriptions at run time, in the same form.
/// - `config`: the keys of its configuration, with or without a default.
///
/// ```
/// # use sandbus_sdk::prelude::*;
/// # #[derive(Event, Serialize, Deserialize)]
/// # #[event(type = "order.placed")]
/// # struct OrderPlaced { article: String }
/// # #[on_event] fn ship(_: OrderPlaced) {}
/// # #[route(GET, "/stock")] fn stock() -> Json<u32> { Json(0) }
/// plugin! {
///     name: "shop",
///     handlers: [ship],
///     routes: [stock],
///     publishes: ["parcel.>"],
///     subscribes: [OrderPlaced],
///     config: ["currency" = "CHF", "api-key"],
/// }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! plugin {
    (
        $(name: $name:literal $(,)?)?
        $(handlers: [$($($handler:ident)::+),* $(,)?] $(,)?)?
        $(routes: [$($($route:ident)::+),* $(,)?] $(,)?)?
        $(publishes: [$($publishes:tt),* $(,)?] $(,)?)?
        $(subscribes: [$($subscribes:tt),* $(,)?] $(,)?)?
        $(config: [$($key:literal $(= $default:literal)?),* $(,)?] $(,)?)?
    ) => {
        /// The plugin, as the host sees it.
        #[doc(hidden)]
        #[derive(Debug)]
        pub struct SandbusPlugin;

        const _: () = {
            use $crate::bindings::exports::sandbus::plugin as exports;
            use $crate::plugin as support;

            const NAME: &str = {
                let names: &[&str] = &[$($name,)? env!("CARGO_PKG_NAME")];
                support::check_name(names[0]);
                names[0]
            };
            const HANDLERS: &[support::HandlerEntry] = &[$($($crate::__entry!(Handler, $($handler)::+)),*)?];
            const ROUTES: &[support::RouteEntry] = &[$($($crate::__entry!(Route, $($route)::+)),*)?];

            impl exports::descriptor::Guest for SandbusPlugin {
                fn describe() -> exports::descriptor::Descriptor {
                    let description = env!("CARGO_PKG_DESCRIPTION");
                    support::Descriptor {
                        name: NAME.into(),
                        version: env!("CARGO_PKG_VERSION").into(),
                        description: (!description.is_empty()).then(|| description.into()),
                        routes: ROUTES
                            .iter()
                            .map(|route| exports::descriptor::Route {
                                method: route.method.into(),
                                path: route.path.into(),
                            })
                            .collect(),
                        subscriptions: HANDLERS.iter().map(|handler| (handler.subscription)(NAME)).collect(),
                        schedules: support::schedules(NAME, HANDLERS),
                        publishes: support::publishes(
                            NAME,
                            HANDLERS,
                            ::std::vec![$($($crate::__type_name!($publishes)),*)?],
                        ),
                        subscribes: ::std::vec![$($($crate::__type_name!($subscribes)),*)?],
                        config: ::std::vec![$($(exports::descriptor::ConfigKey {
                            name: $key.into(),
                            default: [$($default)?].first().map(|default: &&str| (*default).into()),
                            description: None,
                        }),*)?],
                    }
                }
            }

            impl exports::event_handler::Guest for SandbusPlugin {
                fn handle(
                    delivery: exports::event_handler::Delivery,
                ) -> Result<(), exports::event_handler::Failure> {
                    support::deliver(NAME, HANDLERS, delivery)
                }
            }

            impl exports::http_handler::Guest for SandbusPlugin {
                fn handle(
                    request: exports::http_handler::Request,
                ) -> Result<exports::http_handler::Response, exports::http_handler::Response> {
                    support::respond(ROUTES, request)
                }
            }
        };

        #[cfg(target_family = "wasm")]
        $crate::bindings::export!(SandbusPlugin with_types_in $crate::bindings);
    };
}

/// An entry in `handlers` or `routes`. The attribute has made a type with the function's name. Where it is missing, the
/// name refers to the outer, empty type, and the compiler says which attribute is expected.
#[doc(hidden)]
#[macro_export]
macro_rules! __entry {
    ($kind:ident, $name:ident) => {{
        #[allow(dead_code, non_camel_case_types, reason = "it stands for a function without an attribute")]
        struct $name {}
        {
            #[allow(unused_imports, reason = "the function is imported with its type")]
            use self::$name;
            <$name as $crate::plugin::$kind>::ENTRY
        }
    }};
    ($kind:ident, $($name:ident)::+) => {
        <$($name)::+ as $crate::plugin::$kind>::ENTRY
    };
}

/// A name in `publishes` and `subscribes`: a type, or a pattern in quotes.
#[doc(hidden)]
#[macro_export]
macro_rules! __type_name {
    ($pattern:literal) => {
        ::std::string::String::from($pattern)
    };
    ($event:ident) => {
        $crate::plugin::type_name::<$event>()
    };
}
