//! TLS to a real mosquitto, with certificates made here: what is right works, and what is wrong is
//! told in words that name the remedy.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, date_time_ymd,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::common::agent::{Agent, Answer, refusal};
use crate::common::config::open_config;
use crate::common::mosquitto::{Clients, Mosquitto};
use crate::common::ports::free_port;
use crate::common::program::PROGRAM;
use crate::common::scratch::Scratch;
use crate::common::terminal::Terminal;
use crate::common::waiting::eventually;

/// A certificate authority.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate with its key.
struct Issued {
    cert: String,
    key: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { issuer, pem }
    }

    /// A certificate for these names, changed as `change` wants.
    fn issue(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Issued {
        let names: Vec<_> = names.iter().map(|name| String::from(*name)).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params
            .distinguished_name
            .push(DnType::CommonName, "127.0.0.1");
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap().pem();
        let key = key.serialize_pem();
        Issued { cert, key }
    }
}

/// A broker that shows a certificate, and the files around it.
struct Secured {
    broker: Mosquitto,
    authority: Authority,
    scratch: Scratch,
}

impl Secured {
    fn good() -> Self {
        Self::with(&["127.0.0.1"], |_| {}, "")
    }

    fn with(names: &[&str], change: impl FnOnce(&mut CertificateParams), options: &str) -> Self {
        Self::in_environment(names, change, options, |_| Vec::new())
    }

