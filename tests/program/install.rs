//! `--install` and `--uninstall`: false clients hold the exact command lines, and real files what is edited.
//! `scripts/clients` does the same with the real clients.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::common::program::{PROGRAM, counts};
use crate::common::scratch::Scratch;

/// A user's own directory with a configuration, and with programs of this name that write down what they are told.
struct User(Scratch);

impl User {
    fn with(clients: &[&str]) -> User {
        let home = Scratch::new();
        fs::create_dir_all(home.path("bin")).unwrap();
        fs::create_dir_all(home.path(".config/mcpmqtt")).unwrap();
        let topics = r#"{"topics": [{"pattern": "a/#", "permissions": ["read"]}]}"#;
        home.file(".config/mcpmqtt/config.json", topics);
        for client in clients {
            let script = "#!/bin/sh\nfor word in \"$@\"; do printf '%s\\n' \"$word\"; done >\"$HOME/told\"\necho \"${MCPMQTT_KEY-none}\" >\"$HOME/key\"\nexit ${FAILS-0}\n";
            let path = home.file(&format!("bin/{client}"), script);
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        User(home)
    }

    /// The exit code, standard output and standard error.
    fn run(&self, args: &[&str]) -> (i32, String, String) {
        self.run_with(args, &[])
    }

    fn run_with(&self, args: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
        let _ = fs::remove_file(self.path("told"));
        let output = Command::new(PROGRAM)
            .args(args)
            .env_clear()
            .env("PATH", self.path("bin"))
            .env("HOME", self.path(""))
            .envs(counts())
            .envs(variables.iter().copied())
            .current_dir(self.path(""))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            output.status.code().unwrap(),
            text(output.stdout),
            text(output.stderr),
        )
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path(name)
    }

    fn config(&self) -> String {
        self.path(".config/mcpmqtt/config.json")
            .to_str()
            .unwrap()
            .to_owned()
    }

    /// The words that a client was told, if it was started.
    fn told(&self) -> Vec<String> {
        let told = fs::read_to_string(self.path("told")).unwrap_or_default();
        told.lines().map(str::to_owned).collect()
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }
}

#[test]
fn a_client_with_a_command_is_told_exactly_this() {
    let user = User::with(&["claude", "codex", "gemini", "code"]);
    let config = user.config();
    let program = [PROGRAM, "--config", &config];
    let url = "http://127.0.0.1:8000/mcp";
    let stdio =
        json!({"command": PROGRAM, "args": ["--config", config], "type": "stdio", "name": "mqtt"});
    let http = json!({"type": "http", "url": url, "headers": {"Authorization": "Bearer ${env:MCPMQTT_KEY}"}, "name": "mqtt"});
    let (stdio, http) = (stdio.to_string(), http.to_string());
    let cases: [(&[&str], Vec<&str>); 12] = [
        (
            &["--install", "claude"],
            [
                &["mcp", "add", "--scope", "user", "mqtt", "--"],
                &program[..],
            ]
            .concat(),
        ),
        (
            &["--install", "claude-code", "--name", "plant", "--demo"],
            vec![
                "mcp", "add", "--scope", "user", "plant", "--", PROGRAM, "--demo",
            ],
        ),
        (
            &["--install=claude", "--url", url],
            vec![
                "mcp",
                "add",
                "--scope",
                "user",
                "--transport",
                "http",
                "mqtt",
                url,
                "--header",
                "Authorization: Bearer ${MCPMQTT_KEY}",
            ],
        ),
        (
            &["--uninstall", "claude"],
            vec!["mcp", "remove", "--scope", "user", "mqtt"],
        ),
        (
            &["--install", "codex"],
            [&["mcp", "add", "mqtt", "--"], &program[..]].concat(),
        ),
        (
            &["--install", "codex", "--url", url],
            vec![
                "mcp",
                "add",
                "mqtt",
                "--url",
                url,
                "--bearer-token-env-var",
                "MCPMQTT_KEY",
            ],
        ),
        (
            &["--install", "codex", "--uninstall"],
            vec!["mcp", "remove", "mqtt"],
        ),
        (
            &["--install", "gemini"],
            vec![
                "mcp",
                "add",
                "--scope",
                "user",
                "--timeout",
                "310000",
                "mqtt",
                PROGRAM,
                "--",
                "--config",
                &config,
            ],
        ),
        (
            &["--install", "gemini", "--url", url],
            vec![
                "mcp",
                "add",
                "--scope",
                "user",
                "--transport",
                "http",
                "--timeout",
                "310000",
                "--header",
                "Authorization: Bearer ${MCPMQTT_KEY}",
                "mqtt",
                url,
            ],
        ),
        (
            &["--uninstall", "gemini", "--name=plant"],
            vec!["mcp", "remove", "--scope", "user", "plant"],
        ),
        (&["--install", "vscode"], vec!["--add-mcp", &stdio]),
        (
            &["--install", "code", "--url", url],
            vec!["--add-mcp", &http],
        ),
    ];
    for (args, told) in cases {
        let (code, said, error) = user.run(args);
        assert_eq!((code, error.as_str()), (0, ""), "{args:?}: {said}");
        assert_eq!(user.told(), told, "{args:?}");
        // A key is in a variable and nowhere else.
        assert_eq!(
            said.contains("takes the API key from the variable MCPMQTT_KEY"),
            args.contains(&"--url"),
            "{said}"
        );
        let dry = [args, &["--dry-run"]].concat();
        let (code, said, _) = user.run(&dry);
        assert_eq!((code, user.told().len()), (0, 0), "{said}");
        assert!(said.starts_with("Would run: "), "{said}");
        // A shell that takes the line says the same.
        let line = said.strip_prefix("Would run: ").unwrap();
        let status = Command::new("/bin/sh")
            .args(["-c", line])
            .env("PATH", user.path("bin"))
            .env("HOME", user.path(""))
            .status()
            .unwrap();
        assert!(status.success());
        assert_eq!(user.told(), told, "{line}");
    }
    // A client that expands variables would write the key into its file.
    let (code, ..) = user.run_with(&["--install", "gemini"], &[("MCPMQTT_KEY", "secret")]);
    assert_eq!((code, user.text("key").as_str()), (0, "none\n"));
    // What the client's command could not do is not done.
    let (code, said, _) = user.run_with(&["--install", "claude"], &[("FAILS", "3")]);
    assert_eq!(code, 3);
    assert!(said.starts_with("Running: claude mcp add "), "{said}");
    assert!(!said.contains("now") && !said.contains("Gives"), "{said}");
}

