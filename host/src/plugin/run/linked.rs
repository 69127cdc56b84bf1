//! A component whose imports are linked, and its instances.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::component::{self, Component, InstancePre, Resource};
use wasmtime::{Engine, Store};
use wasmtime_wasi_http::p2::bindings::http::types::{IncomingRequest, ResponseOutparam};
use wasmtime_wasi_http::p2::bindings::sync::exports::wasi::http::incoming_handler;
use wasmtime_wasi_http::p3::bindings::exports::wasi::http::handler as handler_0_3;

use super::call_failure::CallFailure;
use super::engine;
use crate::clock::Timestamp;
use crate::event::Event;
use crate::outcome::Failure;
use crate::plugin::bindings::exports::sandbus::plugin::{descriptor as descriptor_export, event_handler, http_handler};
use crate::plugin::bindings::sandbus::plugin::types::Delivery;
use crate::plugin::imports::labelled;
use crate::plugin::imports::linkers::Linkers;
use crate::plugin::imports::messaging::MessageHandler;
use crate::plugin::imports::missing::MissingImportsError;
use crate::plugin::invocation::InstanceData;
use crate::plugin::invocation::guest_call::{self, CallModel};
use crate::plugin::manifest::descriptor::{Descriptor, ValidationError};
use crate::plugin::manifest::labelled_imports::LabelledImport;
use crate::plugin::manifest::sidecar::{DescriptionSource, Sidecar};

/// The limits of `describe`.
const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(1);
const DESCRIBE_MEMORY_BYTES: usize = 64 << 20;

/// How many tasks, stream and future ends, and waitable sets an instance may have at a time. The host holds some 1 KiB
/// for each, which does not count as the instance's memory.
const CONCURRENT_RESOURCES: usize = 8_192;

/// A component whose imports are linked and whose exports are looked up.
#[derive(Clone)]
pub(crate) struct LinkedComponent {
    engine: Engine,
    model: CallModel,
    pre: InstancePre<InstanceData>,
    /// The program of a script, if the component is a prepared runtime.
    program: Option<Arc<str>>,
    descriptor: Option<descriptor_export::GuestIndices>,
    events: Option<event_handler::GuestIndices>,
    messages: Option<MessageHandler>,
    http: Option<http_handler::GuestIndices>,
    service: Option<incoming_handler::GuestIndices>,
    service_0_3: Option<handler_0_3::GuestIndices>,
    labelled_imports: Vec<LabelledImport>,
}

/// Why a component cannot run as a plugin.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The component imports something that the host does not provide.
    #[error("it has imports that this host does not provide: {0}")]
    Imports(MissingImportsError),
    /// The component was built for an unknown version of the contract.
    #[error(
        "it is built for `{0}`, and this host offers versions 0.1.0 and 0.2.0 of the contract; upgrade the host, or build the component with the SDK of this host"
    )]
    Contract(String),
    /// The component exports neither a descriptor nor a handler that a sidecar can describe.
    #[error(
        "it does not export `sandbus:plugin/descriptor`, `wasi:http/incoming-handler`, `wasi:http/handler`, `wasi:messaging/incoming-handler` or `wasmcloud:messaging/handler`; build it with a Sandbus SDK, or see wit/plugin.wit"
    )]
    NoDescriptor,
    /// `describe` failed.
    #[error("its `describe` failed: {0}")]
    Describe(String),
    /// The script ends with an error while it is loaded.
    #[error("it cannot be loaded: {0}")]
    Script(String),
    /// `describe` returned an invalid descriptor.
    #[error("its descriptor is invalid: {0}")]
    Descriptor(#[from] ValidationError),
    /// The component declares subscriptions or routes without exporting their handler.
    #[error("it declares {0}, but does not export `{1}`")]
    NoHandler(&'static str, &'static str),
}

impl LinkedComponent {
    pub(crate) fn new(component: &Component, linkers: &Linkers) -> Result<Self, LinkError> {
        if let Some(name) = unknown_contract(component) {
            return Err(LinkError::Contract(name));
        }
        let pre = linkers.link(component).map_err(LinkError::Imports)?;
        Ok(Self::of(component, pre, linkers.model(), None))
    }

    /// Links a prepared runtime, whose instances run a program.
    pub(crate) fn for_program(component: &Component, linkers: &Linkers, program: Arc<str>) -> Result<Self, LinkError> {
        let pre = linkers.link_prepared_runtime(component).map_err(LinkError::Imports)?;
        Ok(Self::of(component, pre, linkers.model(), Some(program)))
    }

