//! Where Portolan's objects come from: a directory of YAML, read as `kubectl apply` and the API server would, or the
//! Kubernetes API; both watched. Every source yields the same [`Objects`]; what they mean is `translate`'s business.
#![forbid(unsafe_code)]

mod admit;
mod directory;
mod kinds;
pub mod kubernetes;
mod ledger;
mod places;
mod problem;
mod reading;
mod walk;
pub mod watch;
pub mod yaml;

pub use directory::{Directory, Loaded, ModuleStamp};
pub use kinds::{Kind, Object, Scope};
pub use places::{FieldPath, Places, Position, Step};
pub use portolan_translate::objects::{ObjectName, Objects};
pub use problem::{Effect, Note, ObjectId, Origin, Problem};
pub use reading::{DOCUMENTS_MAX, FILE_BYTES_MAX, TOTAL_BYTES_MAX};
pub use walk::{DIRECTORIES_MAX, DIRECTORY_DEPTH_MAX, FILES_MAX};
pub use yaml::parse_str;
