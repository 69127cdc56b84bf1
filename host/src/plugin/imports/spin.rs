//! Key-value stores and variables of Spin, for components that were built for it: the plugin's state and configuration.
//! Version 2 of the interfaces is synchronous (Spin 2 and 3), and version 3 is asynchronous (Spin 4).

use std::time::Instant;

use wasmtime::component::{
    ComponentNamedList, ComponentType, FutureReader, Lift, Linker, LinkerInstance, Lower, Resource, ResourceType,
    StreamReader,
};
use wasmtime::{AsContextMut, StoreContextMut, Trap};

use crate::plugin::bindings::resources::Bucket;
use crate::plugin::bindings::wasi::keyvalue::store::{self, Host as _, HostBucket as _};
use crate::plugin::invocation::InstanceData;
use crate::plugin::invocation::guest_call::CallModel;

/// The maximum size of all keys in one answer, because the host collects them before the instance receives them.
const KEYS_BYTES: usize = 16 << 20;

type Store = Resource<Bucket>;
type Key = (Store, String);

/// Links version 2.
pub(super) fn link(linker: &mut Linker<InstanceData>) -> wasmtime::Result<()> {
    let model = CallModel::Synchronous;
    let mut stores = linker.instance("fermyon:spin/key-value@2.0.0")?;
    link_stores(&mut Functions { interface: &mut stores, model })?;
    stores.func_wrap("[method]store.get-keys", |mut store: StoreContextMut<'_, InstanceData>, (this,): (Store,)| {
        let keys = keys(store.data_mut(), &this)?;
        Ok((keys.map(|keys| keys.names),))
    })?;
    link_variables(&mut Functions { interface: &mut linker.instance("fermyon:spin/variables@2.0.0")?, model })
}

/// Links version 3.
pub(super) fn link_concurrent(linker: &mut Linker<InstanceData>) -> wasmtime::Result<()> {
    let model = CallModel::Concurrent;
    let mut stores = linker.instance("spin:key-value/key-value@3.0.0")?;
    link_stores(&mut Functions { interface: &mut stores, model })?;
    stores.func_wrap_concurrent("[method]store.get-keys", |accessor, (this,): (Store,)| {
        let listed = accessor.with(|store| stream_keys(store, &this));
        Box::pin(async { listed })
    })?;
    link_variables(&mut Functions { interface: &mut linker.instance("spin:variables/variables@3.0.0")?, model })
}

/// The functions of an interface. Those of version 3 are asynchronous, but none of them waits.
struct Functions<'a, 'b> {
    interface: &'a mut LinkerInstance<'b, InstanceData>,
    model: CallModel,
}

impl Functions<'_, '_> {
    fn add<P, R>(&mut self, name: &str, call: fn(&mut InstanceData, P) -> wasmtime::Result<R>) -> wasmtime::Result<()>
    where
        P: ComponentNamedList + Lift + 'static,
        R: ComponentNamedList + Lower + Send + 'static,
    {
        match self.model {
            CallModel::Synchronous => {
                self.interface.func_wrap(name, move |mut store: StoreContextMut<'_, InstanceData>, parameters: P| {
                    call(store.data_mut(), parameters)
                })
            }
            CallModel::Concurrent => self.interface.func_wrap_concurrent(name, move |accessor, parameters: P| {
                let result = accessor.with(|mut store| call(store.data_mut(), parameters));
                Box::pin(async { result })
            }),
        }
    }
}

fn link_stores(functions: &mut Functions<'_, '_>) -> wasmtime::Result<()> {
    functions.interface.resource("store", ResourceType::host::<Bucket>(), |mut store, number| {
        store::HostBucket::drop(store.data_mut(), Resource::new_own(number))
    })?;
    functions.add("[static]store.open", |instance, (label,): (String,)| {
        Ok((instance.open(label)?.map_err(StoreError::from),))
    })?;
    functions.add("[method]store.get", |instance, (this, key): Key| {
        Ok((instance.get(this, key)?.map_err(StoreError::from),))
    })?;
    functions.add("[method]store.set", |instance, (this, key, value): (Store, String, Vec<u8>)| {
        Ok((instance.set(this, key, value)?.map_err(StoreError::from),))
    })?;
    functions.add("[method]store.delete", |instance, (this, key): Key| {
        Ok((instance.delete(this, key)?.map_err(StoreError::from),))
    })?;
    functions.add("[method]store.exists", |instance, (this, key): Key| {
        Ok((instance.exists(this, key)?.map_err(StoreError::from),))
    })
}

