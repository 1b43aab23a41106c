//! Portolan: telemetry.
