//! The floor: the registration handler in a bare loop over wasmtime, with imports that do nothing.

use sandbus_host::event::Event;
use wasmtime::component::{Component, HasSelf, Linker, Resource};
use wasmtime::{Config, Engine, Store};

use bindings::exports::sandbus::plugin::event_handler::GuestIndices;
use bindings::sandbus::plugin::{bus, types};
use bindings::wasi::clocks::wall_clock;
use bindings::wasi::config::store as config;
use bindings::wasi::keyvalue::{atomics, store};
use bindings::wasi::logging::logging;
use bindings::wasi::random::random;
use numbers_bindings::sandbus::plugin0_2_0::numbers;

#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated code")]
mod bindings {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "plugin",
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}

#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated code")]
mod numbers_bindings {
    wasmtime::component::bindgen!({
        path: ["../wit", "../wit/0.2.0"],
        world: "sandbus:plugin/additions@0.2.0",
    });
}

pub(crate) struct Floor {
    engine: Engine,
    pre: wasmtime::component::InstancePre<Nothing>,
    handler: GuestIndices,
}

impl Floor {
    pub(crate) fn new(bytes: &[u8], settings: &Config) -> Self {
        let engine = Engine::new(settings).unwrap();
        let mut linker = Linker::new(&engine);
        bindings::Plugin::add_to_linker::<_, HasSelf<Nothing>>(&mut linker, |nothing| nothing).unwrap();
        numbers::add_to_linker::<_, HasSelf<Nothing>>(&mut linker, |nothing| nothing).unwrap();
        let pre = linker.instantiate_pre(&Component::new(&engine, bytes).unwrap()).unwrap();
        let handler = GuestIndices::new(&pre).unwrap();
        Self { engine, pre, handler }
    }

    pub(crate) fn call(&self, event: &Event) {
        let mut store = Store::new(&self.engine, Nothing);
        store.set_epoch_deadline(1_000);
        let instance = self.pre.instantiate(&mut store).unwrap();
        let delivery = types::Delivery {
            event: types::Event {
                id: &event.id,
                source: &event.source,
                type_: &event.event_type,
                subject: None,
                time: None,
                datacontenttype: event.datacontenttype.as_deref(),
                dataschema: None,
                extensions: &[],
                data: event.data.as_deref(),
            },
            subscription: "user_registered",
            attempt: 1,
            replay: false,
        };
        let handler = self.handler.load(&mut store, &instance).unwrap();
        handler.call_handle(&mut store, delivery).unwrap().unwrap();
    }
}

struct Nothing;

impl types::Host for Nothing {}
impl bindings::sandbus::plugin::rules::Host for Nothing {}

impl bus::Host for Nothing {
    fn publish(&mut self, _: bus::Message) -> Result<String, bus::Error> {
        Ok("1".to_owned())
    }

    fn publish_many(&mut self, _: Vec<bus::Message>) -> Result<Vec<String>, bus::Error> {
        Ok(Vec::new())
    }

    fn cancel(&mut self, _: String) -> Result<(), bus::Error> {
        Ok(())
    }

    fn reply(&mut self, _: String, _: String, _: u64) -> Result<(), bus::Error> {
        Ok(())
    }

    fn subscribe(&mut self, _: bus::Subscription) -> Result<(), bus::Error> {
        Ok(())
    }

    fn unsubscribe(&mut self, _: String) -> Result<(), bus::Error> {
        Ok(())
    }
}

impl store::Host for Nothing {
    fn open(&mut self, _: String) -> Result<Resource<store::Bucket>, store::Error> {
        Ok(Resource::new_own(1))
    }
}

impl store::HostBucket for Nothing {
    fn get(&mut self, _: Resource<store::Bucket>, _: String) -> Result<Option<Vec<u8>>, store::Error> {
        Ok(None)
    }

    fn set(&mut self, _: Resource<store::Bucket>, _: String, _: Vec<u8>) -> Result<(), store::Error> {
        Ok(())
    }

    fn delete(&mut self, _: Resource<store::Bucket>, _: String) -> Result<(), store::Error> {
        Ok(())
    }

    fn exists(&mut self, _: Resource<store::Bucket>, _: String) -> Result<bool, store::Error> {
        Ok(false)
    }

    fn list_keys(&mut self, _: Resource<store::Bucket>, _: Option<String>) -> Result<store::KeyResponse, store::Error> {
        Ok(store::KeyResponse { keys: Vec::new(), cursor: None })
    }

    fn drop(&mut self, _: Resource<store::Bucket>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl atomics::Host for Nothing {
    fn increment(&mut self, _: Resource<store::Bucket>, _: String, delta: i64) -> Result<i64, store::Error> {
        Ok(delta)
    }

    fn swap(&mut self, _: Resource<atomics::Cas>, _: Vec<u8>) -> Result<(), atomics::CasError> {
        Ok(())
    }
}

impl atomics::HostCas for Nothing {
    fn new(&mut self, _: Resource<store::Bucket>, _: String) -> Result<Resource<atomics::Cas>, store::Error> {
        Ok(Resource::new_own(1))
    }

    fn current(&mut self, _: Resource<atomics::Cas>) -> Result<Option<Vec<u8>>, store::Error> {
        Ok(None)
    }

    fn drop(&mut self, _: Resource<atomics::Cas>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl numbers::Host for Nothing {
    fn add(&mut self, _: String, _: i64) -> Result<(), numbers::Error> {
        Ok(())
    }

    fn sequence(&mut self, _: String) -> Result<u64, numbers::Error> {
        Ok(1)
    }
}

impl config::Host for Nothing {
    fn get(&mut self, key: String) -> Result<Option<String>, config::Error> {
        Ok((key == "greeting").then(|| "Welcome".to_owned()))
    }

    fn get_all(&mut self) -> Result<Vec<(String, String)>, config::Error> {
        Ok(Vec::new())
    }
}

impl logging::Host for Nothing {
    fn log(&mut self, _: logging::Level, _: String, _: String) {}
}

impl wall_clock::Host for Nothing {
    fn now(&mut self) -> wall_clock::Datetime {
        wall_clock::Datetime { seconds: 0, nanoseconds: 0 }
    }

    fn resolution(&mut self) -> wall_clock::Datetime {
        wall_clock::Datetime { seconds: 0, nanoseconds: 1 }
    }
}

impl random::Host for Nothing {
    fn get_random_bytes(&mut self, len: u64) -> Vec<u8> {
        vec![0; usize::try_from(len).unwrap()]
    }

    fn get_random_u64(&mut self) -> u64 {
        0
    }
}
