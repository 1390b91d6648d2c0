//! The reload of the configuration while the program runs.
//!
//! Promises: all of the new file counts or nothing of it; when the log says that it is in force, no call, stream or
//! connection is judged by the old one any more; what takes effect at a restart only is named in the log.
//! Does not: watch the file. SIGHUP starts a reload.

use std::rc::Rc;

use async_channel::Receiver;
use mcpmqtt_config::{ApiKey, Config, KeyDigest};

use super::admission::{NO_SECTION, admission, tls};
use crate::app::cli::Settings;
use crate::app::service::Service;
use crate::app::startup;
use crate::app::startup::Loaded;
use crate::audit::Audit;
use crate::http::ReloadHandle;
use crate::logger;
use crate::mcp::Principal;
use crate::operator::Operator;
use crate::tools::Context;

/// All that can be changed while agents are served over HTTP.
pub(super) struct Reload {
    /// The configuration that the program was started with, and of its changes those that are in force.
    pub(super) running: Config,
    /// The API keys in force.
    pub(super) keys: Vec<Key>,
    /// Records the reload.
    pub(super) audit: Option<Audit>,
    pub(super) settings: Settings,
    pub(super) context: Rc<Context>,
    pub(super) operator: Operator,
    pub(super) reload_handle: ReloadHandle,
    pub(super) service: Rc<Service>,
}

/// An API key by its name and by what tells it from others with the name.
pub(super) type Key = (String, Option<KeyDigest>);

/// The API keys of a configuration.
pub(super) fn keys(config: &Config) -> Vec<Key> {
    let Some(server) = &config.remote_server else {
        return Vec::new();
    };
    let single = match &server.api_key {
        ApiKey::None | ApiKey::Unusable(_) => None,
        ApiKey::Hashed(record) => Some((Principal::DEFAULT_KEY.into(), record.digest())),
        ApiKey::Plain(key) => {
            let digest = KeyDigest::of(key.expose());
            Some((Principal::DEFAULT_KEY.into(), Some(digest)))
        }
    };
    let named = server.keys.iter();
    let named = named.map(|key| (key.name.clone(), Some(key.digest)));
    single.into_iter().chain(named).collect()
}

/// The names of those of `keys` that are not in `others`.
fn without(keys: &[Key], others: &[Key]) -> Vec<String> {
    let missing = keys.iter().filter(|key| !others.contains(key));
    missing.map(|(name, _)| name.clone()).collect()
}

impl Reload {
    /// Reloads the file at each SIGHUP.
    pub(super) async fn at_each(mut self, hangups: Receiver<()>) {
        while hangups.recv().await.is_ok() {
            self.service.reloading().await;
            match self.load().await {
                Ok(origin) => logger::info(format_args!("configuration reloaded from {origin}")),
                Err(why) => {
                    for line in why.lines() {
                        logger::error(format_args!("{line}"));
                    }
                    logger::error(format_args!(
                        "the configuration was not reloaded; the one before stays in force"
                    ));
                }
            }
            self.service.ready().await;
        }
    }

    async fn load(&mut self) -> Result<String, String> {
        let Loaded {
            mut config,
            origin,
            warnings,
            ..
        } = startup::load(self.settings.config.as_deref())?;
        let Some(server) = config.remote_server.clone() else {
            return Err(NO_SECTION.into());
        };
        let running = self.running.remote_server.as_ref();
        let is_secure = running.is_some_and(|running| running.tls.is_some());
        // To begin or end with HTTPS takes a restart; its files may be others.
        let tls = if is_secure { tls(&server)? } else { None };
        let secret = startup::operator_secret(&config.operator)?;
        // The last step that can fail; what follows takes effect.
        self.reload_handle
            .admit_by(admission(server, tls)?)
            .map_err(|error| error.to_string())?;
        self.operator.replace(config.operator.clone(), secret);
        let profiles = std::mem::take(&mut config.profiles);
        self.context.replace_profiles(profiles).await;
        let keys = keys(&config);
        let before = std::mem::replace(&mut self.keys, keys);
        if let Some(audit) = &self.audit {
            let (made, revoked) = (without(&self.keys, &before), without(&before, &self.keys));
            audit.reloaded(&origin, &made, &revoked);
        }
        logger::restart(
            self.settings.log_level.unwrap_or(config.logging.level),
            self.settings
                .logfile
                .as_deref()
                .or(config.logging.logfile.as_deref()),
        );
        for warning in &warnings {
            logger::warning(format_args!("{warning}"));
        }
        for key in self.running.fixed_changes(&config) {
            logger::warning(format_args!(
                "{key}: the new value takes effect at a restart"
            ));
        }
        Ok(origin)
    }
}
