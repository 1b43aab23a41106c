//! References between objects: whether they are permitted, whether they resolve, and to what.

pub(crate) mod backends;
pub(crate) mod certificates;
pub(crate) mod endpoints;
pub(crate) mod grants;
pub(crate) mod policies;
pub(crate) mod resolver;
