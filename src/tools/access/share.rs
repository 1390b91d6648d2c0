//! What a caller may publish in a second and in a minute.

use mcpmqtt_config::Quota;

use super::{Access, Denied};
use crate::local::time;
use crate::mcp::Caller;

impl Access {
    /// Counts one publish against the caller's rate and quota, or neither.
    pub(super) fn take_share(&self, caller: &Caller) -> Result<(), Denied> {
        let (quota, now) = (self.quota(caller), time::now());
        let has_room = self.quotas.check(caller.name(), quota.per_minute, now);
        has_room.map_err(Denied::Quota)?;
        let counted = self.rates.take(caller.id(), quota.per_second, now);
        counted.map_err(Denied::Rate)?;
        self.quotas.take(caller.name(), quota.per_minute, now);
        Ok(())
    }

    /// Whether one publish would be within the caller's rate and quota; nothing is counted.
    pub(super) fn has_share(&self, caller: &Caller) -> Result<(), Denied> {
        let (quota, now) = (self.quota(caller), time::now());
        let has_room = self.quotas.check(caller.name(), quota.per_minute, now);
        has_room.map_err(Denied::Quota)?;
        let has_room = self.rates.check(caller.id(), quota.per_second, now);
        has_room.map(drop).map_err(Denied::Rate)
    }

    fn quota(&self, caller: &Caller) -> Quota {
        let profiles = self.policy.profiles();
        let profile = profiles.get(caller.profile());
        profile.map(|profile| profile.quota).unwrap_or_default()
    }
}
