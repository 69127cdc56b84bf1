//! Drafts of standard interfaces that other hosts offer, besides those of the contract. They differ in names
//! and in the cursors for listing keys. All use the same state and configuration.

use std::sync::Arc;

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Linker, LinkerInstance, Lower, Resource, ResourceType};

use crate::plugin::bindings::resources::{Bucket, Cas};
use crate::plugin::bindings::wasi::keyvalue::{atomics, store};
use crate::plugin::bindings::wasi::logging::logging;
use crate::plugin::invocation::InstanceData;

/// `wasi:keyvalue` as wasmtime and Spin offer it.
const KEYVALUE: &str = "0.2.0-draft";
/// The version of `wasi:keyvalue` in the contract, which has all of it except `batch`. Two versions of the draft have
/// this name.
const KEYVALUE_CONTRACT: &str = "0.2.0-draft2";
/// The maximum size of one bulk read, because the host collects all values before the instance receives them.
const AT_ONCE_BYTES: usize = 16 << 20;
/// Names of the configuration interface.
const CONFIG: [&str; 3] =
    ["wasi:config/store@0.2.0-draft", "wasi:config/store@0.2.0-draft-2024-09-27", "wasi:config/runtime@0.2.0-draft"];
/// How many pages of keys an invocation may list. The host stores a cursor for each.
const CURSORS: usize = 4_096;
/// Names of the logging interface.
const LOGGING: [&str; 1] = ["wasi:logging/logging"];

type Store<'a> = StoreContextMut<'a, InstanceData>;
type HostCallResult<T> = wasmtime::Result<(Result<T, store::Error>,)>;

/// Links the drafts.
pub(super) fn link(linker: &mut Linker<InstanceData>) -> wasmtime::Result<()> {
    link_store(&mut linker.instance(&format!("wasi:keyvalue/store@{KEYVALUE}"))?, Cursors::Numbers, None)?;
    link_atomics(&mut linker.instance(&format!("wasi:keyvalue/atomics@{KEYVALUE}"))?)?;
    for draft in [KEYVALUE, KEYVALUE_CONTRACT] {
        let mut batch = linker.instance(&format!("wasi:keyvalue/batch@{draft}"))?;
        link_batch(&mut batch, BatchDraft::Earlier)?;
    }
    for name in CONFIG {
        link_config(&mut linker.instance(name)?, None)?;
    }
    for name in LOGGING {
        link_logging(&mut linker.instance(name)?, None)?;
    }
    Ok(())
}

/// Links the later draft of `wasi:keyvalue/batch` instead of the earlier one of the same name. In the later draft,
/// `get-many` also returns keys without a value.
pub(super) fn link_later(linker: &mut Linker<InstanceData>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut batch = linker.instance(&format!("wasi:keyvalue/batch@{KEYVALUE_CONTRACT}"))?;
    link_batch(&mut batch, BatchDraft::Later)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// A page of keys, and the cursor of the next one.
#[derive(ComponentType, Lower)]
#[component(record)]
struct Page {
    keys: Vec<String>,
    cursor: Option<u64>,
}

/// The label of an import, for its functions.
pub(super) type Label = Option<Arc<str>>;

/// The cursors of a version of `wasi:keyvalue`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cursors {
    Numbers,
    Keys,
}

/// The versions of `batch` that have the same name.
#[derive(Clone, Copy, Debug)]
pub(super) enum BatchDraft {
    Earlier,
    Later,
}

