//! What the server counts about itself.

use controller::Runtime;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Labels {
    verb: &'static str,
    code: u32,
}

/// Counters of requests by verb and code: both are small, fixed sets.
pub struct Metrics {
    requests: Family<Labels, Counter>,
}

impl Metrics {
    pub fn register(runtime: &Runtime) -> Self {
        let requests = Family::<Labels, Counter>::default();
        runtime.metrics.lock().register("apiserver_request", "Requests answered, by verb and code", requests.clone());
        Self { requests }
    }

    pub fn count(&self, verb: &'static str, code: u16) {
        self.requests.get_or_create(&Labels { verb, code: u32::from(code) }).inc();
    }
}
