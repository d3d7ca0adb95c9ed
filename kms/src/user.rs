//! What the users of this machine are called.

use std::fs;

/// How to run a command as the user with that id.
pub(crate) fn command_as(id: u32) -> String {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    match name_of(id, &users) {
        Some(name) => format!("`runuser -u {name} -- sealgate …` (user id {id})"),
        None => format!("`sudo -u '#{id}' sealgate …`"),
    }
}

/// The name that `users`, in the form of passwd(5), gives to that id.
fn name_of(id: u32, users: &str) -> Option<&str> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, found) = (fields.next()?, fields.nth(1)?);
        (found.parse() == Ok(id)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_called_what_the_list_says() {
        let users = "root:x:0:0:root:/root:/bin/sh\nbroken\nsealgate:x:812:800::/:/bin/false\n";
        assert_eq!(name_of(812, users), Some("sealgate"));
        assert_eq!(name_of(0, users), Some("root"));
        assert_eq!(name_of(800, users), None);
        assert!(command_as(u32::MAX - 7).contains("sudo -u '#4294967288'"));
    }
}
