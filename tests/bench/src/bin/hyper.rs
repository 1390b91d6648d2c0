//! The least an authenticated JSON-RPC server on hyper can be: one thread, the key compared in constant time, the
//! request parsed, and the answer that it was given for the request's topic.
//!
//! usage: hyper PLACE KEY ANSWERS     (PLACE: `127.0.0.1:PORT` or the path of a socket file)
//!
//! ANSWERS is a file with a JSON object: the `result` to answer, by topic.

use std::collections::HashMap;
use std::convert::Infallible;
use std::rc::Rc;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use subtle::ConstantTimeEq as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::LocalSet;

struct Site {
    authorization: String,
    answers: HashMap<String, Box<RawValue>>,
}

#[derive(Deserialize)]
struct Call<'a> {
    jsonrpc: &'a str,
    #[serde(borrow)]
    id: &'a RawValue,
    method: &'a str,
    params: Value,
}

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [place, key, answers] = arguments.as_slice() else {
        panic!("usage: hyper PLACE KEY ANSWERS");
    };
    let text = std::fs::read_to_string(answers).expect("the answers");
    let site = Rc::new(Site {
        authorization: format!("Bearer {key}"),
        answers: serde_json::from_str(&text).expect("answers by topic"),
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("tokio");
    LocalSet::new().block_on(&runtime, async {
        if place.starts_with('/') {
            let listener = UnixListener::bind(place).expect("a free path");
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                serve(stream, &site);
            }
        }
        let listener = TcpListener::bind(place).await.expect("a free port");
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            stream.set_nodelay(true).expect("a socket");
            serve(stream, &site);
        }
    });
}

fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + 'static, site: &Rc<Site>) {
    let site = Rc::clone(site);
    tokio::task::spawn_local(async move {
        let service = service_fn(|request| answer(request, &site));
        // A client that leaves is no news.
        let _ = http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .await;
    });
}

async fn answer(
    request: Request<Incoming>,
    site: &Site,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.method() == Method::GET {
        return Ok(with(StatusCode::OK, String::new()));
    }
    let shown = request
        .headers()
        .get(AUTHORIZATION)
        .map_or(&b""[..], HeaderValue::as_bytes);
    if !bool::from(shown.ct_eq(site.authorization.as_bytes())) {
        return Ok(with(StatusCode::UNAUTHORIZED, String::new()));
    }
    let Ok(body) = request.into_body().collect().await else {
        return Ok(with(StatusCode::BAD_REQUEST, String::new()));
    };
    let body = body.to_bytes();
    let answer = serde_json::from_slice::<Call<'_>>(&body)
        .ok()
        .and_then(|call| {
            let topic = call.params["arguments"]["topic"].as_str()?;
            let result = site.answers.get(topic)?;
            (call.jsonrpc == "2.0" && call.method == "tools/call")
                .then(|| format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, call.id))
        });
    Ok(match answer {
        Some(text) => with(StatusCode::OK, text),
        None => with(StatusCode::BAD_REQUEST, String::new()),
    })
}

fn with(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
