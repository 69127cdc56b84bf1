//! A view of a plugin's state that may have a fault.

use sandbus_host::bus::SharedBus;
use sandbus_host::event::Position;
use sandbus_host::outcome::{Listing, NextNumber, StateError, StateRead, StateView, Version};

use crate::Fault;

pub(crate) struct FaultyView {
    pub(crate) view: Box<dyn StateView>,
    pub(crate) bus: SharedBus,
    pub(crate) plugin: String,
    pub(crate) fault: Option<Fault>,
}

impl StateView for FaultyView {
    fn get(&mut self, key: &str) -> Result<(Option<Vec<u8>>, Version), StateError> {
        match self.fault {
            Some(Fault::ReadsMovingState) => self.bus.state(&self.plugin).get(key),
            _ => self.view.get(key),
        }
    }

    fn keys(&mut self, after: Option<&str>, limit: usize) -> Result<(Vec<String>, Listing), StateError> {
        self.view.keys(after, limit)
    }

    fn changed_up_to(&self, read: StateRead) -> Position {
        self.view.changed_up_to(read)
    }

    fn draw(&mut self, sequence: &str) -> NextNumber {
        match self.fault {
            Some(Fault::RepeatsNumbers) => Box::pin(async { Ok(1) }),
            _ => self.view.draw(sequence),
        }
    }

    fn unreserved(&mut self, sequence: &str) -> Result<u64, StateError> {
        self.view.unreserved(sequence)
    }
}