    fn of(component: &Component, pre: InstancePre<InstanceData>, model: CallModel, program: Option<Arc<str>>) -> Self {
        Self {
            engine: component.engine().clone(),
            model,
            program,
            descriptor: descriptor_export::GuestIndices::new(&pre).ok(),
            events: event_handler::GuestIndices::new(&pre).ok(),
            messages: MessageHandler::of(component),
            http: http_handler::GuestIndices::new(&pre).ok(),
            service: incoming_handler::GuestIndices::new(&pre).ok(),
            service_0_3: handler_0_3::GuestIndices::new(&pre).ok(),
            labelled_imports: labelled::imports_of(component),
            pre,
        }
    }

    /// The imports that the component has given a label.
    pub(crate) fn labelled_imports(&self) -> &[LabelledImport] {
        &self.labelled_imports
    }

    /// Whether the component describes itself, and otherwise which handlers it exports.
    pub(crate) fn description_source(&self) -> DescriptionSource {
        match &self.descriptor {
            Some(_) => DescriptionSource::Component,
            None => DescriptionSource::Sidecar { serves: self.serves(), receives: self.messages.is_some() },
        }
    }

    /// Calls the component's `describe`.
    pub(crate) fn describe(&self, now: Timestamp) -> Result<Descriptor, LinkError> {
        let descriptor = self.descriptor.as_ref().ok_or(LinkError::NoDescriptor)?;
        let mut store = self.store(DESCRIBE_MEMORY_BYTES, DESCRIBE_TIMEOUT);
        let call = |store: &mut Store<InstanceData>| {
            let instance = self.instantiate_in(store)?;
            let describe = descriptor.load(&mut *store, &instance)?.func_describe();
            guest_call::call(self.model, store, describe, ())
        };
        let (raw,) = call(&mut store).map_err(|error| {
            let failure = CallFailure::of(&error, store.data());
            let reason = if store.data().load_error.is_some() { LinkError::Script } else { LinkError::Describe };
            reason(failure.reason)
        })?;
        Ok(Descriptor::check(raw, now)?)
    }

    /// The descriptor of a component that was not built for Sandbus, from its sidecar.
    pub(crate) fn described_by(&self, sidecar: &Sidecar, now: Timestamp) -> Result<Descriptor, LinkError> {
        if !self.serves() && self.messages.is_none() {
            return Err(LinkError::NoDescriptor);
        }
        Ok(Descriptor::check(sidecar.descriptor(), now)?)
    }

    /// Checks that a component that declares subscriptions or routes exports their handlers.
    pub(crate) fn check_handlers(&self, descriptor: &Descriptor) -> Result<(), LinkError> {
        if !descriptor.subscriptions.is_empty() && !self.handles_events() {
            return Err(LinkError::NoHandler("subscriptions", "sandbus:plugin/event-handler"));
        }
        if !descriptor.routes.is_empty() && self.http.is_none() && !self.serves() {
            return Err(LinkError::NoHandler("routes", "sandbus:plugin/http-handler"));
        }
        Ok(())
    }

    /// Creates an instance.
    pub(crate) fn instantiate(&self, memory_bytes: usize, timeout: Duration) -> Result<Instance, Failure> {
        let mut store = self.store(memory_bytes, timeout);
        match self.instantiate_in(&mut store) {
            Ok(instance) => {
                let model = self.model;
                Ok(Instance { store, model, instance, events: None, http: None, service: None, calls: 0 })
            }
            Err(error) => Err(CallFailure::of(&error, store.data()).failure(timeout)),
        }
    }

    fn instantiate_in(&self, store: &mut Store<InstanceData>) -> wasmtime::Result<component::Instance> {
        match self.model {
            CallModel::Synchronous => self.pre.instantiate(store),
            CallModel::Concurrent => guest_call::drive(store.data().until, self.pre.instantiate_async(store))?,
        }
    }

    /// Whether it has an event handler.
    pub(crate) fn handles_events(&self) -> bool {
        self.events.is_some() || self.messages.is_some()
    }

    /// The handler of messages, if the component has one and no event handler.
    pub(crate) fn message_handler(&self) -> Option<MessageHandler> {
        self.messages.filter(|_| self.events.is_none())
    }

    /// Whether it has an HTTP handler of the contract.
    pub(crate) fn handles_requests(&self) -> bool {
        self.http.is_some()
    }

    /// Whether it has a `wasi:http` handler.
    pub(crate) fn serves(&self) -> bool {
        self.service.is_some() || self.service_0_3.is_some()
    }

    /// The `wasi:http` handler of WASI 0.3, if the component has one.
    pub(crate) fn service_0_3(&self) -> Option<&handler_0_3::GuestIndices> {
        self.service_0_3.as_ref()
    }

    fn store(&self, memory_bytes: usize, timeout: Duration) -> Store<InstanceData> {
        let data = InstanceData { program: self.program.clone(), ..InstanceData::new(memory_bytes) };
        let mut store = Store::new(&self.engine, data);
        store.limiter(|data| &mut data.meter);
        store.epoch_deadline_trap();
        if let Some(table) = store.concurrent_resource_table() {
            table.set_max_capacity(CONCURRENT_RESOURCES);
        }
        give_time(&mut store, timeout);
        store
    }
}

