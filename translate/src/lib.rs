//! Portolan: translate.
