//! Who is in a group, as far as the machine's files of accounts tell.

use std::cell::OnceCell;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The machine's files of accounts, read when they are first asked.
pub(crate) struct Accounts {
    folder: PathBuf,
    read: OnceCell<Read>,
}

struct Read {
    user: Option<u32>,
    groups: String,
    users: String,
}

impl Accounts {
    /// Over `group` and `passwd` of a folder; `/etc`, where none is given.
    pub(crate) fn new(folder: Option<&Path>) -> Self {
        Self { folder: folder.unwrap_or(Path::new("/etc")).to_owned(), read: OnceCell::new() }
    }

    /// The group, for messages, where somebody but this user and root may be in it: one that the files do not
    /// know may have anybody in it. A user's own group, as many systems give every user one, has nobody else.
    pub(crate) fn shared_group(&self, group: u32) -> Option<String> {
        let read = self.read.get_or_init(|| {
            // What is not there tells nothing.
            let text = |name: &str| std::fs::read_to_string(self.folder.join(name)).unwrap_or_default();
            // The process's own folder belongs to its user.
            let user = std::fs::metadata("/proc/self").ok().map(|own| own.uid());
            Read { user, groups: text("group"), users: text("passwd") }
        });
        // name:password:number:…
        let numbered = |text: &str, place: usize| -> Option<u32> { text.split(':').nth(place)?.parse().ok() };
        let Some(line) = read.groups.lines().find(|line| numbered(line, 2) == Some(group)) else {
            return Some(format!("group {group}"));
        };
        let is_other = |user: u32| user != 0 && Some(user) != read.user;
        let by_name = |name: &str| {
            let known = read.users.lines().find(|line| line.split(':').next() == Some(name));
            known.and_then(|line| numbered(line, 2))
        };
        let members = line.split(':').nth(3).unwrap_or_default().split(',').map(str::trim);
        // Whoever has no account here may have one elsewhere.
        let member = members.filter(|name| !name.is_empty()).any(|name| by_name(name).is_none_or(is_other));
        let first = read
            .users
            .lines()
            .any(|line| numbered(line, 3) == Some(group) && numbered(line, 2).is_none_or(is_other));
        (member || first).then(|| format!("group `{}`", line.split(':').next().unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_group_with_nobody_else_is_the_users_own() {
        let folder = tempfile::tempdir().unwrap();
        let own = std::fs::metadata("/proc/self").unwrap().uid();
        let passwd = format!(
            "root:x:0:0:root:/root:/bin/sh\nme:x:{own}:7001:Me:/home/me:/bin/sh\nada:x:6001:7002::/home/ada:\n"
        );
        std::fs::write(folder.path().join("passwd"), passwd).unwrap();
        let groups =
            "me:x:7001:\nada:x:7002:\nroots:x:7003:root,me\nteam:x:7004:me,ada\nafar:x:7005:unknown\n";
        std::fs::write(folder.path().join("group"), groups).unwrap();
        let accounts = Accounts::new(Some(folder.path()));
        for (group, shared) in [
            (7001, None),
            (7002, Some("group `ada`")),
            (7003, None),
            (7004, Some("group `team`")),
            (7005, Some("group `afar`")),
            (7006, Some("group 7006")),
        ] {
            assert_eq!(accounts.shared_group(group).as_deref(), shared, "{group}");
        }
        let nothing = Accounts::new(Some(&folder.path().join("nowhere")));
        assert_eq!(nothing.shared_group(7001).as_deref(), Some("group 7001"));
    }
}
