//! Samples of events and requests, from scenario files.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{EventDocument, HeaderView};

/// The events and requests of the scenario files that the host knows.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct SampleList {
    /// The samples, in the order of the files and their steps.
    pub samples: Vec<SampleView>,
    /// The files and steps that cannot be read.
    pub faults: Vec<SampleFaultView>,
    /// How many files and samples are left out, because there are too many.
    pub omitted: u64,
}

/// What a step of a scenario sends: an event or a request.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct SampleView {
    /// The scenario file.
    pub file: String,
    /// The name of the scenario.
    pub scenario: String,
    /// The number of the step, from 1.
    pub step: u64,
    /// The event; null if the step sends a request.
    pub event: Option<EventDocument>,
    /// The request; null if the step publishes an event.
    pub request: Option<SampleRequestView>,
}

/// A request of a scenario.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct SampleRequestView {
    /// The method.
    pub method: String,
    /// The path, with its query.
    pub path: String,
    /// The headers.
    pub headers: Vec<HeaderView>,
    /// The body.
    pub body: String,
}

/// Why a scenario file or one of its steps gives no sample.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct SampleFaultView {
    /// The scenario file.
    pub file: String,
    /// The reason.
    pub reason: String,
}