    fn in_environment(
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
        options: &str,
        variables: impl FnOnce(&Scratch) -> Vec<(&'static str, String)>,
    ) -> Self {
        let scratch = Scratch::new();
        let authority = Authority::new("authority of the test");
        let issued = authority.issue(names, change);
        let lines = [
            ("cafile", scratch.file("ca.pem", &authority.pem)),
            ("certfile", scratch.file("server.pem", &issued.cert)),
            ("keyfile", scratch.file("server.key", &issued.key)),
        ];
        let mut config = String::from(options);
        for (option, path) in lines {
            config += &format!("\n{option} {}", path.display());
        }
        let variables = variables(&scratch);
        let variables: Vec<_> = variables.iter().map(|(k, v)| (*k, v.as_str())).collect();
        let broker = Mosquitto::with(&config, &variables);
        Self {
            broker,
            authority,
            scratch,
        }
    }

    /// The path of a file beside the broker's.
    fn path(&self, name: &str) -> String {
        path(&self.scratch.path(name))
    }

    /// A configuration that trusts the broker's authority, and more in `tls`.
    fn config(&self, mut tls: Value) -> Value {
        if tls.get("ca_file").is_none() {
            tls["ca_file"] = json!(self.path("ca.pem"));
        }
        config(self.broker.port, &tls)
    }

    /// A client certificate of this authority, as configuration.
    fn identity(
        &self,
        authority: &Authority,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Value {
        let issued = authority.issue(&["gateway"], change);
        json!({
            "cert_file": path(&self.scratch.file("me.pem", &issued.cert)),
            "key_file": path(&self.scratch.file("me.key", &issued.key)),
        })
    }
}

fn path(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

fn config(port: u16, tls: &Value) -> Value {
    let mut config = open_config(port);
    config["mqtt"]["tls"] = tls.clone();
    config["mqtt"]["backoff"] = json!({"initial": 0.02, "max": 0.1});
    config
}

/// The environment of a broker that does not know TLS 1.3.
fn no_more_than_1_2(scratch: &Scratch) -> Vec<(&'static str, String)> {
    let text = "openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\n\
                MaxProtocol = TLSv1.2\n";
    vec![("OPENSSL_CONF", path(&scratch.file("openssl.cnf", text)))]
}

/// Publishes a retained message and reads it again.
fn works(agent: &mut Agent) {
    let message = json!({"topic": "t/a", "payload": "x", "qos": 2, "retain": true});
    let published = agent.tool("mqtt_publish", message).structured();
    assert_eq!(published["outcome"], "delivered");
    let read = agent
        .tool("mqtt_read", json!({"topic": "t/a"}))
        .structured();
    assert_eq!(read["payload"], "x");
}

fn assert_says(said: &str, expected: &[&str]) {
    for words in expected {
        assert!(said.contains(words), "no `{words}` in: {said}");
    }
}

/// Publishes to one topic as fast as it goes, until it is dropped.
struct Flood(Child);

impl Flood {
    fn start(port: u16, topic: &str) -> Self {
        let mut child = Command::new("mosquitto_pub")
            .args([
                "-h",
                "127.0.0.1",
                "-p",
                &port.to_string(),
                "-l",
                "-t",
                topic,
            ])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = child.stdin.take().unwrap();
        let text = "0123456789abcdef\n".repeat(1000);
        std::thread::spawn(move || while lines.write_all(text.as_bytes()).is_ok() {});
        Self(child)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_broker_with_a_good_certificate_is_served_with_the_newest_version() {
    let secured = Secured::good();
    let mut agent = Agent::start(&secured.config(json!({})));
    works(&mut agent);
    let (code, log) = agent.finish();
    assert_eq!(code, Some(0));
    assert!(log.contains("over TLS 1.3"), "{log}");
}

/// `--init` says that TLS is wanted, and then whose certificate.
#[test]
fn a_first_configuration_is_made_for_a_broker_with_tls() {
    let secured = Secured::good();
    let home = Scratch::new();
    let place = format!("127.0.0.1:{}", secured.broker.port);
    let mut command = Command::new(PROGRAM);
    command
        .env("HOME", home.path(""))
        .current_dir(secured.path(""));
    command.args([
        "--init",
        "c.json",
        "--seconds=1",
        "--topic=a/#",
        "--broker",
        &place,
    ]);
    let mut person = Terminal::start(&mut command);
    person.answer("it may want TLS at this port.\nConnect with TLS? [Y/n]", "");
    person.until("its issuer is not trusted here; set `--ca-file` to the certificate");
    person.answer("File with the authority's certificate (PEM)", "ca.pem");
    person.answer("Make an API key", "n");
    let (code, screen, _) = person.end();
    assert_eq!(code, Some(0), "{screen}");
    let text = std::fs::read_to_string(secured.path("c.json")).unwrap();
    assert!(text.contains(&secured.path("ca.pem")), "{text}");
}

#[test]
fn a_broker_that_knows_no_more_than_tls_1_2_is_served_too() {
    let secured = Secured::in_environment(&["127.0.0.1"], |_| {}, "", no_more_than_1_2);
    let mut agent = Agent::start(&secured.config(json!({})));
    works(&mut agent);
    let (_, log) = agent.finish();
    assert!(log.contains("over TLS 1.2"), "{log}");
}

#[test]
fn large_messages_and_many_go_both_ways_and_survive_a_restart_of_the_broker() {
    let mut secured = Secured::good();
    let mut agent = Agent::start(&secured.config(json!({})));
    let large = "x".repeat(1024 * 1024 - 64);
    let message = json!({"topic": "t/large", "payload": large, "qos": 1, "retain": true});
    agent.tool("mqtt_publish", message).structured();
    let read = agent
        .tool("mqtt_read", json!({"topic": "t/large"}))
        .structured();
    assert_eq!(read["payload"], large);

    let many = json!({"topic": "t/many", "max_messages": 500, "timeout": 60});
    let collecting = agent.listening("mqtt_subscribe", many);
    let sent: Vec<_> = (0..500)
        .map(|n| {
            let message = json!({"topic": "t/many", "payload": n.to_string(), "qos": n % 3});
            agent.tool("mqtt_publish", message)
        })
        .collect();
    for answer in sent {
        answer.structured();
    }
    assert_eq!(collecting.structured()["messages_received"], 500);

    secured.broker.kill();
    secured.broker.restart();
    eventually("a publish after the restart", || {
        let message = json!({"topic": "t/a", "payload": "x", "qos": 1});
        let again = agent.tool("mqtt_publish", message).wait();
        again["result"]["structuredContent"]["outcome"] == "delivered"
    });
}

/// What the broker still sends must not become a reset, which can overtake DISCONNECT.
#[test]
fn an_orderly_end_in_the_middle_of_a_flood_is_no_death_to_the_broker() {
    let port = free_port();
    let listener = format!("listener {port} 127.0.0.1");
    let secured = Secured::with(&["127.0.0.1"], |_| {}, &listener);
    let mut config = secured.config(json!({}));
    config["mqtt"]["port"] = json!(port);
    config["mqtt"]["will"] = json!({"topic": "t/life", "payload": "gone", "qos": 1});
    let plain = Clients(secured.broker.port);
    let args = ["-t", "t/life", "-C", "11", "-W", "60", "-F", "%p"];
    let seen = plain.subscribe(&args, || {
        let flood = Flood::start(plain.0, "t/flood");
        for _ in 0..10 {
            let mut agent = Agent::start(&config);
            let burst = json!({"topic": "t/flood", "max_messages": 100});
            agent.tool("mqtt_subscribe", burst).structured();
            assert_eq!(agent.finish().0, Some(0));
        }
        drop(flood);
        plain.publish(&["-t", "t/life", "-m", "end"]);
    });
    // The program says once for each end that it is gone, and the broker never.
    assert_eq!(seen, format!("{}end\n", "gone\n".repeat(10)));
}

#[test]
fn without_a_file_the_authorities_of_the_system_count() {
    let secured = Secured::good();
    let ca = secured.path("ca.pem");
    let config = config(secured.broker.port, &json!(true));
    let mut agent = Agent::start_with(&config, &[("SSL_CERT_FILE", &ca)]);
    works(&mut agent);
    let other = secured
        .scratch
        .file("other.pem", &Authority::new("other").pem);
    let mut agent = Agent::start_with(&config, &[("SSL_CERT_FILE", &path(&other))]);
    eventually("the certificate is refused", || {
        let call = json!({"topic": "t/a", "payload": "x", "timeout": 0.2});
        let said = agent.tool("mqtt_publish", call).error();
        said.contains("its issuer is not trusted here")
    });
}

#[test]
fn a_name_of_the_certificate_can_be_given_where_the_host_is_another() {
    let secured = Secured::with(&["broker.lab.example"], |_| {}, "");
    works(&mut Agent::start(
        &secured.config(json!({"server_name": "broker.lab.example"})),
    ));
    assert_says(
        &refusal(&secured.config(json!({}))),
        &[
            "it is for ",
            "broker.lab.example",
            "not for `127.0.0.1`",
            "`mqtt.tls.server_name`",
        ],
    );
}

#[test]
fn a_certificate_without_names_is_refused_with_the_reason() {
    let secured = Secured::with(&[], |_| {}, "");
    let said = refusal(&secured.config(json!({})));
    assert_says(&said, &["it is for no host name at all", "subjectAltName"]);
}

#[test]
fn expired_and_early_certificates_are_told_with_both_times() {
    let expire = |params: &mut CertificateParams| {
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 2, 3);
    };
    let secured = Secured::with(&["127.0.0.1"], expire, "");
    let said = refusal(&secured.config(json!({})));
    assert_says(
        &said,
        &["it expired at 2002-02-03T00:00:00Z (the clock here says 2"],
    );

    let early = |params: &mut CertificateParams| params.not_before = date_time_ymd(3000, 1, 1);
    let secured = Secured::with(&["127.0.0.1"], early, "");
    let said = refusal(&secured.config(json!({})));
    assert_says(
        &said,
        &[
            "it is not valid before 3000-01-01T00:00:00Z",
            "set the clock",
        ],
    );
}

#[test]
fn an_authority_that_is_not_trusted_is_refused_with_the_key_to_set() {
    let secured = Secured::good();
    let stranger = Authority::new("a stranger").pem;
    let file = path(&secured.scratch.file("stranger.pem", &stranger));
    let said = refusal(&secured.config(json!({"ca_file": file})));
    assert_says(
        &said,
        &["its issuer is not trusted here", "`mqtt.tls.ca_file`"],
    );

    let namesake = Authority::new("authority of the test").pem;
    let file = path(&secured.scratch.file("namesake.pem", &namesake));
    let said = refusal(&secured.config(json!({"ca_file": file})));
    assert_says(&said, &["the broker's certificate is not accepted"]);
}

#[test]
fn a_broker_that_shows_the_certificate_of_an_authority_is_refused_with_the_reason() {
    let to_authority = |params: &mut CertificateParams| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    };
    let secured = Secured::with(&["127.0.0.1"], to_authority, "");
    let said = refusal(&secured.config(json!({})));
    assert_says(&said, &["it is the certificate of an authority"]);
}

#[test]
fn insecure_takes_any_certificate_and_warns_at_every_start() {
    let expire = |params: &mut CertificateParams| {
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
    };
    let secured = Secured::with(&["elsewhere.example"], expire, "");
    for _ in 0..2 {
        let insecure = config(secured.broker.port, &json!({"insecure": true}));
        let mut agent = Agent::start(&insecure);
        works(&mut agent);
        let (_, log) = agent.finish();
        assert!(
            log.contains("WARNING mqtt.tls.insecure: the broker's certificate is not checked"),
            "{log}"
        );
    }
}

/// The old version proves the key of the certificate in another way.
#[test]
fn insecure_goes_with_tls_1_2_too() {
    let names = ["elsewhere.example"];
    let secured = Secured::in_environment(&names, |_| {}, "", no_more_than_1_2);
    let mut agent = Agent::start(&config(secured.broker.port, &json!({"insecure": true})));
    works(&mut agent);
    let (_, log) = agent.finish();
    assert!(log.contains("over TLS 1.2"), "{log}");
}

#[test]
fn a_client_certificate_is_shown_to_a_broker_that_wants_one() {
    let secured = Secured::with(&["127.0.0.1"], |_| {}, "require_certificate true");
    let identity = secured.identity(&secured.authority, |_| {});
    works(&mut Agent::start(&secured.config(identity)));
}

#[test]
fn a_missing_client_certificate_is_told_with_the_keys_to_set() {
    let keys = [
        "wants a client certificate",
        "`mqtt.tls.cert_file`",
        "`mqtt.tls.key_file`",
    ];
    let secured = Secured::with(&["127.0.0.1"], |_| {}, "require_certificate true");
    assert_says(&refusal(&secured.config(json!({}))), &keys);

    let wants = "require_certificate true";
    let secured = Secured::in_environment(&["127.0.0.1"], |_| {}, wants, no_more_than_1_2);
    assert_says(&refusal(&secured.config(json!({}))), &keys);
}

#[test]
fn a_client_certificate_that_the_broker_does_not_take_is_told_so() {
    let secured = Secured::with(&["127.0.0.1"], |_| {}, "require_certificate true");
    let stranger = secured.identity(&Authority::new("a stranger"), |_| {});
    assert_says(
        &refusal(&secured.config(stranger)),
        &["the broker does not accept our certificate (it does not trust its issuer)"],
    );
    let expired = secured.identity(&secured.authority, |params| {
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
    });
    assert_says(
        &refusal(&secured.config(expired)),
        &["the broker does not accept our certificate (it expired)"],
    );
}

/// Accepts one connection after the other and hands each to `serve`.
fn listen(mut serve: impl FnMut(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            serve(client.unwrap());
        }
    });
    port
}

/// Lets `allowed` bytes of the broker's through, then nothing in either direction.
fn stalling_proxy(broker: u16, allowed: usize) -> u16 {
    let mut held = Vec::new();
    listen(move |mut client| {
        let mut server = TcpStream::connect(("127.0.0.1", broker)).unwrap();
        let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        let mut bytes = vec![0; allowed];
        server.read_exact(&mut bytes).unwrap();
        client.write_all(&bytes).unwrap();
        held.push((client, server));
    })
}

#[test]
fn a_broker_that_stops_in_the_middle_of_the_handshake_is_given_up_in_time() {
    let secured = Secured::good();
    for allowed in [0, 1, 5, 100, 300] {
        let mut config = secured.config(json!({}));
        config["mqtt"]["port"] = json!(stalling_proxy(secured.broker.port, allowed));
        config["mqtt"]["connect_timeout"] = json!(0.3);
        let said = refusal(&config);
        assert_says(&said, &["no answer within the connect timeout of 0.3 s"]);
    }
}

#[test]
fn what_is_no_tls_is_told_apart() {
    let web = listen(|mut client| {
        let _ = client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        let _ = client.read(&mut [0; 1024]);
    });
    let mut asked = config(web, &json!({"insecure": true}));
    assert_says(
        &refusal(&asked),
        &["what answers there does not speak TLS", "`mqtt.port`"],
    );

    let silent = listen(|client| drop(client.shutdown(Shutdown::Write)));
    asked["mqtt"]["port"] = json!(silent);
    assert_says(&refusal(&asked), &["during the TLS handshake"]);

    let secured = Secured::good();
    let plain = config(secured.broker.port, &json!(false));
    assert_says(&refusal(&plain), &["without an answer to CONNECT"]);
}

#[test]
fn a_file_that_cannot_be_used_ends_the_start_with_its_key_and_nothing_of_what_is_in_it() {
    let scratch = Scratch::new();
    let authority = Authority::new("authority");
    let (one, two) = (
        authority.issue(&["a"], |_| {}),
        authority.issue(&["a"], |_| {}),
    );
    let cert = path(&scratch.file("cert.pem", &one.cert));
    let key = path(&scratch.file("key.pem", &one.key));
    let other_key = path(&scratch.file("other.pem", &two.key));
    let mangled = one.key.replace('\n', "\n!");
    let broken = path(&scratch.file("broken.pem", &mangled));
    let empty = path(&scratch.file("empty.pem", ""));
    let absent = path(&scratch.path("absent.pem"));
    let cases = [
        (
            json!({"ca_file": absent}),
            "mqtt.tls.ca_file: cannot use `",
            "no such file",
        ),
        (
            json!({"ca_file": empty}),
            "mqtt.tls.ca_file: cannot use `",
            "it holds no certificate in PEM",
        ),
        (
            json!({"ca_file": key}),
            "mqtt.tls.ca_file: cannot use `",
            "it holds no certificate in PEM",
        ),
        (
            json!({"cert_file": absent, "key_file": key}),
            "mqtt.tls.cert_file: cannot use `",
            "no such file",
        ),
        (
            json!({"cert_file": cert, "key_file": cert}),
            "mqtt.tls.key_file: cannot use `",
            "it holds no private key",
        ),
        (
            json!({"cert_file": cert, "key_file": broken}),
            "mqtt.tls.key_file: cannot use `",
            "it holds no private key",
        ),
        (
            json!({"cert_file": cert, "key_file": other_key}),
            "mqtt.tls.key_file: `",
            "does not go with",
        ),
    ];
    let secret = one.key.lines().nth(1).unwrap();
    for (mut tls, names, says) in cases {
        if tls.get("ca_file").is_none() {
            tls["ca_file"] = json!(cert);
        }
        let file = scratch.file("config.json", &config(1, &tls).to_string());
        let agent = Agent::with_args(&["--config", file.to_str().unwrap()]);
        let (code, log) = agent.finish();
        assert_eq!(code, Some(1), "{log}");
        assert_says(&log, &[names, says]);
        assert!(
            !log.contains(secret) && !log.contains(&secret[..20]),
            "{log}"
        );
    }
}

// ---- brokers that only a test has

/// A certificate and its key, as bytes.
struct Shown(CertificateDer<'static>, PrivateKeyDer<'static>);

impl Shown {
    fn new(issued: &Issued) -> Self {
        let cert = CertificateDer::from_pem_slice(issued.cert.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
        Self(cert, key)
    }

    /// The port of a broker that shows it, be it good or not, and hands the rest to `serve`.
    fn by(self, mut serve: impl FnMut(TlsStream) + Send + 'static) -> u16 {
        let ring = Arc::new(rustls::crypto::ring::default_provider());
        let key = ring.key_provider.load_private_key(self.1).unwrap();
        let shown = Arc::new(CertifiedKey::new(vec![self.0], key));
        let config = ServerConfig::builder_with_provider(ring)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
        let config = Arc::new(config);
        listen(move |socket| {
            let tls = ServerConnection::new(config.clone()).unwrap();
            serve(StreamOwned::new(tls, socket));
        })
    }
}

type TlsStream = StreamOwned<ServerConnection, TcpStream>;

/// Reads the CONNECT and accepts it; `None` when the client does not get that far.
fn accept(mut stream: TlsStream) -> Option<TlsStream> {
    let mut connect = [0; 1024];
    let count = stream.read(&mut connect).ok()?;
    assert!(count > 10 && connect[0] == 0x10, "CONNECT comes first");
    stream.write_all(&[0x20, 2, 0, 0]).unwrap();
    stream.flush().unwrap();
    Some(stream)
}

/// Ends a connection with a reset.
fn reset(socket: &TcpStream) {
    rustix::net::sockopt::set_socket_linger(socket, Some(Duration::ZERO)).unwrap();
}

#[test]
fn a_certificate_that_is_odd_is_refused_with_what_is_odd() {
    let authority = Authority::new("authority");
    let issue =
        |change: fn(&mut CertificateParams)| Shown::new(&authority.issue(&["127.0.0.1"], change));
    let mut old = issue(|_| {});
    // The version, [0] INTEGER 2, as that of a certificate without extensions.
    let mut bytes = old.0.to_vec();
    let version = bytes.windows(5).position(|it| it == [0xa0, 3, 2, 1, 2]);
    bytes[version.unwrap() + 4] = 0;
    old.0 = bytes.into();
    let mut garbage = issue(|_| {});
    garbage.0 = vec![0x30, 3, 1, 2, 3].into();
    let for_clients = issue(|params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    let unknown = issue(|params| {
        let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 1], vec![5, 0]);
        extension.set_criticality(true);
        params.custom_extensions = vec![extension];
    });
    let scratch = Scratch::new();
    let ca = path(&scratch.file("ca.pem", &authority.pem));
    for (shown, words) in [
        (old, "it is of version 1; make one of version 3"),
        (garbage, "it cannot be read"),
        (for_clients, "it is not made for servers"),
        (unknown, "(unsupported critical extension)"),
    ] {
        let port = shown.by(|stream| drop(accept(stream)));
        let said = refusal(&config(port, &json!({"ca_file": ca})));
        assert_says(
            &said,
            &["the broker's certificate is not accepted: ", words],
        );
    }
}

/// What a broker says to our hello, in plain text, and what is made of it.
fn answered(bytes: &[u8], tls: &Value) -> String {
    let bytes = bytes.to_vec();
    let port = listen(move |mut client| {
        let _ = client.read(&mut [0; 4096]);
        let _ = client.write_all(&bytes);
        let _ = client.shutdown(Shutdown::Write);
        let _ = client.read_to_end(&mut Vec::new());
    });
    refusal(&config(port, tls))
}

/// A fatal alert, RFC 8446 §6.
fn alert(code: u8) -> [u8; 7] {
    [21, 3, 3, 0, 2, 2, code]
}

#[test]
fn the_alerts_of_a_broker_are_told_in_words() {
    let authority = Authority::new("authority");
    let scratch = Scratch::new();
    let issued = authority.issue(&["gateway"], |_| {});
    let stranger = json!({"insecure": true});
    let known = json!({
        "insecure": true,
        "cert_file": path(&scratch.file("me.pem", &issued.cert)),
        "key_file": path(&scratch.file("me.key", &issued.key)),
    });
    let ours = "does not accept our certificate";
    for (tls, code, words) in [
        (
            &stranger,
            116,
            ["wants a client certificate", "`mqtt.tls.cert_file`"],
        ),
        (
            &stranger,
            40,
            ["refused the TLS handshake", "`mqtt.tls.cert_file`"],
        ),
        (&stranger, 70, ["neither TLS 1.2 nor TLS 1.3", ""]),
        (
            &stranger,
            112,
            ["does not know the name", "`mqtt.tls.server_name`"],
        ),
        (
            &stranger,
            80,
            ["ended TLS with the alert `internal error`", ""],
        ),
        (&stranger, 48, ["ended TLS with the alert `unknown ca`", ""]),
        (&known, 40, ["refused the TLS handshake", "P-521"]),
        (&known, 42, [ours, "it gives no reason"]),
        (&known, 43, [ours, "it is of a kind it does not take"]),
        (&known, 44, [ours, "it was revoked"]),
        (&known, 49, [ours, "access is denied"]),
    ] {
        assert_says(&answered(&alert(code), tls), &words);
    }
}

#[test]
fn a_broker_that_speaks_old_or_odd_tls_is_told_so() {
    // ServerHello of TLS 1.0: version, random, no session, a cipher, no compression.
    let mut hello = vec![22, 3, 1, 0, 42, 2, 0, 0, 38, 3, 1];
    hello.extend([7; 32]);
    hello.extend([0, 0, 0x2f, 0]);
    let insecure = json!({"insecure": true});
    assert_says(
        &answered(&hello, &insecure),
        &["the broker speaks neither TLS 1.2 nor TLS 1.3"],
    );
    // Application data before any handshake.
    let said = answered(&[23, 3, 3, 0, 1, 0], &insecure);
    assert_says(&said, &["TLS failed: "]);
}

#[test]
fn a_connection_that_breaks_is_told_with_the_cause() {
    let before = listen(|mut client| {
        reset(&client);
        let _ = client.read(&mut [0; 1]);
    });
    let said = refusal(&config(before, &json!({"insecure": true})));
    assert_says(
        &said,
        &["the TLS handshake with the broker failed: connection reset by the peer"],
    );

    let shown = || Shown::new(&Authority::new("authority").issue(&["127.0.0.1"], |_| {}));
    let resets = shown().by(|stream| {
        let stream = accept(stream).expect("CONNECT");
        reset(&stream.sock);
    });
    let cuts = shown().by(|stream| drop(accept(stream).expect("CONNECT")));
    let garbles = shown().by(|stream| {
        let mut stream = accept(stream).expect("CONNECT");
        stream.sock.write_all(&[23, 3, 3, 0, 20]).unwrap();
        stream.sock.write_all(&[0; 20]).unwrap();
        let _ = stream.sock.read_to_end(&mut Vec::new());
    });
    for (port, words) in [
        (resets, "connection reset by the peer"),
        (cuts, "the broker closed the connection"),
        (garbles, "TLS failed: "),
    ] {
        let mut config = config(port, &json!({"insecure": true}));
        config["mqtt"]["backoff"] = json!({"initial": 3600, "max": 3600});
        let mut agent = Agent::start(&config);
        eventually(words, || {
            let call = json!({"topic": "t/a", "payload": "x", "timeout": 0.2});
            let answer = agent.tool("mqtt_publish", call).wait();
            let said = answer["result"]["content"][0]["text"].as_str().unwrap();
            said.contains("not connected: ") && said.contains(words)
        });
    }
}

/// More than the systems between us take: a message counts as sent when the socket has taken it.
#[test]
fn a_broker_that_does_not_read_for_a_while_gets_everything_in_the_end() {
    let secured = Secured::good();
    let mut config = secured.config(json!({}));
    config["mqtt"]["keepalive"] = json!(600);
    config["limits"] = json!({"publish_queue_bytes": 1 << 25});
    let mut agent = Agent::start(&config);
    works(&mut agent);
    secured.broker.freeze();
    let payload = "x".repeat(1_000_000);
    let sent: Vec<_> = (0..12)
        .map(|_| {
            let message = json!({"topic": "t/a", "payload": payload, "qos": 1, "timeout": 60});
            agent.tool("mqtt_publish", message)
        })
        .collect();
    let ping = agent.request("ping", json!({})).wait();
    assert!(ping.get("result").is_some() && sent.iter().any(Answer::is_pending));
    secured.broker.thaw();
    for answer in sent {
        assert_eq!(answer.structured()["outcome"], "delivered");
    }
}

#[test]
fn a_system_without_authorities_ends_the_start_with_the_remedy() {
    let scratch = Scratch::new();
    let text = config(1, &json!(true)).to_string();
    let file = path(&scratch.file("config.json", &text));
    let empty = path(&scratch.file("empty.pem", ""));
    let absent = path(&scratch.path("absent.pem"));
    for (store, words) in [(&empty, "none found"), (&absent, "absent.pem")] {
        let output = Command::new(crate::common::program::PROGRAM)
            .args(["--config", &file])
            .env("SSL_CERT_FILE", store)
            .env_remove("SSL_CERT_DIR")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let log = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{log}");
        let remedy = "set `mqtt.tls.ca_file`";
        assert_says(&log, &["has no certificate authorities", words, remedy]);
    }
}

#[test]
fn a_name_that_no_certificate_can_have_ends_the_start_with_the_key() {
    let scratch = Scratch::new();
    let tls = json!({"insecure": true, "server_name": "under_score..example"});
    let file = path(&scratch.file("config.json", &config(1, &tls).to_string()));
    let (code, log) = Agent::with_args(&["--config", &file]).finish();
    assert_eq!(code, Some(1), "{log}");
    assert_says(
        &log,
        &["mqtt.tls.server_name: `under_score..example` cannot stand in a certificate"],
    );
}

#[test]
fn a_target_that_is_logged_shows_whom_we_expect_and_no_key() {
    let scratch = Scratch::new();
    let authority = Authority::new("authority");
    let issued = authority.issue(&["gateway"], |_| {});
    let tls = json!({
        "insecure": true,
        "server_name": "broker.example",
        "cert_file": path(&scratch.file("me.pem", &issued.cert)),
        "key_file": path(&scratch.file("me.key", &issued.key)),
    });
    let text = config(1, &tls).to_string();
    let loaded = mcpmqtt::app::startup::parse(&text, "of the test").unwrap();
    let target = mcpmqtt::app::startup::target(&loaded.config).unwrap();
    let shown = format!("{target:?}");
    assert_says(&shown, &["Tls(for DnsName(\"broker.example\"))"]);
    assert!(shown.len() < 300, "{shown}");
}

// ---- certificates that people make by hand

/// Runs openssl in the folder of `scratch`, as a manual page has it.
fn openssl(scratch: &Scratch, command: &str) {
    let made = Command::new("openssl")
        .args(command.split_whitespace())
        .current_dir(scratch.path(""))
        .output()
        .unwrap_or_else(|error| panic!("openssl: {error}; install it: apt-get install openssl"));
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "openssl {command}: {said}");
}

