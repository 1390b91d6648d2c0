//! What a browser sees at the root.

use crate::common::http_server::Server;

fn ask(server: &Server, method: &str, target: &str, accept: &str) -> (u16, String, String) {
    let request =
        format!("{method} {target} HTTP/1.1\r\nhost: localhost\r\naccept: {accept}\r\n\r\n");
    let mut client = server.connect();
    client.send(request.as_bytes());
    let answer = if method == "HEAD" {
        client.head()
    } else {
        client.answer()
    };
    let kind = answer.field("content-type").unwrap_or_default().to_owned();
    (answer.status, kind, String::from_utf8(answer.body).unwrap())
}

const FIREFOX: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

#[test]
fn a_browser_gets_a_page_that_says_what_is_here() {
    let server = Server::start();
    for target in ["/", "/?utm=1"] {
        let (status, kind, page) = ask(&server, "GET", target, FIREFOX);
        assert_eq!((status, kind.as_str()), (200, "text/html; charset=utf-8"));
        for words in [
            "MCP server",
            "<code>/mcp</code>",
            "not connected to its broker",
            "href=\"/status\"",
        ] {
            assert!(page.contains(words), "{words}: {page}");
        }
        assert!(
            !page.contains("<script") && !page.contains("http://") && !page.contains("https://")
        );
        assert!(!page.contains(env!("CARGO_PKG_VERSION")), "{page}");
    }
    let (status, kind, _) = ask(&server, "HEAD", "/", "text/html");
    assert_eq!((status, kind.as_str()), (200, "text/html; charset=utf-8"));
}

#[test]
fn nothing_in_the_page_can_run_load_or_be_framed() {
    let server = Server::start();
    let answer = server.ask(b"GET / HTTP/1.1\r\nhost: localhost\r\naccept: text/html\r\n\r\n");
    let policy = answer.field("content-security-policy").unwrap();
    for rule in [
        "default-src 'none'",
        "frame-ancestors 'none'",
        "form-action 'none'",
    ] {
        assert!(policy.contains(rule), "{policy}");
    }
    assert_eq!(answer.field("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.field("cache-control"), Some("no-store"));
}

#[test]
fn programs_get_the_error_that_they_understand() {
    let server = Server::start();
    for (method, target, accept) in [
        ("GET", "/", "*/*"),
        ("GET", "/", "text/*"),
        ("GET", "/", "application/json, text/event-stream"),
        ("GET", "/", "text/html;q=0, */*"),
        ("GET", "/", "text/html; q=0.000"),
        ("GET", "/", ""),
        ("POST", "/", "text/html"),
        ("GET", "//", "text/html"),
        ("GET", "/index.html", "text/html"),
        ("GET", "/favicon.ico", FIREFOX),
    ] {
        let (status, kind, body) = ask(&server, method, target, accept);
        assert_eq!(
            (status, kind.as_str()),
            (404, "application/json"),
            "{method} {target} {accept}"
        );
        assert!(body.contains("nothing here; MCP is at `/mcp`"), "{body}");
    }
    // Another site's name is refused before anything is shown.
    let answer = server.ask(b"GET / HTTP/1.1\r\nhost: evil.example\r\naccept: text/html\r\n\r\n");
    assert_eq!(answer.status, 403);
}
