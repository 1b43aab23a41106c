//! Portolan: source.
