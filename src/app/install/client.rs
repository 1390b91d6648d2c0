//! The MCP clients that the program can be put into: their commands, their files, and where they are found.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::app::location::Environment;

/// An MCP client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// Claude Code.
    Claude,
    /// Claude Desktop.
    ClaudeDesktop,
    /// Visual Studio Code.
    Code,
    /// Codex.
    Codex,
    /// Cursor.
    Cursor,
    /// Gemini CLI.
    Gemini,
    /// Zed.
    Zed,
}

/// What a client is told of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// The program to start, and its arguments.
    Program(Vec<String>),
    /// The address of a running server. The key is in the variable [`KEY`].
    Url(String),
}

/// The file of a client, and its object of servers.
pub(super) struct ClientFile {
    /// `None`: no variable says where the user's own directory is.
    pub(super) path: Option<PathBuf>,
    pub(super) list: &'static str,
}

impl Client {
    /// The names, for an error message.
    pub(crate) const ALLOWED: &str =
        "`claude`, `claude-desktop`, `code`, `codex`, `cursor`, `gemini` or `zed`";

    pub(super) const ALL: [Client; 7] = [
        Client::Claude,
        Client::Codex,
        Client::Gemini,
        Client::Code,
        Client::Cursor,
        Client::ClaudeDesktop,
        Client::Zed,
    ];

    /// The client of this name.
    pub(crate) fn from_name(name: &str) -> Option<Client> {
        match name {
            "claude-code" => Some(Client::Claude),
            "vscode" => Some(Client::Code),
            name => Client::ALL.into_iter().find(|client| client.name() == name),
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Client::Claude => "claude",
            Client::ClaudeDesktop => "claude-desktop",
            Client::Code => "code",
            Client::Codex => "codex",
            Client::Cursor => "cursor",
            Client::Gemini => "gemini",
            Client::Zed => "zed",
        }
    }

