//! Takes registrations of users: `POST /register` with a name and an email address. A registration is
//! answered once it is durable, together with the event that tells of it.

use registration_events::UserRegistered;
use sandbus_sdk::prelude::*;
use sandbus_sdk::random_u64;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewUser {
    name: String,
    email: String,
}

#[derive(Debug, PartialEq, Serialize)]
struct Registered {
    message: &'static str,
    user_id: String,
    event_id: String,
}

#[route(POST, "/register")]
fn register(Json(user): Json<NewUser>) -> Result<(u16, Json<Registered>), Problem> {
    let NewUser { name, email } = user.checked()?;
    let key = format!("user/{email}");
    if state::exists(&key)? {
        return Err(Problem::conflict(format!("{email} is registered already")).code("already-registered"));
    }
    let user_id = format!("{:016x}", random_u64());
    state::set(&key, &user_id)?;
    let event = UserRegistered { user_id: user_id.clone(), name, email };
    let event_id = publish(&event)?;
    info!("registered user {user_id}");
    Ok((201, Json(Registered { message: "User registered successfully", user_id, event_id })))
}

impl NewUser {
    fn checked(self) -> Result<Self, Problem> {
        let name = self.name.trim().to_owned();
        let email = self.email.trim().to_lowercase();
        if name.is_empty() || name.len() > 200 {
            return Err(Problem::invalid("a name has 1 to 200 bytes").code("invalid-name"));
        }
        let parts = email.split_once('@').filter(|(local, domain)| !local.is_empty() && domain.contains('.'));
        if parts.is_none() || email.len() > 254 || email.contains(char::is_whitespace) {
            return Err(Problem::invalid(format!("`{email}` is no email address")).code("invalid-email"));
        }
        Ok(Self { name, email })
    }
}

plugin! {
    routes: [register],
    publishes: [UserRegistered],
}

#[cfg(test)]
mod tests {
    use sandbus_sdk::testing::FakeHost;

    use super::*;

    fn user(email: &str) -> Json<NewUser> {
        Json(NewUser { name: "Ada".into(), email: email.into() })
    }

    #[test]
    fn a_registration_is_kept_and_published() {
        let host = FakeHost::new();
        let (status, Json(answer)) = host.run(|| register(user(" Ada@Example.com"))).unwrap();
        assert_eq!((status, answer.message), (201, "User registered successfully"));
        let published = host.published();
        assert_eq!(published[0].event_type, "user.registered");
        assert_eq!(published[0].json::<UserRegistered>().unwrap().email, "ada@example.com");
        assert_eq!(published[0].id, answer.event_id);
    }

    #[test]
    fn a_second_registration_changes_nothing() {
        let host = FakeHost::new();
        host.run(|| register(user("ada@example.com"))).unwrap();
        let problem = host.run(|| register(user("ada@example.com"))).unwrap_err();
        assert_eq!(problem.status, 409);
        assert_eq!(host.published().len(), 1);
    }

    #[test]
    fn bad_addresses_are_refused() {
        for email in ["", "ada", "@example.com", "ada@example", "a da@example.com"] {
            assert_eq!(FakeHost::new().run(|| register(user(email))).unwrap_err().status, 422, "{email}");
        }
    }
}