/// A mosquitto that shows `server.pem`, and trusts the clients of `ca.pem` if `options` ask for them.
fn broker_showing(scratch: &Scratch, options: &str, variables: &[(&str, String)]) -> Mosquitto {
    let file = |name| path(&scratch.path(name));
    let variables: Vec<_> = variables.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let options = format!(
        "user root\ncertfile {}\nkeyfile {}\n{options}",
        file("server.pem"),
        file("server.key")
    );
    Mosquitto::with(&options, &variables)
}

/// As everyone makes it who has no authority: of one, for a common name, with no name in it.
const SELF_SIGNED: &str =
    "req -x509 -newkey rsa:2048 -nodes -days 2 -keyout server.key -out server.pem";

#[test]
fn a_self_signed_certificate_in_ca_file_is_accepted_as_the_brokers_own() {
    for version in [None, Some(())] {
        let scratch = Scratch::new();
        openssl(&scratch, &format!("{SELF_SIGNED} -subj /CN=127.0.0.1"));
        let variables = version.map_or_else(Vec::new, |()| no_more_than_1_2(&scratch));
        let broker = broker_showing(&scratch, "", &variables);
        let pem = path(&scratch.path("server.pem"));
        let taken = Command::new("mosquitto_pub")
            .args(["-h", "127.0.0.1", "-p", &broker.port.to_string()])
            .args(["--cafile", &pem, "-t", "t/peer", "-m", "x"])
            .status();
        assert!(taken.unwrap().success(), "the peer takes it");
        works(&mut Agent::start(&config(
            broker.port,
            &json!({"ca_file": pem}),
        )));
    }
}

