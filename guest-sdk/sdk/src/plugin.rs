//! What the macros expand to: the plugin's descriptor, and the way from the host's call to a handler.

use crate::bindings::exports::sandbus::plugin::descriptor as wire;
use crate::bindings::exports::sandbus::plugin::http_handler;
use crate::bindings::sandbus::plugin::types::{Delivery, Failure as WireFailure};
use crate::http::{IntoOutcome, Problem, Request};
use crate::{EventType, Failure, Result, logger, pattern};

pub use wire::{DeadLetterPolicy, Descriptor, Missed, RetryPolicy, Schedule, Start, Subscription};

/// An event handler, as `#[on_event]` or `#[on_schedule]` describes it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event handler",
    note = "mark the function with `#[on_event]` or `#[on_schedule(\"cron expression\")]`"
)]
pub trait Handler {
    /// The subscription that it serves, in a plugin of this name.
    fn subscription(plugin: &str) -> Subscription;

    /// The schedule that makes its events, in a plugin of this name, if it has one.
    fn schedule(plugin: &str) -> Option<Schedule> {
        let _ = plugin;
        None
    }

    /// Handles a delivery.
    ///
    /// # Errors
    /// The handler's own, or a rejection of data that does not fit.
    fn call(delivery: Delivery) -> Result<()>;
}

/// A route's handler, as `#[route]` describes it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a route",
    note = "mark the function with `#[route(METHOD, \"/path\")]`"
)]
pub trait Route {
    /// The route's method.
    const METHOD: &'static str;
    /// The route's path.
    const PATH: &'static str;

    /// Handles a request.
    ///
    /// # Errors
    /// The response that throws the effects away.
    fn call(request: &Request) -> Result<crate::http::Response, crate::http::Response>;
}

/// What an event handler may return.
#[diagnostic::on_unimplemented(
    message = "an event handler cannot return `{Self}`",
    note = "return `()` or `sandbus_sdk::Result<()>`"
)]
pub trait HandlerResult {
    /// The outcome.
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

/// The name and the function of a plugin's handler.
#[derive(Clone, Copy, Debug)]
pub struct HandlerEntry {
    /// The subscription that it serves.
    pub subscription: fn(&str) -> Subscription,
    /// The schedule that makes its events.
    pub schedule: fn(&str) -> Option<Schedule>,
    /// The function.
    pub call: fn(Delivery) -> Result<()>,
}

/// A plugin's route and its function.
#[derive(Clone, Copy, Debug)]
pub struct RouteEntry {
    /// The route's method.
    pub method: &'static str,
    /// The route's path.
    pub path: &'static str,
    /// The function.
    pub call: fn(&Request) -> Result<crate::http::Response, crate::http::Response>,
}

/// Describes a handler to the table that `plugin!` makes.
#[must_use]
pub const fn handler<H: Handler>() -> HandlerEntry {
    HandlerEntry { subscription: H::subscription, schedule: H::schedule, call: H::call }
}

/// Describes a route to the table that `plugin!` makes.
#[must_use]
pub const fn route<R: Route>() -> RouteEntry {
    RouteEntry { method: R::METHOD, path: R::PATH, call: R::call }
}

/// The type of a schedule's events. It bears the plugin's name, so that no plugin takes another's by chance.
#[must_use]
pub fn schedule_type(plugin: &str, schedule: &str) -> String {
    format!("schedule.{plugin}.{schedule}")
}

/// The schedules of a plugin's handlers.
#[must_use]
pub fn schedules(plugin: &str, handlers: &[HandlerEntry]) -> Vec<Schedule> {
    handlers.iter().filter_map(|handler| (handler.schedule)(plugin)).collect()
}

/// What a plugin asks to publish: what it declares, and its schedules' events.
#[must_use]
pub fn publishes(plugin: &str, handlers: &[HandlerEntry], mut declared: Vec<String>) -> Vec<String> {
    declared.extend(schedules(plugin, handlers).into_iter().map(|schedule| schedule.type_));
    declared
}

/// Delivers to the handler of the subscription. A subscription that none declares was made at run time, and may be
/// called as one of the plugin's own: it goes to the first handler whose pattern takes the event's type. One whose
/// pattern has changed since goes by its name.
///
/// # Errors
/// The handler's failure, or a rejection if no handler takes it.
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

/// Hands a request to its route's handler.
///
/// # Errors
/// The response that throws the effects away.
pub fn answer(
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

/// Makes a plugin of handlers and routes. Every section but one of the first two may be left out; they
/// stand in this order:
///
/// - `name`: the plugin's name; the crate's by default.
/// - `handlers`: functions with `#[on_event]` or `#[on_schedule]`.
/// - `routes`: functions with `#[route]`.
/// - `publishes`: the event types that the plugin publishes, as types or as patterns in quotes.
/// - `subscribes`: the patterns that it may make subscriptions for at run time.
/// - `config`: keys of its configuration, with their defaults: `"greeting" = "Welcome"`.
#[macro_export]
macro_rules! plugin {
    (
        $(name: $name:literal $(,)?)?
        $(handlers: [$($handler:path),* $(,)?] $(,)?)?
        $(routes: [$($route:path),* $(,)?] $(,)?)?
        $(publishes: [$($publishes:tt),* $(,)?] $(,)?)?
        $(subscribes: [$($subscribes:tt),* $(,)?] $(,)?)?
        $(config: [$($key:literal = $default:literal),* $(,)?] $(,)?)?
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
                names[0]
            };
            const HANDLERS: &[support::HandlerEntry] = &[$($(support::handler::<$handler>()),*)?];
            const ROUTES: &[support::RouteEntry] = &[$($(support::route::<$route>()),*)?];

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
                            default: Some($default.into()),
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
                    support::answer(ROUTES, request)
                }
            }
        };

        #[cfg(target_family = "wasm")]
        $crate::bindings::export!(SandbusPlugin with_types_in $crate::bindings);
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
