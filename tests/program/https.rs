//! HTTPS on the TCP listener, with curl as the client and certificates made here.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustix::process::Signal;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};

use crate::calls::JSON;
use crate::common::messages::modern;
use crate::common::ports::free_port;
use crate::common::program::{PROGRAM, Program, STATUS, ask, unix};
use crate::common::requests::modern_post;
use crate::common::scratch::Scratch;
use crate::common::waiting::PATIENCE;

const RELOADED: &str = "configuration reloaded from";

struct Authority(Issuer<'static, KeyPair>, String);

impl Authority {
    fn new(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Authority(Issuer::new(params, key), pem)
    }

    /// A certificate for this machine, and its key.
    fn issue(&self, change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
        let mut params =
            CertificateParams::new(vec!["127.0.0.1".into(), "localhost".into()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.0).unwrap().pem();
        (cert, key.serialize_pem())
    }
}

/// The files of a server, and its configuration.
struct Site {
    folder: Scratch,
    authority: Authority,
    port: u16,
}

impl Site {
    fn new() -> Site {
        let site = Site {
            folder: Scratch::new(),
            authority: Authority::new("server authority"),
            port: free_port(),
        };
        site.folder.file("ca.pem", &site.authority.1);
        site.renew(&site.authority.issue(|_| {}));
        site
    }

    fn renew(&self, (cert, key): &(String, String)) {
        self.folder.file("cert.pem", cert);
        self.folder.file("key.pem", key);
    }

    fn config(&self, more: Value) -> PathBuf {
        let mut tls = json!({
            "cert_file": self.folder.path("cert.pem"),
            "key_file": self.folder.path("key.pem"),
        });
        tls.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let config = json!({
            "mqtt": {"host": "127.0.0.1", "port": free_port()},
            "topics": [{"pattern": "t/#", "permissions": ["read", "write"]}],
            "remote_server": {"host": "127.0.0.1", "port": self.port, "api_key": "k", "tls": tls},
        });
        self.folder.file("config.json", &config.to_string())
    }

    fn start(&self, more: Value) -> Program {
        let mut program = Program::over(&self.config(more));
        program.until("serving MCP over HTTPS on");
        program
    }

    fn curl(&self, arguments: &[&str]) -> Output {
        Command::new("curl")
            .args([
                "--silent",
                "--show-error",
                "--verbose",
                "--max-time",
                "20",
                "--cacert",
            ])
            .arg(self.folder.path("ca.pem"))
            .args(arguments)
            .arg(format!("https://127.0.0.1:{}/mcp", self.port))
            .output()
            .expect("curl is needed; on Debian: apt-get install curl")
    }

    /// An MCP request over HTTPS.
    fn list(&self, arguments: &[&str]) -> Output {
        let body = modern(1, "tools/list", json!({})).to_string();
        let mut all = vec![
            "--header",
            "x-api-key: k",
            "--header",
            "content-type: application/json",
            "--header",
            "mcp-protocol-version: 2026-07-28",
            "--header",
            "mcp-method: tools/list",
            "--data",
            &body,
        ];
        all.extend(arguments);
        self.curl(&all)
    }

    /// A connection whose every byte is in the test's hands.
    fn secure(&self, socket: TcpStream) -> StreamOwned<ClientConnection, TcpStream> {
        let mut roots = RootCertStore::empty();
        let pem = self.authority.1.as_bytes();
        roots
            .add(CertificateDer::from_pem_slice(pem).unwrap())
            .unwrap();
        let ring = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(ring)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let tls = ClientConnection::new(Arc::new(config), name).unwrap();
        StreamOwned::new(tls, socket)
    }

    fn plain(&self) -> TcpStream {
        let socket = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn succeeds(output: &Output) {
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(
        text(&output.stdout).contains("mqtt_publish"),
        "{}",
        text(&output.stdout)
    );
}

#[test]
fn both_versions_of_tls_are_spoken_and_http_1_1_inside_and_no_older_one() {
    let site = Site::new();
    let program = site.start(json!({}));
    for (version, words) in [
        (["--tlsv1.2", "--tls-max", "1.2"], "TLSv1.2"),
        (["--tlsv1.3", "--tls-max", "1.3"], "TLSv1.3"),
    ] {
        let output = site.list(&version);
        succeeds(&output);
        let log = text(&output.stderr);
        assert!(
            log.contains(&format!("SSL connection using {words}")),
            "{log}"
        );
        assert!(
            log.contains("HTTP/1.1 200") && log.contains("http/1.1"),
            "{log}"
        );
    }
    let old = site.list(&["--tlsv1.0", "--tls-max", "1.1"]);
    assert!(!old.status.success());
    // Without the key it is HTTP as ever.
    let refused = site.curl(&["--write-out", "%{http_code}"]);
    assert!(
        text(&refused.stdout).ends_with("401"),
        "{}",
        text(&refused.stdout)
    );
    let (log, status) = program.end();
    assert!(status.success() && !log.contains("unencrypted"), "{log}");
}

#[test]
fn large_bodies_go_both_ways_and_connections_are_kept() {
    let site = Site::new();
    let _program = site.start(json!({}));
    let large = format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"x{}\"}}",
        "y".repeat(1 << 20)
    );
    let file = site.folder.file("large", &large);
    let data = format!("@{}", file.display());
    let output = site.list(&["--header", "expect:", "--data", &data]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("jsonrpc"));
    let url = format!("https://127.0.0.1:{}/status", site.port);
    let output = site.curl(&[&url, &url]);
    assert_eq!(text(&output.stdout).matches("\"running\": true").count(), 2);
    assert!(
        text(&output.stderr).contains("Re-using existing connection"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_client_without_a_certificate_of_the_right_authority_is_not_let_in() {
    let site = Site::new();
    let clients = Authority::new("client authority");
    site.folder.file("clients.pem", &clients.1);
    let (cert, key) = clients.issue(|_| {});
    let (cert, key) = (
        site.folder.file("c.pem", &cert),
        site.folder.file("k.pem", &key),
    );
    let (other, other_key) = Authority::new("client authority").issue(|_| {});
    let (other, other_key) = (
        site.folder.file("o.pem", &other),
        site.folder.file("ok.pem", &other_key),
    );
    let _program = site.start(json!({"client_ca_file": site.folder.path("clients.pem")}));
    let with = |cert: &PathBuf, key: &PathBuf| {
        site.list(&[
            "--cert",
            cert.to_str().unwrap(),
            "--key",
            key.to_str().unwrap(),
        ])
    };
    succeeds(&with(&cert, &key));
    for output in [site.list(&[]), with(&other, &other_key)] {
        assert!(
            !output.status.success() && output.stdout.is_empty(),
            "{}",
            text(&output.stdout)
        );
    }
}

#[test]
fn a_listed_certificate_needs_no_key_and_a_key_that_is_shown_decides_alone() {
    let site = Site::new();
    let clients = Authority::new("client authority");
    site.folder.file("clients.pem", &clients.1);
    let holder = |name: &str| {
        let (cert, key) = clients.issue(|params| {
            let own = &mut params.distinguished_name;
            *own = rcgen::DistinguishedName::new();
            own.push(DnType::OrganizationName, "plant");
            own.push(DnType::CommonName, name);
        });
        [("--cert", "c", cert), ("--key", "k", key)].map(|(option, kind, text)| {
            let path = site.folder.file(&format!("{name}.{kind}"), &text);
            (option, path.to_str().unwrap().to_owned())
        })
    };
    let (listed, stranger) = (holder("codex"), holder("claude"));
    let path = site.config(json!({"client_ca_file": site.folder.path("clients.pem")}));
    let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    config["profiles"] = json!({"watch": {"topics": [], "tools": ["mqtt_read"]}});
    config["remote_server"]["certificates"] =
        json!([{"subject": "CN=codex,O=plant", "profile": "watch"}]);
    site.folder.file("config.json", &config.to_string());
    let mut program = Program::over(&path);
    program.until("serving MCP over HTTPS on");
    let ask = |files: &[(&str, String)], key: Option<&str>| {
        let body = modern(1, "tools/list", json!({})).to_string();
        let field = format!("x-api-key: {}", key.unwrap_or_default());
        let mut all = vec![
            "--header",
            "content-type: application/json",
            "--header",
            "mcp-protocol-version: 2026-07-28",
            "--header",
            "mcp-method: tools/list",
            "--data",
            &body,
        ];
        if key.is_some() {
            all.extend(["--header", &field]);
        }
        all.extend(files.iter().flat_map(|(option, path)| [*option, path]));
        text(&site.curl(&all).stdout)
    };
    let own = ask(&listed, None);
    assert!(
        own.contains("mqtt_read") && !own.contains("mqtt_publish"),
        "{own}"
    );
    let by_key = ask(&listed, Some("k"));
    assert!(by_key.contains("mqtt_publish"), "{by_key}");
    assert!(ask(&listed, Some("wrong")).contains("wrong API key"));
    assert!(ask(&stranger, None).contains("an API key is needed"));
    assert!(ask(&stranger, Some("k")).contains("mqtt_publish"));
    config["remote_server"]["certificates"] = json!([]);
    site.folder.file("config.json", &config.to_string());
    program.signal(Signal::HUP);
    program.until(RELOADED);
    assert!(ask(&listed, None).contains("an API key is needed"));
}

#[test]
fn plain_http_gets_an_answer_that_it_can_read_and_nothing_else() {
    let site = Site::new();
    let _program = site.start(json!({}));
    let answer = ask(site.plain(), STATUS);
    assert!(
        answer.starts_with("HTTP/1.1 400 Bad Request\r\n"),
        "{answer}"
    );
    assert!(
        answer.ends_with("this port speaks HTTPS; use https://"),
        "{answer}"
    );
    // Neither of the two: closed, after an alert at most.
    let mut socket = site.plain();
    socket.write_all(&[0xff; 100]).unwrap();
    let mut rest = Vec::new();
    let _ = socket.read_to_end(&mut rest);
    assert!(rest.len() < 20, "{rest:?}");
}

#[test]
fn who_stops_in_the_handshake_is_dropped_at_the_deadline_and_holds_up_nobody() {
    let site = Site::new();
    let _program = site.start(json!({}));
    let start = Instant::now();
    // The beginning of a record, and of nothing at all.
    let (mut begins, mut silent) = (site.plain(), site.plain());
    begins.write_all(&[22, 3, 1, 2, 0, 1]).unwrap();
    succeeds(&site.list(&[]));
    for socket in [&mut begins, &mut silent] {
        let mut rest = Vec::new();
        let _ = socket.read_to_end(&mut rest);
        assert!(rest.is_empty());
    }
    let time = start.elapsed();
    assert!(
        time > Duration::from_secs(8) && time < Duration::from_secs(30),
        "{time:?}"
    );
}

#[test]
fn certificates_are_loaded_anew_at_sighup_and_bad_ones_are_not() {
    let site = Site::new();
    let mut program = site.start(json!({}));
    let other = Authority::new("another authority");
    site.renew(&other.issue(|_| {}));
    succeeds(&site.list(&[]));
    program.signal(Signal::HUP);
    program.until(RELOADED);
    assert!(!site.list(&[]).status.success());
    site.folder.file("ca.pem", &other.1);
    succeeds(&site.list(&[]));
    site.folder.file("cert.pem", "nothing");
    program.signal(Signal::HUP);
    program.until("remote_server.tls.cert_file: cannot use");
    program.until("the configuration was not reloaded");
    succeeds(&site.list(&[]));
}

#[test]
fn files_that_cannot_be_used_are_told_at_the_start_and_by_check() {
    let site = Site::new();
    let check = |remote: bool| {
        let mut command = Command::new(PROGRAM);
        command
            .arg("--check")
            .arg("--config")
            .arg(site.folder.path("config.json"));
        if remote {
            command.args(["--transport", "remotehttp"]);
        }
        command.output().unwrap()
    };
    let says = |words: &str| {
        let output = check(true);
        assert!(!output.status.success());
        assert!(
            text(&output.stderr).contains(words),
            "{}",
            text(&output.stderr)
        );
        let (log, status) = Program::over(&site.folder.path("config.json")).ended();
        assert_eq!(status.code(), Some(1));
        assert!(log.contains(words), "{log}");
        // Over stdio it is nobody's fault, but worth a word.
        let output = check(false);
        assert!(output.status.success());
        assert!(
            text(&output.stdout).contains(&format!("warning: {words}")),
            "{}",
            text(&output.stdout)
        );
    };
    site.config(json!({}));
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(site.folder.path("key.pem"), mode).unwrap();
    assert!(check(true).status.success());
    let described = text(&check(true).stdout);
    assert!(
        described.contains("HTTPS as the certificate in")
            && !described.contains("warning: remote_server.tls"),
        "{described}"
    );
    site.config(json!({"cert_file": "/nowhere"}));
    says("remote_server.tls.cert_file: cannot use `/nowhere`: no such file or directory");
    site.config(json!({"client_ca_file": site.folder.path("key.pem")}));
    says("remote_server.tls.client_ca_file: cannot use");
    site.config(json!({}));
    let (_, key) = site.authority.issue(|_| {});
    site.folder.file("key.pem", &key);
    says("remote_server.tls.key_file: cannot use");
    assert!(text(&check(true).stderr).contains("does not go with the certificate"));
    site.renew(&site.authority.issue(|params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    }));
    let output = check(true);
    assert!(output.status.success());
    assert!(
        text(&output.stdout).contains("cert.pem` has expired; clients will refuse it"),
        "{}",
        text(&output.stdout)
    );
    let mut program = Program::over(&site.folder.path("config.json"));
    program.until("has expired; clients will refuse it");
}

const KEPT: &str = "GET /status HTTP/1.1\r\nhost: localhost\r\n\r\n";
const BODY: &str = r#"{"running": true, "mqtt_connected": false}"#;

/// Reads one answer to a request for the status.
fn status(client: &mut impl std::io::Read) {
    let mut answer = Vec::new();
    while !answer.ends_with(BODY.as_bytes()) {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
}

#[test]
fn the_last_answer_is_followed_by_a_farewell_so_that_nothing_can_be_cut_off() {
    let site = Site::new();
    let _program = site.start(json!({}));
    let mut client = site.secure(site.plain());
    // Without the farewell this were an error.
    let answer = ask(&mut client, STATUS);
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with(BODY));
}

#[test]
fn a_client_that_leaves_without_a_word_at_any_point_disturbs_nobody() {
    let site = Site::new();
    let mut program = site.start(json!({}));
    let mut bystander = site.secure(site.plain());
    bystander.write_all(KEPT.as_bytes()).unwrap();
    status(&mut bystander);

    let mut half = site.plain();
    half.write_all(&[22, 3, 1, 2, 0, 1]).unwrap();
    drop(half);
    program.until("the TLS handshake failed: ");

    let mut cut = site.secure(site.plain());
    cut.write_all(KEPT.as_bytes()).unwrap();
    status(&mut cut);
    drop(cut);
    program.until("connection closed after 1 request");

    let mut reset = site.secure(site.plain());
    reset.write_all(KEPT.as_bytes()).unwrap();
    status(&mut reset);
    rustix::net::sockopt::set_socket_linger(&reset.sock, Some(Duration::ZERO)).unwrap();
    drop(reset);
    program.until("connection closed after 1 request");

    let mut garbled = site.secure(site.plain());
    garbled.write_all(KEPT.as_bytes()).unwrap();
    status(&mut garbled);
    garbled.sock.write_all(&[23, 3, 3, 0, 20]).unwrap();
    garbled.sock.write_all(&[0; 20]).unwrap();
    program.until("connection closed after 1 request");

    bystander.write_all(KEPT.as_bytes()).unwrap();
    status(&mut bystander);
}

/// More than the systems between us take: what the server has yet to write waits, and nothing of it is lost.
#[test]
fn a_client_that_reads_late_gets_all_answers() {
    const REQUESTS: usize = 800;
    let site = Site::new();
    let program = site.start(json!({}));
    let mut client = site.secure(site.plain());
    let request = modern_post("k", JSON, "tools/list", json!({}));
    client.write_all(&request.repeat(REQUESTS)).unwrap();
    // Others are served meanwhile.
    succeeds(&site.list(&[]));
    let answers = ask(&mut client, STATUS);
    assert_eq!(answers.matches("HTTP/1.1 200 OK\r\n").count(), REQUESTS + 1);
    assert_eq!(answers.matches("\"mqtt_publish\"").count(), REQUESTS);
    assert!(answers.ends_with(BODY));
    assert!(program.end().1.success());
}

#[test]
fn a_socket_file_that_is_handed_over_is_served_without_tls() {
    let site = Site::new();
    let config = site.config(json!({}));
    let path = site.folder.path("handed-over");
    let listener = UnixListener::bind(&path).unwrap();
    let script = "exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1; \
                  exec \"$0\" --transport remotehttp --config \"$1\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, PROGRAM]).arg(config);
    let mut program = Program::start(command.stdin(OwnedFd::from(listener)));
    program.until("serving MCP over HTTP on");
    assert!(ask(unix(&path), STATUS).ends_with(BODY));
}

#[test]
fn what_the_server_proves_itself_with_is_not_shown_in_a_log() {
    let site = Site::new();
    let text = std::fs::read_to_string(site.config(json!({}))).unwrap();
    let (config, _) = mcpmqtt_config::Config::parse(&text).unwrap();
    let tls = mcpmqtt::http::Tls::load(&config.remote_server.unwrap().tls.unwrap()).unwrap();
    assert_eq!(format!("{tls:?}"), "Tls");
}
