use std::sync::{Arc, Mutex, PoisonError};

use sparrow_http::{Server, Snapshot};
use tokio::sync::watch;

/// Publishes snapshots of the data, and variants of them with live statistics.
#[derive(Debug)]
pub(crate) struct Publisher {
    server: Arc<Server>,
    /// The last snapshot without live statistics.
    base: watch::Sender<Option<Arc<Snapshot>>>,
    /// Held while a snapshot is compared and published.
    order: Mutex<()>,
}

impl Publisher {
    pub(crate) fn new(server: Arc<Server>) -> Self {
        Self { server, base: watch::Sender::new(None), order: Mutex::new(()) }
    }

    /// Publishes new data.
    pub(crate) fn publish(&self, snapshot: Arc<Snapshot>) {
        let _order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        self.base.send_replace(Some(Arc::clone(&snapshot)));
        self.server.publish(snapshot);
    }

    /// Publishes a variant of `base`, unless other data were published since.
    pub(super) fn publish_variant(&self, base: &Arc<Snapshot>, variant: Snapshot) {
        let _order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        if self.base.borrow().as_ref().is_some_and(|current| Arc::ptr_eq(current, base)) {
            self.server.publish(Arc::new(variant));
        }
    }

    /// The snapshots without live statistics.
    pub(super) fn subscribe(&self) -> watch::Receiver<Option<Arc<Snapshot>>> {
        self.base.subscribe()
    }
}