#[test]
fn a_certificate_in_ca_file_with_a_name_is_good_for_that_name_only() {
    let scratch = Scratch::new();
    let names = "-subj /CN=x -addext subjectAltName=DNS:broker.lab.example,IP:192.0.2.7";
    openssl(&scratch, &format!("{SELF_SIGNED} {names}"));
    let broker = broker_showing(&scratch, "", &[]);
    let pem = path(&scratch.path("server.pem"));
    let said = refusal(&config(broker.port, &json!({"ca_file": pem})));
    assert_says(
        &said,
        &["it is for `broker.lab.example`, `192.0.2.7`, not for `127.0.0.1`"],
    );
    let named = json!({"ca_file": pem, "server_name": "broker.lab.example"});
    works(&mut Agent::start(&config(broker.port, &named)));
}

/// A certificate signed by itself, with these dates.
fn dated(from: i32, to: i32) -> Issued {
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(to, 1, 1);
    let key = KeyPair::generate().unwrap();
    let cert = params.self_signed(&key).unwrap().pem();
    let key = key.serialize_pem();
    Issued { cert, key }
}

#[test]
fn a_certificate_in_ca_file_is_judged_by_its_dates_and_no_other_is_accepted_for_it() {
    let scratch = Scratch::new();
    for (from, to, words) in [
        (2001, 2002, "it expired at 2002-01-01T00:00:00Z"),
        (3000, 3001, "it is not valid before 3000-01-01T00:00:00Z"),
    ] {
        let own = dated(from, to);
        let file = path(&scratch.file("own.pem", &own.cert));
        let port = Shown::new(&own).by(|stream| drop(accept(stream)));
        assert_says(&refusal(&config(port, &json!({"ca_file": file}))), &[words]);
    }
    let (own, other) = (dated(2001, 3000), dated(2001, 3000));
    let file = path(&scratch.file("own.pem", &own.cert));
    let port = Shown::new(&other).by(|stream| drop(accept(stream)));
    let said = refusal(&config(port, &json!({"ca_file": file})));
    assert_says(&said, &["the broker's certificate is not accepted"]);
}

