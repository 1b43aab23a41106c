//! Places where tests make the process die, to see that what was half done is done by the next one.

/// Dies here if the environment's `FAILPOINTS` says so (`NAME=return`; <https://docs.rs/fail>); does nothing unless the
/// program was built for tests of it.
pub fn fail_point(step: &str, kind: &str) {
    #[cfg(feature = "fail-points")]
    fail::fail_point!(&format!("{step}-{kind}"), |_| std::process::abort());
    #[cfg(not(feature = "fail-points"))]
    let _ = (step, kind);
}

/// Reads what the environment says.
pub fn set_up() {
    #[cfg(feature = "fail-points")]
    std::mem::forget(fail::FailScenario::setup());
}
