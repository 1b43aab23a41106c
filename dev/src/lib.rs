//! Portolan: dev.
