//! PersistentVolumeClaim: its phase.

use serde_json::Value;

use super::{Health, degraded, healthy, progressing, unknown};
use crate::text;

pub(super) fn health(object: &Value) -> Health {
    match text(object, "/status/phase") {
        "Bound" => healthy(""),
        "Pending" => progressing("not bound yet"),
        "Lost" => degraded("the volume is lost"),
        _ => unknown(""),
    }
}

#[cfg(test)]
mod tests {
    use crate::health::tests::check;

    #[test]
    fn the_phase_decides() {
        let of = |phase: &str| format!("{{apiVersion: v1, kind: PersistentVolumeClaim, status: {{phase: {phase}}}}}");
        check(&of("Bound"), "Healthy");
        check(&of("Pending"), "Progressing: not bound yet");
        check(&of("Lost"), "Degraded: the volume is lost");
        check(&of("Odd"), "Unknown");
    }
}
