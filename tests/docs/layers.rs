//! Imports go one way: from the program down to what knows nothing of it.

use std::path::{Path, PathBuf};

/// The modules of the crate. Each may use those before it.
const CRATE: &[&str] = &[
    "clock", "local", "io_error", "file", "pem", "der", "logger", "observe", "mqtt", "operator",
    "demo", "mcp", "metrics", "audit", "tools", "stdio", "http", "app",
];

/// The modules of `mcp`. Each may use those before it.
const MCP: &[&str] = &[
    "jsonrpc", "version", "schema", "client", "catalog", "server",
];

/// The modules of `http`. Each may use those before it.
const HTTP: &[&str] = &["net", "h1", "guard", "streamable", "conn"];

#[test]
fn no_import_runs_back_up() {
    let mut wrong = Vec::new();
    for (parent, order) in [("crate", CRATE), ("crate::mcp", MCP), ("crate::http", HTTP)] {
        let folder = source().join(parent.replace("crate", ".").replace("::", "/"));
        let found: Vec<_> = modules(&folder);
        for module in order {
            let below: Vec<_> = order.iter().take_while(|it| *it != module).collect();
            let files = files_of(&folder, module);
            assert!(!files.is_empty(), "{parent}::{module} is gone");
            for file in files {
                for used in uses(&file, parent) {
                    let known = found.contains(&used) && used != *module;
                    if known && !below.contains(&&used.as_str()) {
                        wrong.push(format!("{}: {parent}::{used}", file.display()));
                    }
                }
            }
        }
        for module in found {
            // Git leaves empty folders behind.
            assert!(
                files_of(&folder, &module).is_empty() || order.contains(&module.as_str()),
                "{parent}::{module} has no place in the order"
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The engine of MCP could be a crate of its own.
#[test]
fn mcp_knows_nothing_of_the_rest_of_the_crate() {
    for file in files_of(&source(), "mcp") {
        for used in uses(&file, "crate") {
            assert_eq!(used, "mcp", "{}", file.display());
        }
    }
}

/// A tool that has the MQTT client could forget the policy.
#[test]
fn of_the_tools_only_the_access_has_the_mqtt_client() {
    let mut named = Vec::new();
    for file in files_of(&source(), "tools") {
        let text = std::fs::read_to_string(&file).unwrap();
        if text.contains("client: mqtt::Client,") && text.contains("struct Access") {
            named.push(file);
        } else if !file.starts_with(source().join("tools/access")) {
            // To be handed on to the access.
            let handed = text.matches("mqtt::Client").count();
            let is_root = file == source().join("tools.rs");
            assert!(handed <= usize::from(is_root), "{}", file.display());
        }
    }
    assert_eq!(named, [source().join("tools/access.rs")]);
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The names of the modules in a folder, files and folders.
fn modules(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .filter(|name| !["lib", "main", "mod", "fuzz"].contains(&name.as_str()))
        .collect();
    names.sort();
    names.dedup();
    names
}

/// The file of a module, and those in its folder.
fn files_of(folder: &Path, module: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let own = folder.join(format!("{module}.rs"));
    files.extend(own.exists().then_some(own));
    let mut folders = vec![folder.join(module)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(folder) else {
            continue;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => files.push(path),
            }
        }
    }
    files
}

/// The children of `parent` that a file names by their whole path, also as `super::` from a `mod.rs` beside them.
fn uses(file: &Path, parent: &str) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap();
    let code: Vec<&str> = text
        .lines()
        .take_while(|line| !line.starts_with("#[cfg(test)]"))
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    let code = code.join("\n");
    assert!(!code.contains("super::super::"), "{}", file.display());
    let beside = source().join(parent.replace("crate", ".").replace("::", "/"));
    let is_child = file.parent().and_then(Path::parent) == Some(&beside)
        && file.file_name() == Some("mod.rs".as_ref());
    let mut prefixes = vec![format!("{parent}::")];
    if is_child {
        prefixes.push("super::".into());
    }
    let mut names = Vec::new();
    for prefix in prefixes {
        for (at, _) in code.match_indices(&prefix) {
            let before = code[..at].chars().next_back();
            let visibility = code[..at].ends_with("in ");
            if visibility || before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            names.extend(first_names(&code[at + prefix.len()..]));
        }
    }
    names
}

/// `a` of `a::b`; `a` and `c` of `{a::b, c}`.
fn first_names(path: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        let text = text.trim_start();
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
        text[..end.unwrap_or(text.len())].to_owned()
    };
    let Some(group) = path.strip_prefix('{') else {
        return vec![name(path)];
    };
    let (mut names, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                names.push(name(&group[start..at]));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                names.push(name(&group[start..at]));
                start = at + 1;
            }
            _ => {}
        }
    }
    names
}
