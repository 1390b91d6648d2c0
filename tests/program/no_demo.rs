//! A build without the feature `demo` says so, and puts no server into a client that could not start.

use crate::common::agent::Agent;

#[test]
fn the_demo_is_refused_with_the_remedy() {
    for arguments in [
        ["--demo"].as_slice(),
        &["--install", "cursor", "--demo", "--dry-run"],
    ] {
        let (code, log) = Agent::with_args(arguments).finish();
        assert_eq!(code, Some(1), "{log}");
        let words = "this program was built without the demo; build it with the feature `demo`, or use a broker of yours: `mcpmqtt --init`";
        assert!(log.contains(words), "{log}");
    }
}