/// Whoever shows a certificate has to have its key, whatever is trusted.
#[test]
fn a_certificate_that_is_shown_without_its_key_is_refused() {
    let authority = Authority::new("authority");
    let (own, other) = (dated(2001, 3000), dated(2001, 3000));
    let signed = authority.issue(&["127.0.0.1"], |_| {});
    let scratch = Scratch::new();
    let pin = json!({"ca_file": path(&scratch.file("own.pem", &own.cert))});
    let ca = json!({"ca_file": path(&scratch.file("ca.pem", &authority.pem))});
    let stolen = [
        (&own.cert, json!({"insecure": true})),
        (&own.cert, pin),
        (&signed.cert, ca),
    ];
    for (cert, tls) in stolen {
        let (cert, key) = (cert.clone(), other.key.clone());
        let port = Shown::new(&Issued { cert, key }).by(|stream| drop(accept(stream)));
        let said = refusal(&config(port, &tls));
        assert_says(&said, &["the broker does not prove that it holds its key"]);
    }
}

/// Debian's openssl makes version 1 of the commands in mosquitto's manual page.
#[test]
fn client_certificates_of_version_1_are_shown_and_the_broker_judges_them() {
    let scratch = Scratch::new();
    openssl(&scratch, &format!("{SELF_SIGNED} -subj /CN=127.0.0.1"));
    for command in [
        "req -new -x509 -days 2 -nodes -newkey rsa:2048 -subj /CN=ca -keyout ca.key -out ca.pem",
        "genrsa -out me.key 2048",
        "req -out me.csr -key me.key -new -subj /CN=gateway",
        "x509 -req -in me.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out me.pem -days 2",
        "x509 -req -in me.csr -signkey me.key -out stranger.pem -days 2",
    ] {
        openssl(&scratch, command);
    }
    let file = |name| path(&scratch.path(name));
    let shown = Command::new("openssl")
        .args(["x509", "-noout", "-text", "-in", &file("me.pem")])
        .output();
    let shown = String::from_utf8(shown.unwrap().stdout).unwrap();
    assert!(shown.contains("Version: 1 (0x0)"), "{shown}");
    let wants = format!("cafile {}\nrequire_certificate true", file("ca.pem"));
    for variables in [Vec::new(), no_more_than_1_2(&scratch)] {
        let broker = broker_showing(&scratch, &wants, &variables);
        let with = |cert| {
            let tls = json!({"ca_file": file("server.pem"), "cert_file": file(cert), "key_file": file("me.key")});
            config(broker.port, &tls)
        };
        works(&mut Agent::start(&with("me.pem")));
        let said = refusal(&with("stranger.pem"));
        assert_says(&said, &["the broker does not accept our certificate"]);
    }
}

