//! Drafts of standard interfaces that other hosts offer, besides those of the contract. They differ in names
//! and in the cursors for listing keys. All use the same state and configuration.

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Linker, LinkerInstance, Lower, Resource, ResourceType};

use crate::plugin::bindings::resources::Bucket;
use crate::plugin::bindings::wasi::config::store as config;
use crate::plugin::bindings::wasi::keyvalue::{atomics, store};
use crate::plugin::bindings::wasi::logging::logging;
use crate::plugin::invocation::InvocationContext;

/// `wasi:keyvalue` as wasmtime and Spin offer it.
const KEYVALUE: &str = "0.2.0-draft";
/// `wasi:keyvalue` as in the contract, which lacks only `batch`. Two versions of the draft have this name.
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

type Store<'a> = StoreContextMut<'a, InvocationContext>;
type CallResult<T> = wasmtime::Result<(Result<T, store::Error>,)>;

/// Links the drafts.
pub(super) fn link(linker: &mut Linker<InvocationContext>) -> wasmtime::Result<()> {
    link_store(&mut linker.instance(&format!("wasi:keyvalue/store@{KEYVALUE}"))?)?;
    link_atomics(&mut linker.instance(&format!("wasi:keyvalue/atomics@{KEYVALUE}"))?)?;
    for draft in [KEYVALUE, KEYVALUE_CONTRACT] {
        let mut batch = linker.instance(&format!("wasi:keyvalue/batch@{draft}"))?;
        link_batch(&mut batch)?;
        link_get_many(&mut batch, |(key, value)| value.map(|value| (key, value)))?;
    }
    for name in CONFIG {
        link_config(&mut linker.instance(name)?)?;
    }
    for name in LOGGING {
        link_logging(&mut linker.instance(name)?)?;
    }
    Ok(())
}

/// Links the later version of an interface instead of the earlier one of the same name. It also returns keys without a
/// value.
pub(super) fn link_later(linker: &mut Linker<InvocationContext>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut batch = linker.instance(&format!("wasi:keyvalue/batch@{KEYVALUE_CONTRACT}"))?;
    link_get_many(&mut batch, |entry| entry)?;
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

fn link_store(interface: &mut LinkerInstance<'_, InvocationContext>) -> wasmtime::Result<()> {
    use store::{Host, HostBucket};
    type Key = (Resource<Bucket>, String);
    interface.resource("bucket", ResourceType::host::<Bucket>(), |mut store, number| {
        HostBucket::drop(store.data_mut(), Resource::new_own(number))
    })?;
    interface.func_wrap("open", |mut store: Store<'_>, (name,): (String,)| -> CallResult<Resource<Bucket>> {
        Ok((Host::open(store.data_mut(), name)?,))
    })?;
    interface.func_wrap(
        "[method]bucket.get",
        |mut store: Store<'_>, (bucket, key): Key| -> CallResult<Option<Vec<u8>>> {
            Ok((HostBucket::get(store.data_mut(), bucket, key)?,))
        },
    )?;
    let set = |mut store: Store<'_>, (bucket, key, value): (Resource<Bucket>, String, Vec<u8>)| -> CallResult<()> {
        Ok((HostBucket::set(store.data_mut(), bucket, key, value)?,))
    };
    interface.func_wrap("[method]bucket.set", set)?;
    interface.func_wrap("[method]bucket.delete", |mut store: Store<'_>, (bucket, key): Key| -> CallResult<()> {
        Ok((HostBucket::delete(store.data_mut(), bucket, key)?,))
    })?;
    interface.func_wrap("[method]bucket.exists", |mut store: Store<'_>, (bucket, key): Key| -> CallResult<bool> {
        Ok((HostBucket::exists(store.data_mut(), bucket, key)?,))
    })?;
    let list_keys = |mut store: Store<'_>, (_, cursor): (Resource<Bucket>, Option<u64>)| -> CallResult<Page> {
        Ok((page(store.data_mut(), cursor)?,))
    };
    interface.func_wrap("[method]bucket.list-keys", list_keys)
}

