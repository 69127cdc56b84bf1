//! Welcomes users who have registered, each once: at once when the event arrives, or, where the operator
//! sets `welcome = "on-request"`, when `POST /handle_user_registration` asks for it.

use registration_events::{UserRegistered, UserWelcomed};
use sandbus_sdk::prelude::*;

#[derive(Debug, PartialEq, Serialize)]
struct Handled {
    message: &'static str,
    /// How many users were welcomed by this request.
    handled: usize,
    /// How many there have been in all.
    total: i64,
}

#[on_event(retry(max_attempts = 10, initial_delay = "200ms"))]
fn user_registered(user: UserRegistered) -> Result<()> {
    if config::get("welcome").as_deref() == Some("on-request") {
        state::set(&format!("pending/{}", user.user_id), &user)?;
        return Ok(());
    }
    welcome(&user)?;
    Ok(())
}

/// Handles the registration in the body, or without one all that are pending.
#[route(POST, "/handle_user_registration")]
fn handle_user_registration(request: Request) -> Result<Json<Handled>, Problem> {
    let handled = if request.body.is_empty() {
        let pending = state::keys("pending/")?;
        for key in &pending {
            if let Some(user) = state::get(key)? {
                welcome(&user)?;
            }
            state::delete(key)?;
        }
        pending.len()
    } else {
        usize::from(welcome(&request.json()?)?)
    };
    let total: i64 = state::get("total")?.unwrap_or(0);
    Ok(Json(Handled { message: "User registration handled successfully", handled, total }))
}

/// Welcomes a user who has not been welcomed. Returns whether that was so.
fn welcome(user: &UserRegistered) -> Result<bool> {
    let key = format!("welcomed/{}", user.user_id);
    if state::exists(&key)? {
        return Ok(false);
    }
    let greeting = config::require("greeting")?;
    let message = format!("{greeting}, {}!", user.name);
    info!("{message}");
    state::set(&key, &message)?;
    state::add("total", 1)?;
    publish(&UserWelcomed { user_id: user.user_id.clone(), message })?;
    Ok(true)
}

plugin! {
    handlers: [user_registered],
    routes: [handle_user_registration],
    publishes: [UserWelcomed],
    config: ["greeting" = "Welcome", "welcome" = "at-once"],
}

#[cfg(test)]
mod tests {
    use sandbus_sdk::testing::FakeHost;

    use super::*;

    fn ada() -> UserRegistered {
        UserRegistered { user_id: "1".into(), name: "Ada".into(), email: "ada@example.com".into() }
    }

    #[test]
    fn a_user_is_welcomed_once() {
        let host = FakeHost::new().config("greeting", "Hello");
        host.run(|| user_registered(ada())).unwrap();
        host.run(|| user_registered(ada())).unwrap();
        assert_eq!(host.logs(), ["Hello, Ada!"]);
        assert_eq!(host.published().len(), 1);
        assert_eq!(host.state("total"), Some(b"1".to_vec()));
    }

    #[test]
    fn pending_users_are_welcomed_on_request() {
        let host = FakeHost::new().config("greeting", "Hello").config("welcome", "on-request");
        host.run(|| user_registered(ada())).unwrap();
        assert!(host.published().is_empty());
        let Json(answer) = host.run(|| handle_user_registration(Request::default())).unwrap();
        assert_eq!((answer.handled, answer.total), (1, 1));
        let Json(answer) = host.run(|| handle_user_registration(Request::default())).unwrap();
        assert_eq!((answer.handled, answer.total), (0, 1));
    }

    #[test]
    fn a_given_user_is_welcomed() {
        let host = FakeHost::new().config("greeting", "Hello");
        let request = Request { body: serde_json::to_vec(&ada()).unwrap(), ..Request::default() };
        let Json(answer) = host.run(|| handle_user_registration(request)).unwrap();
        assert_eq!(answer.handled, 1);
    }
}
