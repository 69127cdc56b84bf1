//! Answers that wait for an event.

use std::time::Duration;

use super::Response;
use crate::clock::milliseconds;
use crate::message::PublishError;
use crate::{Result, host};

/// A response that waits: once this request's effects are committed, the client is answered with the data
/// of the first event that matches a pattern and that follows from the event `id`, which this request has
/// published. If none comes in time the client is answered 504; what was published stands all the same.
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
///     Ok(http::reply_from(&id, "order.priced", Duration::from_secs(5))?)
/// }
/// ```
///
/// The response that it returns has status 200 and no body; another status from 200 to 299 and headers may be
/// set before it is returned. The reply may set them as well, so that a client learns of a failure: its extension
/// attribute `httpstatus` is the status (`402`), and `httpheaders` a JSON object of headers.
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
/// If this request has not published the event, if the pattern is malformed, or if the time is longer than
/// the host allows.
pub fn reply_from(id: &str, pattern: &str, timeout: Duration) -> Result<Response, PublishError> {
    host::reply(id, pattern, milliseconds(timeout))?;
    Ok(Response { status: 200, headers: Vec::new(), body: Vec::new() })
}
