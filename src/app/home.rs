//! `~/` at the beginning of a path, which no shell sees in a configuration file or behind `--option=`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use mcpmqtt_config::{Config, Listen, Password, Trust};
use mcpmqtt_protocol::topic::ShownPath;

/// Puts the user's own directory in the place of `~` in every path of the configuration.
///
/// # Errors
/// The key of a path whose `~` means nothing, and why.
pub(crate) fn expand_all(config: &mut Config) -> Result<(), String> {
    let home = std::env::var_os("HOME");
    for (key, path) in paths(config) {
        *path = expand_with(path, home.as_deref()).map_err(|why| format!("{key}: {why}"))?;
    }
    Ok(())
}

/// Puts the user's own directory in the place of `~` in one path.
///
/// # Errors
/// The `~` means nothing, and why.
pub(crate) fn expand(path: &Path) -> Result<PathBuf, String> {
    expand_with(path, std::env::var_os("HOME").as_deref())
}

fn expand_with(path: &Path, home: Option<&OsStr>) -> Result<PathBuf, String> {
    let Some(after) = path.as_os_str().as_bytes().strip_prefix(b"~") else {
        return Ok(path.to_owned());
    };
    if !after.is_empty() && !after.starts_with(b"/") {
        return Err(format!(
            "{} is not understood: only `~/` is, for the directory that HOME names; write the whole path, or `./~` for a \
             name that begins so",
            ShownPath(path)
        ));
    }
    let home = home.map(Path::new).filter(|home| home.is_absolute());
    let home = home.ok_or_else(|| {
        format!(
            "{} cannot be expanded, since HOME names no directory; write the whole path",
            ShownPath(path)
        )
    })?;
    let rest = path.strip_prefix("~").unwrap_or(path);
    Ok(home.join(rest))
}

fn paths(config: &mut Config) -> Vec<(&'static str, &mut PathBuf)> {
    let mut paths = Vec::new();
    if let Some(path) = &mut config.logging.logfile {
        paths.push(("logging.logfile", path));
    }
    if let Some(path) = &mut config.operator.secret_file {
        paths.push(("operator.secret_file", path));
    }
    if let Some(audit) = &mut config.audit {
        paths.push(("audit.file", &mut audit.file));
    }
    let credentials = config.mqtt.credentials.as_mut();
    if let Some(Password::File(path)) = credentials.map(|it| &mut it.password) {
        paths.push(("mqtt.password_file", path));
    }
    if let Some(tls) = &mut config.mqtt.tls {
        if let Trust::File(path) = &mut tls.trust {
            paths.push(("mqtt.tls.ca_file", path));
        }
        if let Some(identity) = &mut tls.identity {
            paths.push(("mqtt.tls.cert_file", &mut identity.cert_file));
            paths.push(("mqtt.tls.key_file", &mut identity.key_file));
        }
    }
    if let Some(server) = &mut config.remote_server {
        if let Listen::Unix(path) = &mut server.listen {
            paths.push(("remote_server.uds", path));
        }
        if let Some(tls) = &mut server.tls {
            paths.push(("remote_server.tls.cert_file", &mut tls.identity.cert_file));
            paths.push(("remote_server.tls.key_file", &mut tls.identity.key_file));
            if let Some(path) = &mut tls.client_ca_file {
                paths.push(("remote_server.tls.client_ca_file", path));
            }
        }
    }
    paths
}
