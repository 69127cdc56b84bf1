//! Calls functions of guests, in the way that their engine needs.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Instant;

use tokio::time::timeout_at;
use wasmtime::component::{Accessor, ComponentNamedList, Lift, Lower, TypedFunc};
use wasmtime::{Result, Store, Trap};
use wasmtime_wasi::runtime::with_ambient_tokio_runtime;

use super::InstanceData;

/// How the calls of an engine's guests run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallModel {
    /// A call occupies its thread until the guest returns. This costs least.
    Synchronous,
    /// A call runs on its own stack, and the tasks of its guest take turns on its thread, as WASI 0.3 requires.
    Concurrent,
}

/// Calls a function. Blocks until it returns.
///
/// # Errors
/// A trap of the guest.
pub(crate) fn call<P, R>(
    model: CallModel,
    store: &mut Store<InstanceData>,
    function: TypedFunc<P, R>,
    parameters: P,
) -> Result<R>
where
    P: ComponentNamedList + Lower + Send + Sync,
    R: ComponentNamedList + Lift + Send + Sync + 'static,
{
    match model {
        CallModel::Synchronous => function.call(store, parameters),
        CallModel::Concurrent => drive(store.data().until, function.call_async(store, parameters))?,
    }
}

/// Runs a concurrent call on this thread until it ends. At the deadline the guest is interrupted, like one that runs
/// too long: epochs interrupt only a guest that runs, but not one that waits.
///
/// Imports that block use the runtime from within the call. The runtime forbids that within its own `block_on`, so the
/// call is polled here.
///
/// # Errors
/// An interruption at the deadline.
pub(crate) fn drive<T>(deadline: Instant, call: impl Future<Output = T>) -> Result<T> {
    with_ambient_tokio_runtime(|| {
        let mut call = pin!(timeout_at(deadline.into(), call));
        let waker = Waker::from(Arc::new(ThreadWaker(thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            match call.as_mut().poll(&mut context) {
                Poll::Ready(ended) => return ended.map_err(|_| Trap::Interrupt.into()),
                Poll::Pending => thread::park(),
            }
        }
    })
}

/// Waits until all tasks of an instance have ended. Some of them may outlive the function that started them.
pub(crate) async fn tasks_ended(accessor: &Accessor<InstanceData>) {
    poll_fn(|context| accessor.poll_no_interesting_tasks(context)).await;
}

/// Wakes a thread that is parked.
struct ThreadWaker(Thread);

impl Wake for ThreadWaker {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use wasmtime_wasi::runtime::in_tokio;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(5)
    }

    #[test]
    fn a_call_ends_at_its_deadline() {
        let error = drive(soon(), std::future::pending::<()>()).unwrap_err();
        assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::Interrupt));
    }

    #[test]
    fn a_call_may_wait_for_other_threads_and_block_on_the_runtime() {
        let call = async {
            tokio::task::yield_now().await;
            let sum = tokio::spawn(async { 40 }).await.unwrap();
            sum + in_tokio(async { tokio::spawn(async { 2 }).await.unwrap() })
        };
        assert_eq!(drive(Instant::now() + Duration::from_secs(60), call).unwrap(), 42);
    }
}
