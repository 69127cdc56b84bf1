//! Waits for the failure of a bus.

use tokio::sync::watch;

/// Waits until a bus has failed, and returns the reason. Waits forever if it never fails.
pub(super) async fn wait_for_failure(mut failure: watch::Receiver<Option<String>>) -> String {
    loop {
        if let Some(reason) = failure.borrow_and_update().clone() {
            return reason;
        }
        if failure.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
