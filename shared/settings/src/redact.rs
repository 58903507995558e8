//! Settings that may be shown to whoever watches: without what opens a door elsewhere.

use serde::Serialize;
use toml::{Table, Value};

use crate::settings::Settings;

impl Settings {
    /// Every key with its value, but passwords: those of keys that are called so, and those within
    /// addresses (`redis://user:password@host`). Files with secrets are named; what is in them is not
    /// part of settings.
    pub fn redacted(&self) -> impl Serialize + use<> {
        let mut table = Table::try_from(&self.raw).expect("raw settings are plain values");
        redact(&mut table);
        table
    }
}

fn redact(table: &mut Table) {
    for (key, value) in table.iter_mut() {
        match value {
            Value::Table(inner) => redact(inner),
            Value::Array(items) => {
                for item in items {
                    match item {
                        Value::Table(inner) => redact(inner),
                        other => redact_value(key, other),
                    }
                }
            }
            other => redact_value(key, other),
        }
    }
}

fn redact_value(key: &str, value: &mut Value) {
    let Value::String(text) = value else { return };
    if SECRET_KEYS.iter().any(|word| key.ends_with(word)) && !text.is_empty() {
        *text = HIDDEN.to_owned();
    } else if let Some((scheme, rest)) = text.split_once("://")
        && let Some((user, host)) = rest.rsplit_once('@')
        && let Some((user, _)) = user.split_once(':')
    {
        *text = format!("{scheme}://{user}:{HIDDEN}@{host}");
    }
}

/// What keys of secrets end in.
const SECRET_KEYS: [&str; 4] = ["password", "secret", "passphrase", "token"];
const HIDDEN: &str = "***";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_hidden_and_nothing_else() {
        let mut table: Table = "
            [a]
            url = 'redis://me:pa:ss@host:6379/0'
            plain = 'udp:0.0.0.0:5060'
            open = 'redis://host'
            password = 'x'
            empty_token = ''
            token_file = '/etc/token'
            [[peer]]
            secret = 'y'
            urls = ['redis://u:p@h']
        "
        .parse()
        .unwrap();
        redact(&mut table);
        let expected: Table = "
            [a]
            url = 'redis://me:***@host:6379/0'
            plain = 'udp:0.0.0.0:5060'
            open = 'redis://host'
            password = '***'
            empty_token = ''
            token_file = '/etc/token'
            [[peer]]
            secret = '***'
            urls = ['redis://u:***@h']
        "
        .parse()
        .unwrap();
        assert_eq!(table, expected);
    }
}
