//! A plugin's state on another host.

use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::codec::decode;
use super::link::{Link, block_on};
use super::protocol::{Number, Request, StateRequest, ToServer};
use crate::event::Position;
use crate::outcome::{Listing, NextNumber, SequenceError, StateError, StateRead, StateView, Version};

/// A plugin's state as of the first read, on the host that runs the engine. Each read is a round trip, and blocks.
#[derive(Debug)]
pub(super) struct RemoteState {
    link: Arc<Link>,
    plugin: String,
    /// The number of the view, once it has begun.
    view: Option<Number>,
}

impl RemoteState {
    pub(super) fn new(link: Arc<Link>, plugin: String) -> Self {
        Self { link, plugin, view: None }
    }

    fn begin(&mut self) -> Number {
        *self.view.get_or_insert_with(|| self.link.next_number())
    }

    fn ask<T: DeserializeOwned>(&self, view: Number, read: StateRequest) -> Result<T, StateError> {
        let request = Request::State { view, plugin: self.plugin.clone(), read };
        let answer = block_on(self.link.call(request)).map_err(|error| StateError(error.to_string()))?;
        decode::<Result<T, StateError>>(&answer).unwrap_or_else(|error| Err(StateError(error.to_string())))
    }
}

impl StateView for RemoteState {
    fn get(&mut self, key: &str) -> Result<(Option<Vec<u8>>, Version), StateError> {
        let view = self.begin();
        self.ask(view, StateRequest::Get(key.to_owned()))
    }

    fn keys(&mut self, after: Option<&str>, limit: usize) -> Result<(Vec<String>, Listing), StateError> {
        let view = self.begin();
        self.ask(view, StateRequest::Keys { after: after.map(str::to_owned), limit })
    }

    fn changed_up_to(&self, read: StateRead) -> Position {
        // Nothing has been read without a view.
        let position = self.view.map(|view| self.ask(view, StateRequest::ChangedUpTo(read)));
        position.and_then(Result::ok).unwrap_or(Position(u64::MAX))
    }

    fn draw(&mut self, sequence: &str) -> NextNumber {
        let link = Arc::clone(&self.link);
        let request = Request::Draw { plugin: self.plugin.clone(), sequence: sequence.to_owned() };
        Box::pin(async move {
            let answer = link.call(request).await.map_err(|error| SequenceError::Failed(error.to_string()))?;
            decode::<Result<u64, SequenceError>>(&answer)
                .unwrap_or_else(|error| Err(SequenceError::Failed(error.to_string())))
        })
    }

    fn unreserved(&mut self, sequence: &str) -> Result<u64, StateError> {
        let view = self.begin();
        self.ask(view, StateRequest::Unreserved(sequence.to_owned()))
    }
}

impl Drop for RemoteState {
    fn drop(&mut self) {
        if let Some(view) = self.view {
            self.link.post(ToServer::CloseState { view });
        }
    }
}
