//! `wasi:keyvalue`: the plugin's state, as one bucket. An import with a label has a bucket with a part of it.

use std::sync::Arc;

use wasmtime::component::{HasSelf, Linker, Resource};

use crate::plugin::bindings::resources::{Bucket, Cas};
use crate::plugin::bindings::wasi::keyvalue::{atomics, store};
use crate::plugin::invocation::InstanceData;

/// Links the interfaces.
pub(super) fn link(linker: &mut Linker<InstanceData>) -> wasmtime::Result<()> {
    store::add_to_linker::<_, HasSelf<InstanceData>>(linker, |instance| instance)?;
    atomics::add_to_linker::<_, HasSelf<InstanceData>>(linker, |instance| instance)
}

impl InstanceData {
    /// Opens the bucket of the imports without a label, or that of a label. Its name is `default` or empty, or equals
    /// the label.
    pub(super) fn open_bucket(
        &mut self,
        identifier: &str,
        label: Option<&str>,
    ) -> wasmtime::Result<Result<Resource<Bucket>, store::Error>> {
        let invocation = self.invocation()?;
        if !identifier.is_empty() && identifier != "default" && Some(identifier) != label {
            return Ok(Err(store::Error::NoSuchStore));
        }
        let prefix = label.map(|label| invocation.settings.imports.prefix(label)).unwrap_or_default();
        Ok(Ok(self.table.push(Bucket { prefix: prefix.into() })?))
    }

    /// A key of a bucket, as it is in the state.
    fn key(&self, bucket: &Resource<Bucket>, key: String) -> wasmtime::Result<String> {
        let prefix = &self.table.get(bucket)?.prefix;
        Ok(if prefix.is_empty() { key } else { format!("{prefix}{key}") })
    }
}

impl store::Host for InstanceData {
    fn open(&mut self, identifier: String) -> wasmtime::Result<Result<Resource<Bucket>, store::Error>> {
        self.open_bucket(&identifier, None)
    }
}

impl store::HostBucket for InstanceData {
    fn get(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, store::Error>> {
        let key = self.key(&bucket, key)?;
        Ok(self.invocation()?.buffer.get(&key).map_err(other))
    }

    fn set(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), store::Error>> {
        let key = self.key(&bucket, key)?;
        Ok(self.invocation()?.buffer.set(key, value).map_err(other))
    }

    fn delete(&mut self, bucket: Resource<Bucket>, key: String) -> wasmtime::Result<Result<(), store::Error>> {
        let key = self.key(&bucket, key)?;
        Ok(self.invocation()?.buffer.delete(key).map_err(other))
    }

    fn exists(&mut self, bucket: Resource<Bucket>, key: String) -> wasmtime::Result<Result<bool, store::Error>> {
        let key = self.key(&bucket, key)?;
        Ok(self.invocation()?.buffer.get(&key).map(|value| value.is_some()).map_err(other))
    }

    fn list_keys(
        &mut self,
        bucket: Resource<Bucket>,
        cursor: Option<String>,
    ) -> wasmtime::Result<Result<store::KeyResponse, store::Error>> {
        let prefix = Arc::clone(&self.table.get(&bucket)?.prefix);
        let page = self.invocation()?.buffer.keys_with_prefix(&prefix, cursor.as_deref()).map_err(other);
        Ok(page.map(|(keys, cursor)| store::KeyResponse { keys, cursor }))
    }

    fn drop(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        self.table.delete(bucket)?;
        Ok(())
    }
}

impl InstanceData {
    fn begin_swap(&mut self, cas: Cas) -> wasmtime::Result<Resource<Cas>> {
        self.meter.account(0, cas.size_bytes())?;
        Ok(self.table.push(cas)?)
    }

    fn end_swap(&mut self, cas: Resource<Cas>) -> wasmtime::Result<Cas> {
        let cas = self.table.delete(cas)?;
        self.meter.account(cas.size_bytes(), 0)?;
        Ok(cas)
    }
}

impl atomics::HostCas for InstanceData {
    fn new(&mut self, bucket: Resource<Bucket>, key: String) -> wasmtime::Result<Result<Resource<Cas>, store::Error>> {
        let key = self.key(&bucket, key)?;
        match self.invocation()?.buffer.get(&key) {
            Ok(current) => Ok(Ok(self.begin_swap(Cas { key, current })?)),
            Err(error) => Ok(Err(other(error))),
        }
    }

    fn current(&mut self, cas: Resource<Cas>) -> wasmtime::Result<Result<Option<Vec<u8>>, store::Error>> {
        Ok(Ok(self.table.get(&cas)?.current.clone()))
    }

    fn drop(&mut self, cas: Resource<Cas>) -> wasmtime::Result<()> {
        self.end_swap(cas).map(drop)
    }
}

impl atomics::Host for InstanceData {
    fn increment(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        delta: i64,
    ) -> wasmtime::Result<Result<i64, store::Error>> {
        let key = self.key(&bucket, key)?;
        Ok(self.invocation()?.buffer.increment(key, delta).map_err(other))
    }

    fn swap(&mut self, cas: Resource<Cas>, value: Vec<u8>) -> wasmtime::Result<Result<(), atomics::CasError>> {
        let Cas { key, current } = self.end_swap(cas)?;
        let buffer = &mut self.invocation()?.buffer;
        match buffer.get(&key) {
            // Only this invocation can have changed the value; the commit checks for changes by others.
            Ok(now) if now != current => {
                let again = self.begin_swap(Cas { key, current: now })?;
                Ok(Err(atomics::CasError::CasFailed(again)))
            }
            Ok(_) => Ok(buffer.set(key, value).map_err(|error| atomics::CasError::StoreError(other(error)))),
            Err(error) => Ok(Err(atomics::CasError::StoreError(other(error)))),
        }
    }
}

fn other(reason: impl std::fmt::Display) -> store::Error {
    store::Error::Other(reason.to_string())
}
