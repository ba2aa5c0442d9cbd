//! The reconciler runtime: caches fed by watches, a queue of keys, back-off, a clock.
//!
//! A [`Controller`] maps changes in [`Cache`]s to keys and reconciles each key, never one key twice at
//! once, again after an error with growing delay, and again when the reconcile asks for it. It knows
//! no kind by name. Time is the [`Clock`]'s, so that a simulation can move it.

mod cache;
mod clock;
pub mod memory;
mod queue;
mod runtime;

pub use cache::{Cache, Change, Key};
pub use clock::Clock;
pub use queue::{Controller, Next};
pub use runtime::Runtime;
