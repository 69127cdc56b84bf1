//! Responses that wait for an event.

use std::time::Duration;

use super::Response;
use crate::duration::milliseconds;
use crate::host;
use crate::model::errors::BusError;

/// Makes a response that waits for an event. Once the effects of this request are committed, the host waits for the
/// first event that matches `pattern` in the cause tree of the event `id`, which this request has published, and
/// responds with that event's data. After `timeout` it responds with 504; the effects of the request remain committed.
///
/// ```
/// # use std::time::Duration;
/// # use sandbus_sdk::prelude::*;
/// use sandbus_sdk::http;
///
/// # #[derive(Event, Serialize, Deserialize)]
/// # #[event(type = "order.placed")]
/// # struct OrderPlaced { article: String }
/// #[route(POST, "/orders")]
/// fn order(Json(order): Json<OrderPlaced>) -> Result<Response, Problem> {
///     let id = publish(&order)?;
///     Ok(http::reply(&id, "order.priced", Duration::from_secs(5))?)
/// }
/// ```
///
/// The returned response has status 200 and no body. The handler may set headers, and another status from 200 to 299.
/// The awaited event may also set them, for example to report a failure: the status with the extension attribute
/// `httpstatus` (`402`), and headers with `httpheaders`, a JSON object.
///
/// ```
/// # use sandbus_sdk::prelude::*;
/// # #[derive(Event, Serialize, Deserialize)]
/// # #[event(type = "payment.declined")]
/// # struct PaymentDeclined { reason: String }
/// # fn decline(declined: PaymentDeclined) -> Result<()> {
/// Message::of(&declined)?.extension("httpstatus", "402").publish()?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// If this request has not published the event, if the pattern is malformed, or if the timeout is longer than a minute.
#[doc(alias = "reply_from")]
pub fn reply(id: &str, pattern: &str, timeout: Duration) -> Result<Response, BusError> {
    host::reply(id, pattern, milliseconds(timeout))?;
    Ok(Response { status: 200, headers: Vec::new(), body: Vec::new() })
}