/// The first interface of the contract that the component uses in an unknown version, if any. Exported handlers have
/// version 0.1 only; version 0.2 adds imports.
fn unknown_contract(component: &Component) -> Option<String> {
    let (engine, component_type) = (component.engine(), component.component_type());
    let of_another = |name: &str, versions: &[&str]| {
        let version = name.strip_prefix("sandbus:plugin/").and_then(|name| name.split_once('@'))?.1;
        (!versions.iter().any(|prefix| version.starts_with(prefix))).then(|| name.to_owned())
    };
    let imported = component_type.imports(engine).find_map(|(name, _)| of_another(name, &["0.1.", "0.2."]));
    imported.or_else(|| component_type.exports(engine).find_map(|(name, _)| of_another(name, &["0.1."])))
}

/// Gives a store the time and the fuel of one call.
pub(crate) fn give_time(store: &mut Store<InstanceData>, timeout: Duration) {
    store.set_epoch_deadline(engine::ticks(timeout));
    store.data_mut().until = Instant::now() + timeout;
    // Bounds the bytes that a guest passes to one host call, because the host copies them.
    store.set_hostcall_fuel(16 << 20);
}

/// An instance of a component. It serves one generation, and ends with its first failed call.
pub struct Instance {
    pub(crate) store: Store<InstanceData>,
    pub(crate) calls: u32,
    pub(super) instance: component::Instance,
    model: CallModel,
    // Each export is looked up at its first call, because an instance usually serves only one of them.
    events: Option<event_handler::Guest>,
    http: Option<http_handler::Guest>,
    service: Option<incoming_handler::Guest>,
}

impl Instance {
    /// Whether it may serve another call. Tasks of a concurrent call could outlive it.
    pub(crate) fn is_reusable(&self) -> bool {
        self.model == CallModel::Synchronous
    }

    /// Calls the event handler. The inner error is the handler's own.
    pub(crate) fn handle_event(
        &mut self,
        component: &LinkedComponent,
        delivery: Delivery<'_>,
    ) -> wasmtime::Result<Result<(), event_handler::Failure>> {
        let Self { store, instance, events, .. } = self;
        let load = |store: &mut Store<_>| exported(component.events.as_ref(), "event handler")?.load(store, instance);
        let handle = looked_up(events, store, load)?.func_handle();
        Ok(guest_call::call(self.model, store, handle, (delivery,))?.0)
    }

    /// Calls the message handler. The inner error is the handler's own.
    pub(crate) fn receive(
        &mut self,
        message_handler: MessageHandler,
        event: &Event,
    ) -> wasmtime::Result<Result<(), event_handler::Failure>> {
        message_handler.deliver(event, self.model, &self.instance, &mut self.store)
    }

    /// Calls the HTTP handler.
    pub(crate) fn handle_request(
        &mut self,
        component: &LinkedComponent,
        request: http_handler::Request<'_>,
    ) -> wasmtime::Result<Result<http_handler::Response, http_handler::Response>> {
        let Self { store, instance, http, .. } = self;
        let load = |store: &mut Store<_>| exported(component.http.as_ref(), "HTTP handler")?.load(store, instance);
        let handle = looked_up(http, store, load)?.func_handle();
        Ok(guest_call::call(self.model, store, handle, (request,))?.0)
    }

    /// Lets the `wasi:http` handler of WASI 0.2 serve a request.
    pub(crate) fn serve(
        &mut self,
        component: &LinkedComponent,
        request: Resource<IncomingRequest>,
        response: Resource<ResponseOutparam>,
    ) -> wasmtime::Result<()> {
        let Self { store, instance, service, .. } = self;
        let load =
            |store: &mut Store<_>| exported(component.service.as_ref(), "`wasi:http` handler")?.load(store, instance);
        let handle = looked_up(service, store, load)?.func_handle();
        guest_call::call(self.model, store, handle, (request, response))
    }

    /// The size of its memory, in bytes. Linear memory never shrinks, so this is the peak.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.store.data().meter.used_bytes()
    }
}

fn exported<'a, I>(indices: Option<&'a I>, what: &str) -> wasmtime::Result<&'a I> {
    indices.ok_or_else(|| wasmtime::Error::msg(format!("it does not export an {what}")))
}

fn looked_up<'a, G>(
    slot: &'a mut Option<G>,
    store: &mut Store<InstanceData>,
    load: impl FnOnce(&mut Store<InstanceData>) -> wasmtime::Result<G>,
) -> wasmtime::Result<&'a G> {
    match slot {
        Some(guest) => Ok(guest),
        none => Ok(none.insert(load(store)?)),
    }
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Instance").field("calls", &self.calls).finish_non_exhaustive()
    }
}