    /// The product's name.
    pub(super) fn title(self) -> &'static str {
        match self {
            Client::Claude => "Claude Code",
            Client::ClaudeDesktop => "Claude Desktop",
            Client::Code => "VS Code",
            Client::Codex => "Codex",
            Client::Cursor => "Cursor",
            Client::Gemini => "Gemini CLI",
            Client::Zed => "Zed",
        }
    }

    /// The arguments of the client's own command, without the program, that put a server in.
    pub(super) fn add(self, name: &str, target: &Target) -> Option<Vec<String>> {
        let words: Vec<&str> = match (self, target) {
            (Client::Claude, Target::Program(program)) => {
                with(&["mcp", "add", "--scope", "user", name, "--"], program)
            }
            // The header comes last: it takes all words that follow.
            (Client::Claude, Target::Url(url)) => vec![
                "mcp",
                "add",
                "--scope",
                "user",
                "--transport",
                "http",
                name,
                url,
                "--header",
                "Authorization: Bearer ${MCPMQTT_KEY}",
            ],
            (Client::Codex, Target::Program(program)) => with(&["mcp", "add", name, "--"], program),
            (Client::Codex, Target::Url(url)) => {
                vec![
                    "mcp",
                    "add",
                    name,
                    "--url",
                    url,
                    "--bearer-token-env-var",
                    KEY,
                ]
            }
            (Client::Gemini, Target::Program(program)) => {
                let (program, arguments) = program.split_first()?;
                with(
                    &[
                        "mcp",
                        "add",
                        "--scope",
                        "user",
                        "--timeout",
                        PATIENCE,
                        name,
                        program,
                        "--",
                    ],
                    arguments,
                )
            }
            (Client::Gemini, Target::Url(url)) => vec![
                "mcp",
                "add",
                "--scope",
                "user",
                "--transport",
                "http",
                "--timeout",
                PATIENCE,
                "--header",
                "Authorization: Bearer ${MCPMQTT_KEY}",
                name,
                url,
            ],
            (Client::Code, target) => {
                let mut entry = self.entry(target)?;
                entry["name"] = name.into();
                return Some(vec!["--add-mcp".into(), entry.to_string()]);
            }
            (Client::ClaudeDesktop | Client::Cursor | Client::Zed, _) => return None,
        };
        Some(words.into_iter().map(str::to_owned).collect())
    }

    /// The arguments of the client's own command that take a server out.
    pub(super) fn remove(self, name: &str) -> Option<Vec<String>> {
        let words = match self {
            Client::Claude | Client::Gemini => vec!["mcp", "remove", "--scope", "user", name],
            Client::Codex => vec!["mcp", "remove", name],
            Client::ClaudeDesktop | Client::Code | Client::Cursor | Client::Zed => return None,
        };
        Some(words.into_iter().map(str::to_owned).collect())
    }

    /// How the client shows its servers.
    pub(super) fn shows(self) -> &'static str {
        match self {
            Client::Claude => "`claude mcp list` shows whether it connects",
            Client::Codex => "`codex mcp list` shows it",
            Client::Gemini => "`gemini mcp list` shows whether it connects",
            Client::Code => "the command `MCP: List Servers` in VS Code shows it",
            Client::Cursor => "Cursor shows it in its settings, under MCP",
            Client::ClaudeDesktop => "Claude Desktop shows it after a restart",
            Client::Zed => "Zed shows it in its settings, under MCP",
        }
    }

    /// The client's entry for the server; `None` where its file takes none of this kind.
    pub(super) fn entry(self, target: &Target) -> Option<Value> {
        let bearer = |variable: &str| json!({"Authorization": format!("Bearer {variable}")});
        Some(match (self, target) {
            (Client::Claude, Target::Url(url)) => {
                json!({"type": "http", "url": url, "headers": bearer("${MCPMQTT_KEY}")})
            }
            (Client::Code, Target::Url(url)) => {
                json!({"type": "http", "url": url, "headers": bearer("${env:MCPMQTT_KEY}")})
            }
            (Client::Cursor, Target::Url(url)) => {
                json!({"url": url, "headers": bearer("${env:MCPMQTT_KEY}")})
            }
            (Client::Gemini, Target::Url(url)) => {
                json!({"httpUrl": url, "headers": bearer("${MCPMQTT_KEY}"), "timeout": 310_000})
            }
            // Nothing in these files expands a variable.
            (Client::ClaudeDesktop | Client::Codex | Client::Zed, Target::Url(_)) => return None,
            (client, Target::Program(program)) => {
                let (command, args) = program.split_first()?;
                let mut entry = json!({"command": command, "args": args});
                if client == Client::Code {
                    entry["type"] = "stdio".into();
                }
                entry
            }
        })
    }

    /// The file that has the client's servers.
    pub(super) fn file(self, environment: &Environment) -> ClientFile {
        let (below_home, list) = match self {
            Client::Claude => (".claude.json", "mcpServers"),
            Client::Codex => (".codex/config.toml", "mcp_servers"),
            Client::Cursor => (".cursor/mcp.json", "mcpServers"),
            Client::Gemini => (".gemini/settings.json", "mcpServers"),
            Client::ClaudeDesktop => ("Claude/claude_desktop_config.json", "mcpServers"),
            Client::Code => ("Code/User/mcp.json", "servers"),
            Client::Zed => ("zed/settings.json", "context_servers"),
        };
        let is_configuration = matches!(self, Client::ClaudeDesktop | Client::Code | Client::Zed);
        let base = match is_configuration {
            true => environment.own_directory(),
            false => environment.home_directory(),
        };
        ClientFile {
            path: base.map(|base| base.join(below_home)),
            list,
        }
    }

    /// Whether the file is strict JSON that other programs may edit.
    pub(super) fn is_edited(self) -> bool {
        matches!(self, Client::ClaudeDesktop | Client::Code | Client::Cursor)
    }

    /// Whether it is on this machine, so that it can be set up: its command where it has one, and otherwise its file or
    /// the directory of its own.
    pub(super) fn is_found(self, environment: &Environment) -> bool {
        if self.has_command() {
            return super::on_path(self.name()).is_some();
        }
        let file = self.file(environment).path;
        let exists = |path: &Path| path.exists();
        let is_there = |path: PathBuf| {
            let is_own = |folder: &Path| {
                let place = folder.file_name().and_then(|name| name.to_str());
                place.is_some_and(|name| OWN_DIRECTORIES.contains(&name)) && folder.is_dir()
            };
            exists(&path) || path.ancestors().skip(1).take(2).any(is_own)
        };
        file.is_some_and(is_there)
    }

    /// What `--install` does, before the client's title.
    pub(super) fn adds(self) -> &'static str {
        match self.has_command() || self.is_edited() {
            true => "adds it to",
            false => "shows what to add to",
        }
    }

    fn has_command(self) -> bool {
        !matches!(self, Client::ClaudeDesktop | Client::Cursor | Client::Zed)
    }
}

/// A client's own words, and those of the program that it starts.
fn with<'a>(begin: &[&'a str], program: &'a [String]) -> Vec<&'a str> {
    let program = program.iter().map(String::as_str);
    begin.iter().copied().chain(program).collect()
}

/// The variable with the key of a running server.
pub(super) const KEY: &str = "MCPMQTT_KEY";
/// Milliseconds: a tool may wait up to 300 s.
const PATIENCE: &str = "310000";
const OWN_DIRECTORIES: [&str; 3] = [".cursor", "Claude", "zed"];