#[test]
fn a_client_that_is_not_there_is_not_set_up_and_its_command_is_shown() {
    let user = User::with(&[]);
    let (code, said, error) = user.run(&["--install", "claude"]);
    assert_eq!(code, 1);
    assert!(
        said.contains("`claude` is not on PATH, so nothing was changed."),
        "{said}"
    );
    let line = format!(
        "claude mcp add --scope user mqtt -- {PROGRAM} --config {}",
        user.config()
    );
    assert!(said.lines().any(|it| it == line), "{said}");
    let (_, entry) = said.split_once(".claude.json`:\n").unwrap();
    let entry: Value = serde_json::from_str(entry).unwrap();
    assert_eq!(entry["mcpServers"]["mqtt"]["command"], PROGRAM);
    assert_eq!(error, "mcpmqtt: Claude Code is not set up\n");
    // Its file may have comments, so that it is for a person to edit.
    let (code, said, _) = user.run(&["--install", "zed"]);
    assert_eq!(code, 0);
    assert!(
        said.contains(".config/zed/settings.json`:\n{\n  \"context_servers\": {"),
        "{said}"
    );
    for (args, words) in [
        (
            &["--install", "claude-desktop", "--url", "https://a/mcp"][..],
            "takes no such server from its file",
        ),
        (
            &["--install", "emacs"],
            "`--install` cannot be `emacs`; allowed: `claude`, `claude-desktop`",
        ),
        (
            &["--install", "codex", "--name", "a b"],
            "`--name` cannot be `a b`; allowed: letters",
        ),
        (
            &["--install", "codex", "--url", "ws://a"],
            "`--url` cannot be `ws://a`; allowed: an `http://`",
        ),
        (
            &["--install", "codex", "--url", "http://a/mcp?api_key=SECRET"],
            "address without a login or a key",
        ),
        (
            &[
                "--install",
                "codex",
                "--url",
                "http://a/mcp?b=1&API%5fkey=SECRET",
            ],
            "address without a login or a key",
        ),
        (
            &["--install", "codex", "--url", "http://a", "--demo"],
            "`--url` and `--demo` exclude each other",
        ),
        (
            &["--install", "codex", "--check"],
            "`--install` and `--check` exclude each other",
        ),
        (&["--install", "codex", "x"], "unexpected argument `x`"),
        (&["--uninstall"], "`--uninstall` needs a value"),
        (&["--dry-run"], "`--dry-run` is for `--install` only"),
        (
            &["--uninstall", "zed"],
            "take `mqtt` out by hand: it is under `context_servers` in",
        ),
    ] {
        let (code, _, error) = user.run(args);
        assert!(code != 0 && error.contains(words), "{args:?}: {error}");
    }
}