/// A variable is an entry of the plugin's configuration.
fn link_variables(functions: &mut Functions<'_, '_>) -> wasmtime::Result<()> {
    functions.add("get", |instance, (name,): (String,)| {
        let value = instance.invocation()?.settings.config.get(&name).cloned();
        let undefined = || VariableError::Undefined(format!("`{name}` is not in the plugin's configuration"));
        Ok((value.ok_or_else(undefined),))
    })
}

/// Why a call to a store failed.
#[derive(Debug, ComponentType, Lift, Lower)]
#[component(variant)]
enum StoreError {
    #[component(name = "store-table-full")]
    StoreTableFull,
    #[component(name = "no-such-store")]
    NoSuchStore,
    #[component(name = "access-denied")]
    AccessDenied,
    #[component(name = "other")]
    Other(String),
}

impl From<store::Error> for StoreError {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::NoSuchStore => Self::NoSuchStore,
            store::Error::AccessDenied => Self::AccessDenied,
            store::Error::Other(reason) => Self::Other(reason),
        }
    }
}

/// Why a variable has no value.
#[derive(Debug, ComponentType, Lift, Lower)]
#[component(variant)]
enum VariableError {
    #[component(name = "invalid-name")]
    InvalidName(String),
    #[component(name = "undefined")]
    Undefined(String),
    #[component(name = "provider")]
    Provider(String),
    #[component(name = "other")]
    Other(String),
}

/// All keys of a store.
#[derive(Default)]
struct Keys {
    names: Vec<String>,
    /// The memory that they take.
    bytes: usize,
}

/// Lists all keys. The time that this takes counts as the invocation's.
fn keys(instance: &mut InstanceData, this: &Store) -> wasmtime::Result<Result<Keys, StoreError>> {
    let (mut keys, mut cursor) = (Keys::default(), None);
    loop {
        if Instant::now() >= instance.until {
            return Err(Trap::Interrupt.into());
        }
        let page = match instance.list_keys(Resource::new_borrow(this.rep()), cursor)? {
            Ok(page) => page,
            Err(error) => return Ok(Err(error.into())),
        };
        keys.bytes += page.keys.iter().map(|key| key.len() + size_of::<String>()).sum::<usize>();
        if keys.bytes > KEYS_BYTES {
            let reason =
                format!("the keys have more than {KEYS_BYTES} bytes; list them with `wasi:keyvalue`, in pages");
            return Ok(Err(StoreError::Other(reason)));
        }
        keys.names.extend(page.keys);
        match page.cursor {
            Some(next) => cursor = Some(next),
            None => return Ok(Ok(keys)),
        }
    }
}

/// The result of listing keys in version 3: the keys, and whether they are complete.
type StreamedKeys = (StreamReader<String>, FutureReader<Result<(), StoreError>>);

fn stream_keys(mut store: impl AsContextMut<Data = InstanceData>, this: &Store) -> wasmtime::Result<(StreamedKeys,)> {
    let mut store = store.as_context_mut();
    let instance = store.data_mut();
    let (names, ended) = match keys(instance, this)? {
        Ok(Keys { names, bytes }) => {
            // The host holds the keys until the instance has read them.
            instance.meter.account(0, bytes)?;
            (names, Ok(()))
        }
        Err(error) => (Vec::new(), Err(error)),
    };
    let stream = StreamReader::new(&mut store, names)?;
    let ended = FutureReader::new(&mut store, async { Ok::<_, wasmtime::Error>(ended) })?;
    Ok(((stream, ended),))
}