/// Links `wasi:keyvalue/store`. Buckets of a label have a part of the state.
pub(super) fn link_store(
    interface: &mut LinkerInstance<'_, InstanceData>,
    cursors: Cursors,
    label: Label,
) -> wasmtime::Result<()> {
    use store::HostBucket;
    type Key = (Resource<Bucket>, String);
    interface.resource("bucket", ResourceType::host::<Bucket>(), |mut store, number| {
        HostBucket::drop(store.data_mut(), Resource::new_own(number))
    })?;
    let open = move |mut store: Store<'_>, (name,): (String,)| -> HostCallResult<Resource<Bucket>> {
        Ok((store.data_mut().open_bucket(&name, label.as_deref())?,))
    };
    interface.func_wrap("open", open)?;
    interface.func_wrap(
        "[method]bucket.get",
        |mut store: Store<'_>, (bucket, key): Key| -> HostCallResult<Option<Vec<u8>>> {
            Ok((HostBucket::get(store.data_mut(), bucket, key)?,))
        },
    )?;
    let set = |mut store: Store<'_>, (bucket, key, value): (Resource<Bucket>, String, Vec<u8>)| -> HostCallResult<()> {
        Ok((HostBucket::set(store.data_mut(), bucket, key, value)?,))
    };
    interface.func_wrap("[method]bucket.set", set)?;
    interface.func_wrap("[method]bucket.delete", |mut store: Store<'_>, (bucket, key): Key| -> HostCallResult<()> {
        Ok((HostBucket::delete(store.data_mut(), bucket, key)?,))
    })?;
    interface.func_wrap(
        "[method]bucket.exists",
        |mut store: Store<'_>, (bucket, key): Key| -> HostCallResult<bool> {
            Ok((HostBucket::exists(store.data_mut(), bucket, key)?,))
        },
    )?;
    const LIST_KEYS: &str = "[method]bucket.list-keys";
    type By<C> = (Resource<Bucket>, Option<C>);
    match cursors {
        Cursors::Numbers => {
            let list = |mut store: Store<'_>, (bucket, cursor): By<u64>| -> HostCallResult<Page> {
                Ok((page(store.data_mut(), bucket, cursor)?,))
            };
            interface.func_wrap(LIST_KEYS, list)
        }
        Cursors::Keys => {
            let list = |mut store: Store<'_>, (bucket, cursor): By<String>| -> HostCallResult<store::KeyResponse> {
                Ok((HostBucket::list_keys(store.data_mut(), bucket, cursor)?,))
            };
            interface.func_wrap(LIST_KEYS, list)
        }
    }
}

/// The page of keys at a cursor. The cursors of the contract are keys. Those of the draft are numbers, which index the
/// keys that this invocation has received.
fn page(
    instance: &mut InstanceData,
    bucket: Resource<Bucket>,
    cursor: Option<u64>,
) -> wasmtime::Result<Result<Page, store::Error>> {
    let after = match cursor {
        None => None,
        Some(number) => match usize::try_from(number).ok().and_then(|index| instance.cursors.get(index)) {
            Some(key) => Some(key.clone()),
            None => return Ok(Err(store::Error::Other(format!("cursor {number} does not exist")))),
        },
    };
    let page = store::HostBucket::list_keys(instance, bucket, after)?;
    Ok(page.and_then(|store::KeyResponse { keys, cursor }| match cursor {
        Some(_) if instance.cursors.len() == CURSORS => {
            Err(store::Error::Other(format!("an invocation may list at most {CURSORS} pages of keys")))
        }
        Some(key) => {
            instance.cursors.push(key);
            Ok(Page { keys, cursor: Some(instance.cursors.len() as u64 - 1) })
        }
        None => Ok(Page { keys, cursor: None }),
    }))
}

pub(super) fn link_atomics(interface: &mut LinkerInstance<'_, InstanceData>) -> wasmtime::Result<()> {
    type Addition = (Resource<Bucket>, String, u64);
    interface.func_wrap("increment", |mut store: Store<'_>, (bucket, key, delta): Addition| -> HostCallResult<u64> {
        let other = |reason: &str| store::Error::Other(reason.to_owned());
        let Ok(delta) = i64::try_from(delta) else { return Ok((Err(other("the delta is out of the range of s64")),)) };
        let sum = atomics::Host::increment(store.data_mut(), bucket, key, delta)?;
        Ok((sum.and_then(|sum| u64::try_from(sum).map_err(|_| other("the sum is negative"))),))
    })
}

/// Links `wasi:keyvalue/atomics` as it is in the contract.
pub(super) fn link_contract_atomics(interface: &mut LinkerInstance<'_, InstanceData>) -> wasmtime::Result<()> {
    use atomics::{Host, HostCas};
    type Swap = (Resource<Cas>, Vec<u8>);
    interface.resource("cas", ResourceType::host::<Cas>(), |mut store, number| {
        HostCas::drop(store.data_mut(), Resource::new_own(number))
    })?;
    let new = |mut store: Store<'_>, (bucket, key): (Resource<Bucket>, String)| -> HostCallResult<Resource<Cas>> {
        Ok((HostCas::new(store.data_mut(), bucket, key)?,))
    };
    interface.func_wrap("[static]cas.new", new)?;
    let current = |mut store: Store<'_>, (cas,): (Resource<Cas>,)| -> HostCallResult<Option<Vec<u8>>> {
        Ok((HostCas::current(store.data_mut(), cas)?,))
    };
    interface.func_wrap("[method]cas.current", current)?;
    type Addition = (Resource<Bucket>, String, i64);
    interface.func_wrap(
        "increment",
        |mut store: Store<'_>, (bucket, key, delta): Addition| -> HostCallResult<i64> {
            Ok((Host::increment(store.data_mut(), bucket, key, delta)?,))
        },
    )?;
    interface
        .func_wrap("swap", |mut store: Store<'_>, (cas, value): Swap| Ok((Host::swap(store.data_mut(), cas, value)?,)))
}

