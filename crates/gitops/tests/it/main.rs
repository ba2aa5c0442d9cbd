//! Syncs told as stories: an Application, what Git holds, a cluster; then what is done, look by look.

mod cluster;
mod sync;
mod waves;