#[test]
fn a_file_of_strict_json_is_edited_and_everything_else_stays() {
    let user = User::with(&[]);
    let file = ".cursor/mcp.json";
    // A first file is the owner's alone.
    let (code, said, error) = user.run(&["--install", "cursor"]);
    assert_eq!(code, 0, "{error}");
    assert!(
        said.starts_with("Cursor has the server `mqtt` now; "),
        "{said}"
    );
    let made: Value = serde_json::from_str(&user.text(file)).unwrap();
    let entry = json!({"command": PROGRAM, "args": ["--config", user.config()]});
    assert_eq!(made, json!({"mcpServers": {"mqtt": entry}}));
    assert_eq!(fs::metadata(user.path(file)).unwrap().mode() & 0o777, 0o600);
    assert!(!user.path(".cursor/mcp.json.before-mcpmqtt").exists());
    let (code, said, _) = user.run(&["--install", "cursor"]);
    assert_eq!(
        (code, said.as_str()),
        (0, "Cursor has the server `mqtt` already.\n")
    );

    let before =
        "{\r\n\t\"x\": 1.50, \"mcpServers\": {\r\n\t\t\"other\": {\"command\":\"o\"}\r\n\t}\r\n}";
    fs::write(user.path(file), before).unwrap();
    fs::set_permissions(user.path(file), fs::Permissions::from_mode(0o640)).unwrap();
    let (code, said, _) = user.run(&["--install", "cursor", "--dry-run"]);
    assert_eq!((code, user.text(file).as_str()), (0, before));
    assert!(said.starts_with("Would put this into "), "{said}");
    let url = "https://gateway.example/mcp";
    let (code, said, error) = user.run(&["--install", "cursor", "--url", url]);
    assert_eq!(code, 0, "{error}");
    assert!(said.contains("The file before is kept as "), "{said}");
    assert_eq!(user.text(".cursor/mcp.json.before-mcpmqtt"), before);
    assert_eq!(fs::metadata(user.path(file)).unwrap().mode() & 0o777, 0o640);
    let after = user.text(file);
    let (begin, rest) = before.split_once("\r\n\t}").unwrap();
    assert!(after.starts_with(begin) && after.ends_with(rest), "{after}");
    assert!(after.contains("Bearer ${env:MCPMQTT_KEY}"), "{after}");

    // Another server of that name is somebody else's.
    let (code, _, error) = user.run(&["--install", "cursor"]);
    assert_eq!((code, user.text(file)), (1, after));
    assert!(
        error.contains("it has another server `mqtt` already; choose a name with `--name`"),
        "{error}"
    );
    assert!(!error.contains("You can add this"), "{error}");
    // A dry run refuses what the real one does.
    let dry = user.run(&["--install", "cursor", "--dry-run"]);
    assert_eq!((dry.0, dry.2), (1, error));
    let (code, said, error) = user.run(&["--uninstall", "cursor"]);
    assert_eq!(code, 0, "{error}");
    assert!(
        said.starts_with("Cursor has no server `mqtt` any more."),
        "{said}"
    );
    assert_eq!(user.text(file), before);
    for dry in [&["--dry-run"][..], &[]] {
        let (code, said, _) = user.run(&[&["--uninstall", "cursor"], dry].concat());
        assert_eq!((code, said.as_str()), (0, "Cursor has no server `mqtt`.\n"));
    }

    // What is not strict JSON is for a person.
    let commented = "{\n  // mine\n  \"mcpServers\": {}\n}\n";
    fs::write(user.path(file), commented).unwrap();
    let (code, _, error) = user.run(&["--install", "cursor"]);
    assert_eq!((code, user.text(file).as_str()), (1, commented));
    assert!(error.contains("JSON has no comments"), "{error}");
    assert!(
        error.contains("You can add this there yourself:\n{\n  \"mcpServers\": {"),
        "{error}"
    );
    let mut names: Vec<_> = fs::read_dir(user.path(".cursor"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["mcp.json", "mcp.json.before-mcpmqtt"]);

    let (code, ..) = user.run(&["--install", "claude-desktop", "--demo"]);
    let desktop: Value =
        serde_json::from_str(&user.text(".config/Claude/claude_desktop_config.json")).unwrap();
    assert_eq!(code, 0);
    assert_eq!(desktop["mcpServers"]["mqtt"]["args"], json!(["--demo"]));
    // VS Code has a command to put a server in, and none to take it out.
    fs::create_dir_all(user.path(".config/Code/User")).unwrap();
    fs::write(
        user.path(".config/Code/User/mcp.json"),
        r#"{"servers": {"mqtt": {}, "b": {}}}"#,
    )
    .unwrap();
    let (code, ..) = user.run(&["--uninstall", "code"]);
    assert_eq!(code, 0);
    assert_eq!(
        user.text(".config/Code/User/mcp.json"),
        r#"{"servers": {"b": {}}}"#
    );
}

#[test]
fn a_configuration_that_does_not_start_is_not_given_to_a_client() {
    let user = User::with(&["claude"]);
    fs::write(user.config(), "{").unwrap();
    let (code, _, error) = user.run(&["--install", "claude"]);
    assert_eq!((code, user.told().len()), (1, 0));
    assert!(error.contains("cannot be used"), "{error}");
    fs::remove_file(user.config()).unwrap();
    let (code, _, error) = user.run(&["--install", "claude"]);
    assert_eq!((code, user.told().len()), (1, 0));
    assert!(
        error.contains("there is no configuration file")
            && error.contains("`mcpmqtt --init` makes one"),
        "{error}"
    );
    // On PATH it has a name that stays the same at an update.
    std::os::unix::fs::symlink(PROGRAM, user.path("bin/mcpmqtt")).unwrap();
    let (code, ..) = user.run(&["--install", "claude", "--demo"]);
    assert_eq!(code, 0);
    assert_eq!(user.told()[6], user.path("bin/mcpmqtt").to_str().unwrap());
}