#[test]
fn insecure_takes_a_certificate_of_version_1_too() {
    let scratch = Scratch::new();
    for command in [
        "genrsa -out server.key 2048",
        "req -out server.csr -key server.key -new -subj /CN=elsewhere",
        "x509 -req -in server.csr -signkey server.key -out server.pem -days 2",
    ] {
        openssl(&scratch, command);
    }
    for variables in [Vec::new(), no_more_than_1_2(&scratch)] {
        let broker = broker_showing(&scratch, "", &variables);
        works(&mut Agent::start(&config(
            broker.port,
            &json!({"insecure": true}),
        )));
        let pin = json!({"ca_file": path(&scratch.path("server.pem"))});
        works(&mut Agent::start(&config(broker.port, &pin)));
    }
}

/// openssl's own server, which takes keys that mosquitto refuses.
struct TlsServer {
    port: u16,
    process: std::process::Child,
}

impl TlsServer {
    fn start(scratch: &Scratch) -> Self {
        let mut process = Command::new("openssl")
            .args("s_server -accept 127.0.0.1:0 -cert server.pem -key server.key".split(' '))
            .args(["-cipher", "DEFAULT:@SECLEVEL=0"])
            .current_dir(scratch.path(""))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let said = BufReader::new(process.stdout.take().unwrap());
        let mut lines = said.lines().map(Result::unwrap);
        let accepts = lines.find(|line| line.starts_with("ACCEPT ")).unwrap();
        let port = accepts.rsplit(':').next().unwrap().parse().unwrap();
        Self { port, process }
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_key_that_cannot_be_used_here_is_refused_by_its_kind() {
    let scratch = Scratch::new();
    let weak = SELF_SIGNED.replace("2048", "1024");
    openssl(&scratch, &format!("{weak} -subj /CN=127.0.0.1"));
    let server = TlsServer::start(&scratch);
    let port = server.port;
    let own = json!({"ca_file": path(&scratch.path("server.pem"))});
    for tls in [own, json!({"insecure": true}), json!(true)] {
        let said = refusal(&config(port, &tls));
        assert_says(&said, &["its key is RSA with 1024 bits", "2048"]);
    }
    drop(server);

    // Such a broker breaks off before it has shown its certificate.
    openssl(
        &scratch,
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-521 -nodes -days 2 -subj /CN=127.0.0.1 -keyout server.key -out server.pem",
    );
    let broker = broker_showing(&scratch, "", &[]);
    let said = refusal(&config(broker.port, &json!({"insecure": true})));
    assert_says(&said, &["refused the TLS handshake", "P-521"]);

    let ours = json!({"insecure": true, "cert_file": path(&scratch.path("server.pem")), "key_file": path(&scratch.path("server.key"))});
    let file = scratch.file("config.json", &config(1, &ours).to_string());
    let (code, log) = Agent::with_args(&["--config", file.to_str().unwrap()]).finish();
    assert_eq!(code, Some(1), "{log}");
    assert_says(
        &log,
        &[
            "mqtt.tls.key_file: cannot use `",
            "its key is on the curve P-521",
        ],
    );
}

/// TLS at a plain port of a broker, and the reverse: the word that helps is in both.
#[test]
fn a_port_of_the_other_kind_is_told() {
    let plain = Mosquitto::start();
    let said = refusal(&config(plain.port, &json!({"insecure": true})));
    assert_says(&said, &["TLS handshake", "`mqtt.port`", "TLS port?"]);
    let secured = Secured::good();
    let said = refusal(&open_config(secured.broker.port));
    assert_says(&said, &["`mqtt.tls`"]);
}

// ---- what `--check --connect` says of it

#[test]
fn the_check_connects_over_tls_as_the_server_would() {
    let secured = Secured::good();
    let stranger = Authority::new("a stranger").pem;
    let stranger = path(&secured.scratch.file("stranger.pem", &stranger));
    let check = |config: &Value| {
        let file = secured.scratch.file("config.json", &config.to_string());
        let output = std::process::Command::new(crate::common::program::PROGRAM)
            .args(["--check", "--connect", "--seconds", "1", "--config"])
            .arg(file)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), said)
    };
    let (code, said) = check(&secured.config(json!({})));
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(": granted; "), "{said}");
    let (code, said) = check(&secured.config(json!({"ca_file": stranger})));
    assert_eq!(code, Some(1), "{said}");
    assert_says(
        &said,
        &[
            "not connected: ",
            "its issuer is not trusted here",
            "`mqtt.tls.ca_file`",
        ],
    );
    // Without TLS where it is spoken.
    let mut plain = secured.config(json!({}));
    plain["mqtt"]["tls"] = json!(false);
    let (code, said) = check(&plain);
    assert_eq!(code, Some(1), "{said}");
    assert_says(&said, &["not connected: ", "TLS"]);
}
