//! The events of registrations. Plugins in Rust that publish or handle them share this crate, and the compiler holds
//! them to one another; a field that one of them does not know is left out when it reads an event.

use sandbus_sdk::prelude::*;

/// A user has registered.
#[derive(Clone, Debug, PartialEq, Eq, Event, Serialize, Deserialize)]
#[event(type = "user.registered")]
pub struct UserRegistered {
    /// The user's number.
    pub user_id: String,
    /// The user's name.
    pub name: String,
    /// The address, in lower case.
    pub email: String,
}

/// A user has been welcomed.
#[derive(Clone, Debug, PartialEq, Eq, Event, Serialize, Deserialize)]
#[event(type = "user.welcomed")]
pub struct UserWelcomed {
    /// The user's number.
    pub user_id: String,
    /// The words.
    pub message: String,
}
