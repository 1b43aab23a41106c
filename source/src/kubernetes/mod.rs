//! Objects of a cluster: watched by selections, pruned on arrival, and published as one view. Relists, expired watches
//! and an API server that is away change nothing in what was seen last.

mod arrive;
mod follow;
mod selection;
mod state;
mod trouble;

pub use follow::{Follower, follow};
pub use selection::{ROUTING_KINDS, Selection};
pub use state::{Observation, Observed, Unreadable, View};
pub use trouble::{Complaints, Trouble, TroubleKind};
