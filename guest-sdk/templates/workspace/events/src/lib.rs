//! The data of each event type, for plugins in Rust.

use sandbus_sdk::prelude::*;