/// The page of keys at a cursor. The cursors of the contract are keys. Those of the draft are numbers, which index the
/// keys that this invocation has received.
fn page(invocation: &mut InvocationContext, cursor: Option<u64>) -> wasmtime::Result<Result<Page, store::Error>> {
    let after = match cursor {
        None => None,
        Some(number) => match usize::try_from(number).ok().and_then(|index| invocation.cursors.get(index)) {
            Some(key) => Some(key.clone()),
            None => return Ok(Err(store::Error::Other(format!("cursor {number} does not exist")))),
        },
    };
    // There is only one bucket.
    let page = store::HostBucket::list_keys(invocation, Resource::new_borrow(0), after)?;
    Ok(page.and_then(|store::KeyResponse { keys, cursor }| match cursor {
        Some(_) if invocation.cursors.len() == CURSORS => {
            Err(store::Error::Other(format!("an invocation may list at most {CURSORS} pages of keys")))
        }
        Some(key) => {
            invocation.cursors.push(key);
            Ok(Page { keys, cursor: Some(invocation.cursors.len() as u64 - 1) })
        }
        None => Ok(Page { keys, cursor: None }),
    }))
}

fn link_atomics(interface: &mut LinkerInstance<'_, InvocationContext>) -> wasmtime::Result<()> {
    type Addition = (Resource<Bucket>, String, u64);
    interface.func_wrap("increment", |mut store: Store<'_>, (bucket, key, delta): Addition| -> CallResult<u64> {
        let other = |reason: &str| store::Error::Other(reason.to_owned());
        let Ok(delta) = i64::try_from(delta) else { return Ok((Err(other("the delta is out of the range of s64")),)) };
        let sum = atomics::Host::increment(store.data_mut(), bucket, key, delta)?;
        Ok((sum.and_then(|sum| u64::try_from(sum).map_err(|_| other("the sum is negative"))),))
    })
}

type Keys = (Resource<Bucket>, Vec<String>);
type Pair = (String, Vec<u8>);

/// Borrows the bucket for another call.
fn borrow(bucket: &Resource<Bucket>) -> Resource<Bucket> {
    Resource::new_borrow(bucket.rep())
}

fn link_get_many<T>(
    interface: &mut LinkerInstance<'_, InvocationContext>,
    entry: fn((String, Option<Vec<u8>>)) -> T,
) -> wasmtime::Result<()>
where
    T: ComponentType + Lower + Send + Sync + 'static,
{
    use store::HostBucket;
    interface.func_wrap("get-many", move |mut store: Store<'_>, (bucket, keys): Keys| -> CallResult<Vec<T>> {
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

fn link_batch(interface: &mut LinkerInstance<'_, InvocationContext>) -> wasmtime::Result<()> {
    use store::HostBucket;
    interface.func_wrap("set-many", |mut store: Store<'_>, (bucket, pairs): (_, Vec<Pair>)| -> CallResult<()> {
        for (key, value) in pairs {
            if let Err(error) = HostBucket::set(store.data_mut(), borrow(&bucket), key, value)? {
                return Ok((Err(error),));
            }
        }
        Ok((Ok(()),))
    })?;
    interface.func_wrap("delete-many", |mut store: Store<'_>, (bucket, keys): Keys| -> CallResult<()> {
        for key in keys {
            if let Err(error) = HostBucket::delete(store.data_mut(), borrow(&bucket), key)? {
                return Ok((Err(error),));
            }
        }
        Ok((Ok(()),))
    })
}

fn link_config(interface: &mut LinkerInstance<'_, InvocationContext>) -> wasmtime::Result<()> {
    interface
        .func_wrap("get", |mut store: Store<'_>, (key,): (String,)| Ok((config::Host::get(store.data_mut(), key)?,)))?;
    interface.func_wrap("get-all", |mut store: Store<'_>, (): ()| Ok((config::Host::get_all(store.data_mut())?,)))
}

fn link_logging(interface: &mut LinkerInstance<'_, InvocationContext>) -> wasmtime::Result<()> {
    type Line = (logging::Level, String, String);
    interface.func_wrap("log", |mut store: Store<'_>, (level, context, message): Line| {
        logging::Host::log(store.data_mut(), level, context, message)
    })
}
