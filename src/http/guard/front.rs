//! What a person sees who opens the server's address in a browser.
//!
//! Promises: the page is for those who ask for HTML by name; it holds no script, loads nothing, and shows nothing that
//! `/status` does not show without a key.

use http_types::{Body, Method, Response, StatusCode};

use super::accept;
use crate::http::h1::head::Head;

/// Whether a browser asks for the root.
pub(in crate::http) fn is_asked_for(head: &Head) -> bool {
    let reads = matches!(head.method, Method::Get | Method::Head);
    let accept = head.accept.as_deref().unwrap_or_default();
    // `*/*` is what programs send.
    let mut names = accept.split([',', ';']).map(str::trim);
    let by_name = names.any(|name| name.eq_ignore_ascii_case(HTML));
    reads && head.path == "/" && by_name && accept::accepts(accept, HTML)
}

/// The page; `connected`: the broker connection is up.
pub(in crate::http) fn page(connected: bool) -> Response {
    let state = match connected {
        true => "connected to its broker",
        false => "not connected to its broker",
    };
    let mut response = Response::new(StatusCode::Ok);
    response.insert_header("content-type", "text/html; charset=utf-8");
    response.insert_header("content-security-policy", POLICY);
    response.insert_header("x-content-type-options", "nosniff");
    response.insert_header("referrer-policy", "no-referrer");
    response.insert_header("cache-control", "no-store");
    response.replace_body(Body::from_bytes(
        PAGE.replace("@STATE@", state).into_bytes(),
    ));
    response
}

const HTML: &str = "text/html";
/// Nothing is loaded, nothing runs, nobody frames it, nothing is sent from it.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const PAGE: &str = r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>mcpmqtt</title>
<style>
body { font: 1rem/1.5 sans-serif; max-width: 40rem; margin: 3rem auto; padding: 0 1rem }
code { background: #8882; padding: 0 .2em }
</style>
</head>
<body>
<h1>mcpmqtt</h1>
<p>This is an MCP server that gives AI agents access to an MQTT broker. It is running and @STATE@.</p>
<p>There is nothing to operate here: give an MCP client this address followed by <code>/mcp</code>, and the API key as
<code>Authorization: Bearer KEY</code>.</p>
<ul>
<li><a href="/status">/status</a>: whether it runs and is connected</li>
<li><a href="/healthz">/healthz</a>, <a href="/readyz">/readyz</a>: the same for supervisors and load balancers</li>
<li><code>/metrics</code>: figures for Prometheus, with the key</li>
</ul>
</body>
</html>
"#;
