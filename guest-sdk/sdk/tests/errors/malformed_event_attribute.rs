use sandbus_sdk::prelude::*;

#[derive(Event, Serialize, Deserialize)]
#[event("user.registered")]
struct WithoutKey {}

#[derive(Event, Serialize, Deserialize)]
#[event(typ = "user.registered")]
struct WithTypo {}

#[derive(Event, Serialize, Deserialize)]
#[event(type: "user.registered")]
struct WithColon {}

#[derive(Event, Serialize, Deserialize)]
#[event(type = UserRegistered)]
struct WithoutQuotes {}

#[derive(Event, Serialize, Deserialize)]
#[event = "user.registered"]
struct WithEqualsSign {}

#[derive(Event, Serialize, Deserialize)]
#[event]
struct Empty {}

#[derive(Event, Serialize, Deserialize)]
#[event(type = "user.registered", version = 1)]
struct WithMore {}

#[derive(Event, Serialize, Deserialize)]
#[event(type = "user.registered")]
#[event(type = "user.removed")]
struct Twice {}

fn main() {}
