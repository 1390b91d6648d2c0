//! The size of the long tests.

/// Whether the long tests run at their full size: when `MCPMQTT_TEST_FULL` is set.
pub fn full_size() -> bool {
    std::env::var_os("MCPMQTT_TEST_FULL").is_some_and(|value| !value.is_empty())
}
