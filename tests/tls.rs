//! TLS to a real mosquitto, with certificates made here: what is right works, and what is wrong is
//! told in words that name the remedy.

#![allow(clippy::unwrap_used)]
#![cfg(feature = "tls")]

mod harness;

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;

use harness::agent::Agent;
use harness::mosquitto::{Clients, Flood, Mosquitto, eventually};
use harness::{Scratch, free_port, open_config};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use serde_json::{Value, json};

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

/// What calls are told once the first attempt has failed.
fn refusal(config: &Value) -> String {
    let mut agent = Agent::start(config);
    let mut said = String::new();
    eventually("an attempt fails", || {
        let call = json!({"topic": "t/a", "payload": "x", "timeout": 0.2});
        said = agent.tool("mqtt_publish", call).error();
        said.contains("not connected: ")
    });
    said
}

fn assert_says(said: &str, expected: &[&str]) {
    for words in expected {
        assert!(said.contains(words), "no `{words}` in: {said}");
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

#[test]
fn a_broker_that_knows_no_more_than_tls_1_2_is_served_too() {
    let limit = |scratch: &Scratch| {
        let text = "openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\n\
                    MaxProtocol = TLSv1.2\n";
        vec![("OPENSSL_CONF", path(&scratch.file("openssl.cnf", text)))]
    };
    let secured = Secured::in_environment(&["127.0.0.1"], |_| {}, "", limit);
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
        let flood = Flood::start(plain, "t/flood");
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
    assert_says(&said, &["it is that of an authority"]);
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

    let limit = |scratch: &Scratch| {
        let text = "openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\n\
                    MaxProtocol = TLSv1.2\n";
        vec![("OPENSSL_CONF", path(&scratch.file("openssl.cnf", text)))]
    };
    let wants = "require_certificate true";
    let secured = Secured::in_environment(&["127.0.0.1"], |_| {}, wants, limit);
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
