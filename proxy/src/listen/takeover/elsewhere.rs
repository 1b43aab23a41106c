//! Where there are no Unix sockets: every call is refused with a message.

use super::{Inherited, TakeoverError};
use crate::listen::Listeners;
use std::path::Path;

/// Sockets of the process before. There are none here.
#[derive(Debug)]
pub enum Takeover {}

/// Hands sockets over. It never does here.
#[derive(Debug)]
pub enum TakeoverServer {}

impl Takeover {
    /// Refused.
    ///
    /// # Errors
    /// Always.
    pub async fn begin(_path: &Path) -> Result<Self, TakeoverError> {
        Err(TakeoverError::Unsupported)
    }

    /// None.
    pub fn sockets(&mut self) -> Vec<Inherited> {
        match *self {}
    }

    /// Cannot be called.
    ///
    /// # Errors
    /// None.
    pub async fn ready(self, _listeners: &Listeners) -> Result<(), TakeoverError> {
        match self {}
    }
}

impl TakeoverServer {
    /// Refused.
    ///
    /// # Errors
    /// Always.
    pub fn bind(_path: &Path) -> Result<Self, TakeoverError> {
        Err(TakeoverError::Unsupported)
    }

    /// Cannot be called.
    pub async fn handed_over(self, _listeners: &Listeners) {
        match self {}
    }
}
