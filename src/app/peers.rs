//! The users of this machine that the configuration lists, by their numbers.
//!
//! Does not: ask a directory service. A user that is not in `/etc/passwd` is listed by number.

use std::path::Path;

use mcpmqtt_config::{PeerRule, PeerUser};
use mcpmqtt_protocol::topic::Shown;

use crate::file;
use crate::http::PeerCaller;

/// Finds the users; `/etc/passwd` is read only where one has a name.
///
/// # Errors
/// The first user that is not there, or why the names cannot be read.
pub(crate) fn find(rules: &[PeerRule]) -> Result<Vec<PeerCaller>, String> {
    let has_names = rules.iter().any(|it| matches!(it.user, PeerUser::Name(_)));
    let passwd = match has_names {
        true => file::read(Path::new(PASSWD), PASSWD_BYTES).map_err(|error| {
            let why = crate::io_error::describe(&error);
            format!("remote_server.peers: cannot read `{PASSWD}`: {why}")
        })?,
        false => Vec::new(),
    };
    find_in(rules, &String::from_utf8_lossy(&passwd))
}

fn find_in(rules: &[PeerRule], passwd: &str) -> Result<Vec<PeerCaller>, String> {
    let mut found: Vec<PeerCaller> = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        let (id, name) = match &rule.user {
            PeerUser::Id(id) => (*id, id.to_string()),
            PeerUser::Name(name) => {
                let id = id_of(name, passwd).ok_or_else(|| {
                    format!(
                        "remote_server.peers[{index}].user: there is no user {} in `{PASSWD}`; a user of a directory \
                         service is listed by number",
                        Shown(name)
                    )
                })?;
                (id, name.clone())
            }
        };
        if let Some(other) = found.iter().find(|other| other.id == id) {
            return Err(format!(
                "remote_server.peers[{index}].user: {} and {} are the same user, which has one profile",
                Shown(&name),
                Shown(&other.name)
            ));
        }
        found.push(PeerCaller {
            id,
            name,
            profile: rule.profile.clone(),
        });
    }
    Ok(found)
}

/// The number of the user with this name: passwd(5), the third field.
fn id_of(name: &str, passwd: &str) -> Option<u32> {
    let mut lines = passwd.lines().map(|line| line.split(':'));
    let mut fields =
        lines.find_map(|mut fields| (fields.next() == Some(name)).then_some(fields))?;
    fields.nth(1)?.parse().ok()
}

const PASSWD: &str = "/etc/passwd";
/// Tens of thousands of users.
const PASSWD_BYTES: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(user: PeerUser) -> PeerRule {
        PeerRule {
            user,
            profile: "line".into(),
        }
    }

    fn found(users: &[PeerUser]) -> Result<Vec<(u32, String)>, String> {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\nbad:x:many:1::/:/bin/sh\nshort:x\n";
        let rules: Vec<_> = users.iter().cloned().map(rule).collect();
        let found = find_in(&rules, passwd)?;
        assert!(found.iter().all(|peer| peer.profile == "line"));
        Ok(found.into_iter().map(|peer| (peer.id, peer.name)).collect())
    }

    #[test]
    fn a_name_stands_for_its_number_and_a_number_for_itself() {
        let name = |name: &str| PeerUser::Name(name.into());
        assert_eq!(
            found(&[name("ann"), PeerUser::Id(7), name("root")]),
            Ok(vec![
                (1000, "ann".into()),
                (7, "7".into()),
                (0, "root".into())
            ])
        );
        for (users, words) in [
            (
                [PeerUser::Id(7), name("eve")],
                "remote_server.peers[1].user: there is no user `eve` in `/etc/passwd`; a user of a directory service is \
                 listed by number",
            ),
            (
                [PeerUser::Id(7), name("bad")],
                "remote_server.peers[1].user: there is no user `bad` in `/etc/passwd`; a user of a directory service is \
                 listed by number",
            ),
            (
                [PeerUser::Id(7), name("short")],
                "remote_server.peers[1].user: there is no user `short` in `/etc/passwd`; a user of a directory service \
                 is listed by number",
            ),
            (
                [PeerUser::Id(1000), name("ann")],
                "remote_server.peers[1].user: `ann` and `1000` are the same user, which has one profile",
            ),
        ] {
            assert_eq!(found(&users), Err(words.to_owned()));
        }
    }
}
