//! Portolan: proxy.
