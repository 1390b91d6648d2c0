//! Hosts and origins: which there are, which are this machine, and how they are written.
#![allow(clippy::unwrap_used)]

use mcpmqtt_config::{Host, Origin};

fn host(text: &str) -> Host {
    Host::parse(text).unwrap_or_else(|| panic!("{text} is a host"))
}

#[test]
fn a_host_is_written_as_it_can_be_read_again() {
    for (text, written) in [
        ("Gateway.LAN", "gateway.lan"),
        ("gateway.lan:8080", "gateway.lan:8080"),
        ("gateway.lan:", "gateway.lan"),
        ("192.0.2.1:80", "192.0.2.1:80"),
        ("[2001:DB8:0::1]", "[2001:db8::1]"),
        ("[::1]:8080", "[::1]:8080"),
        ("", ""),
    ] {
        assert_eq!(host(text).to_string(), written);
        assert_eq!(host(written), host(text));
    }
}

#[test]
fn what_is_no_host_is_not_read_as_one() {
    for text in [
        "[::1",
        "[::1]8080",
        "[gateway]",
        "::1",
        "a b",
        "a/b",
        "user@a",
        "a:+1",
        "a:65536",
        "a:80:80",
        "ä",
    ] {
        assert_eq!(Host::parse(text), None, "{text}");
    }
}

#[test]
fn this_machine_has_many_names_and_others_are_not_it() {
    for text in [
        "localhost",
        "LOCALHOST.:80",
        "app.localhost",
        "127.0.0.1",
        "127.255.0.9:1",
        "[::1]",
        "[::ffff:127.0.0.1]:80",
    ] {
        assert!(host(text).is_loopback(), "{text}");
    }
    for text in [
        "",
        "localhost.example",
        "notlocalhost",
        "128.0.0.1",
        "[::2]",
        "[::ffff:192.0.2.1]",
        "127.0.0.1.example",
    ] {
        assert!(!host(text).is_loopback(), "{text}");
    }
}

#[test]
fn an_entry_without_a_port_covers_all_and_one_with_a_port_that_one() {
    let covers = |entry: &str, of: &str| host(of).is_covered_by(&host(entry));
    assert!(covers("a", "A:80") && covers("a", "a") && covers("a:80", "a:80"));
    assert!(!covers("a:80", "a:81") && !covers("a:80", "a") && !covers("a", "b"));
}

#[test]
fn an_origin_has_a_scheme_and_a_host_and_nothing_else() {
    for (text, written) in [
        ("HTTPS://Panel.lan", "https://panel.lan"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("chrome-extension://abc", "chrome-extension://abc"),
    ] {
        assert_eq!(Origin::parse(text).unwrap().to_string(), written);
    }
    for text in [
        "null",
        "panel.lan",
        "://panel.lan",
        "1http://panel.lan",
        "ht tp://panel.lan",
        "http://",
        "http://panel.lan/path",
    ] {
        assert_eq!(Origin::parse(text), None, "{text}");
    }
}

#[test]
fn a_page_of_this_machine_comes_over_http_only() {
    let is_here = |text: &str| Origin::parse(text).unwrap().is_loopback();
    assert!(is_here("http://localhost:3000") && is_here("https://[::1]"));
    assert!(!is_here("ftp://localhost") && !is_here("http://panel.lan"));
}