type Keys = (Resource<Bucket>, Vec<String>);
type Pair = (String, Vec<u8>);

/// Borrows the bucket for another call.
fn borrow(bucket: &Resource<Bucket>) -> Resource<Bucket> {
    Resource::new_borrow(bucket.rep())
}

fn link_get_many<T>(
    interface: &mut LinkerInstance<'_, InstanceData>,
    entry: fn((String, Option<Vec<u8>>)) -> T,
) -> wasmtime::Result<()>
where
    T: ComponentType + Lower + Send + Sync + 'static,
{
    use store::HostBucket;
    interface.func_wrap("get-many", move |mut store: Store<'_>, (bucket, keys): Keys| -> HostCallResult<Vec<T>> {
        let (mut found, mut size) = (Vec::with_capacity(keys.len()), 0);
        for key in keys {
            let value = match HostBucket::get(store.data_mut(), borrow(&bucket), key.clone())? {
                Ok(value) => value,
                Err(error) => return Ok((Err(error),)),
            };
            size += key.len() + value.as_ref().map_or(0, Vec::len);
            if size > AT_ONCE_BYTES {
                let reason = format!("one call may read at most {AT_ONCE_BYTES} bytes; read the keys one by one");
                return Ok((Err(store::Error::Other(reason)),));
            }
            found.push(entry((key, value)));
        }
        Ok((Ok(found),))
    })
}

/// Links `wasi:keyvalue/batch`. The later draft also returns keys without a value.
pub(super) fn link_batch(interface: &mut LinkerInstance<'_, InstanceData>, draft: BatchDraft) -> wasmtime::Result<()> {
    use store::HostBucket;
    match draft {
        BatchDraft::Earlier => link_get_many(interface, |(key, value)| value.map(|value| (key, value)))?,
        BatchDraft::Later => link_get_many(interface, |entry| entry)?,
    }
    interface.func_wrap("set-many", |mut store: Store<'_>, (bucket, pairs): (_, Vec<Pair>)| -> HostCallResult<()> {
        for (key, value) in pairs {
            if let Err(error) = HostBucket::set(store.data_mut(), borrow(&bucket), key, value)? {
                return Ok((Err(error),));
            }
        }
        Ok((Ok(()),))
    })?;
    interface.func_wrap("delete-many", |mut store: Store<'_>, (bucket, keys): Keys| -> HostCallResult<()> {
        for key in keys {
            if let Err(error) = HostBucket::delete(store.data_mut(), borrow(&bucket), key)? {
                return Ok((Err(error),));
            }
        }
        Ok((Ok(()),))
    })
}

/// Links `wasi:config`. A label has values of its own.
pub(super) fn link_config(interface: &mut LinkerInstance<'_, InstanceData>, label: Label) -> wasmtime::Result<()> {
    let of_all = label.clone();
    interface.func_wrap("get", move |mut store: Store<'_>, (key,): (String,)| {
        Ok((store.data_mut().config_value(&key, label.as_deref())?,))
    })?;
    interface.func_wrap("get-all", move |mut store: Store<'_>, (): ()| {
        Ok((store.data_mut().all_config_values(of_all.as_deref())?,))
    })
}

/// Links `wasi:logging`. A label is the context of its lines.
pub(super) fn link_logging(interface: &mut LinkerInstance<'_, InstanceData>, label: Label) -> wasmtime::Result<()> {
    type Line = (logging::Level, String, String);
    interface.func_wrap("log", move |mut store: Store<'_>, (level, context, message): Line| {
        let instance = store.data_mut();
        let context = match &label {
            Some(label) => instance.labelled_context(label, &context),
            None => context,
        };
        logging::Host::log(instance, level, context, message)
    })
}
