//! A real mosquitto on loopback, and its command line clients.

use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::ports::free_port;
use super::scratch::Scratch;
use super::waiting::{PATIENCE, eventually};

pub struct Mosquitto {
    pub port: u16,
    child: Option<Child>,
    scratch: Scratch,
    /// Further lines of its configuration.
    options: String,
    /// Its environment's own variables.
    variables: Vec<(String, String)>,
}

impl Mosquitto {
    /// Starts a broker that takes everybody. Panics with the remedy when there is none installed.
    pub fn start() -> Self {
        Self::with("", &[])
    }

    /// One that keeps its sessions and messages on disk; it saves them when [`save`](Self::save) says.
    pub fn persistent() -> Self {
        // Started by root it would become a user that may not write here. When more than
        // max_inflight_messages (20) come back from its store, mosquitto 2.0.11 publishes again
        // what it had released already, against [MQTT-4.3.3-1]: no client can tell.
        let scratch = Scratch::new();
        let options = format!(
            "user root\npersistence true\npersistence_location {}\nautosave_interval 0\n\
             max_inflight_messages 1000\n",
            scratch.path("").display()
        );
        Self::on(scratch, &options, &[])
    }

    /// Starts it with further lines of configuration, and variables of the environment.
    pub fn with(options: &str, variables: &[(&str, &str)]) -> Self {
        Self::on(Scratch::new(), options, variables)
    }

    /// Starts one that answers a subscription to each of these filters with a refusal.
    #[allow(dead_code)]
    pub fn refusing(filters: &[&str]) -> Self {
        let scratch = Scratch::new();
        let acls = filters.iter().map(|filter| {
            serde_json::json!({"acltype": "subscribeLiteral", "topic": filter, "allow": false})
        });
        let rules = serde_json::json!({
            "defaultACLAccess": {
                "publishClientSend": true, "publishClientReceive": true, "subscribe": true, "unsubscribe": true,
            },
            "roles": [{"rolename": "anyone", "acls": acls.collect::<Vec<_>>()}],
            "groups": [{"groupname": "anyone", "roles": [{"rolename": "anyone"}]}],
            "anonymousGroup": "anyone",
            "clients": [],
        });
        let rules = scratch.file("rules.json", &rules.to_string());
        let library = std::fs::read_dir("/usr/lib")
            .unwrap()
            .map(|entry| entry.unwrap().path().join("mosquitto_dynamic_security.so"))
            .find(|path| path.exists());
        let options = format!(
            "user root\nplugin {}\nplugin_opt_config_file {}",
            library.expect("mosquitto brings its plugin").display(),
            rules.display()
        );
        Self::on(scratch, &options, &[])
    }

    fn on(scratch: Scratch, options: &str, variables: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| (String::from(*name), String::from(*value));
        let mut broker = Self {
            port: free_port(),
            child: None,
            scratch,
            options: options.to_owned(),
            variables: variables.iter().map(owned).collect(),
        };
        broker.restart();
        broker
    }

    /// Starts it (again) on its port and waits until it takes connections.
    pub fn restart(&mut self) {
        let text = format!(
            "listener {} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nlog_type none\n{}\n",
            self.port, self.options
        );
        let config = self.scratch.file("mosquitto.conf", &text);
        let child = Command::new("mosquitto")
            .arg("-c")
            .arg(config)
            .env("PATH", with_sbin())
            .envs(self.variables.clone())
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!(
                    "mosquitto: {error}; install it: apt-get install mosquitto mosquitto-clients"
                )
            });
        self.child = Some(child);
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert_eq!(ended, None, "mosquitto ended at once");
            assert!(start.elapsed() < PATIENCE, "mosquitto does not listen");
            std::thread::yield_now();
        }
    }

    /// Ends it without any farewell.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Stops its process: it keeps its connections and says nothing any more.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    pub fn thaw(&self) {
        self.signal("CONT");
    }

    /// Has it save its store, and waits until it has.
    #[allow(dead_code)] // Of the tests of the program none does.
    pub fn save(&self) {
        let identity = || {
            let found = std::fs::metadata(self.scratch.path("mosquitto.db")).ok();
            found.map(|file| (file.ino(), file.mtime(), file.mtime_nsec()))
        };
        let before = identity();
        self.signal("USR1");
        eventually("the store is saved", || {
            identity().is_some_and(|now| Some(now) != before)
        });
    }

    fn signal(&self, name: &str) {
        let pid = self.child.as_ref().expect("it runs").id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Publishes with `mosquitto_pub` and waits until it is done.
    pub fn publish(&self, args: &[&str]) {
        Clients(self.port).publish(args);
    }

    /// Publishes one message for each line of `lines`.
    pub fn publish_lines(&self, topic: &str, lines: &str) {
        Clients(self.port).publish_lines(&["-t", topic], lines);
    }

    /// Waits with `mosquitto_sub` for what the arguments say and returns what it printed. `then` is
    /// run when the subscription is in place.
    pub fn subscribe(&self, args: &[&str], then: impl FnOnce()) -> String {
        Clients(self.port).subscribe(args, then)
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The command line clients, for the broker at a port of loopback.
#[derive(Clone, Copy)]
pub struct Clients(pub u16);

impl Clients {
    /// Publishes with `mosquitto_pub` and waits until it is done.
    pub fn publish(&self, args: &[&str]) {
        assert!(
            self.client("mosquitto_pub", &[], args)
                .status()
                .expect(REMEDY)
                .success()
        );
    }

    /// Publishes one message for each line of `lines`.
    pub fn publish_lines(&self, args: &[&str], lines: &str) {
        let mut child = self
            .client("mosquitto_pub", &["-l"], args)
            .stdin(Stdio::piped())
            .spawn()
            .expect(REMEDY);
        child
            .stdin
            .take()
            .unwrap()
            .write_all(lines.as_bytes())
            .unwrap();
        assert!(child.wait().unwrap().success());
    }

    /// Waits with `mosquitto_sub` for what the arguments say and returns what it printed. `then` is
    /// run when the subscription is in place.
    pub fn subscribe(&self, args: &[&str], then: impl FnOnce()) -> String {
        // Its standard output is a pipe, on which it would keep its lines back.
        let mut command = self.client("stdbuf", &["-oL", "mosquitto_sub"], args);
        let child = command
            .arg("-d")
            .stdout(Stdio::piped())
            .spawn()
            .expect(REMEDY);
        let mut child = child;
        let mut then = Some(then);
        let mut printed = String::new();
        let stdout = std::io::BufReader::new(child.stdout.take().unwrap());
        for line in std::io::BufRead::lines(stdout) {
            let line = line.unwrap();
            if line.starts_with("Subscribed (mid") {
                if let Some(then) = then.take() {
                    then();
                }
            } else if !line.starts_with("Client ") {
                printed.push_str(&line);
                printed.push('\n');
            }
        }
        let ended = child.wait().unwrap().code();
        assert_ne!(ended, Some(NOT_FOUND), "{REMEDY}");
        printed
    }

    fn client(&self, program: &str, first: &[&str], args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(first)
            .args(["-h", "127.0.0.1", "-p", &self.0.to_string()])
            .args(args);
        command
    }
}

/// Debian keeps the broker where only root's path leads.
fn with_sbin() -> String {
    format!(
        "{}:/usr/sbin:/usr/local/sbin",
        std::env::var("PATH").unwrap_or_default()
    )
}

const REMEDY: &str = "the clients are missing; install them: apt-get install mosquitto-clients";

/// What `stdbuf` ends with when it does not find the program.
const NOT_FOUND: i32 = 127;
