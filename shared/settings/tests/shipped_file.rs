//! The shipped file: states every default, comments every key, and tells the true ranges.

use holdfast_settings::{DEFAULT_FILE, Fault, Settings};
use toml::{Table, Value};

#[test]
fn shipped_file_states_every_default() {
    let shipped: Table = DEFAULT_FILE.parse().unwrap();
    let defaults: Table = Settings::default().to_toml().parse().unwrap();
    assert_eq!(shipped, defaults);
}

#[test]
fn settings_survive_being_written_and_read() {
    let settings = Settings::from_toml(DEFAULT_FILE).unwrap();
    let again = Settings::from_toml(&settings.to_toml()).unwrap();
    assert_eq!(again.sip, settings.sip);
    assert_eq!(again.media, settings.media);
    assert_eq!(again.to_toml(), settings.to_toml());
}

#[test]
fn each_key_has_one_comment_above_it() {
    for (key, comment) in comments() {
        assert!(comment.len() > 20, "{key} is not explained: {comment:?}");
    }
    assert!(DEFAULT_FILE.lines().all(|line| line.chars().count() <= 100));
}

#[test]
fn comments_tell_the_ranges_that_are_enforced() {
    let defaults: Table = DEFAULT_FILE.parse().unwrap();
    let mut compared = 0;
    for (key, comment) in comments() {
        let (section, name) = key.split_once('.').unwrap();
        let beyond = match &defaults[section][name] {
            Value::Integer(_) => "1000000000000".to_owned(),
            Value::String(text) => match text.rsplit_once(' ').map(|(_, unit)| unit) {
                Some("us" | "ms" | "s" | "min" | "h" | "d") => "\"100000 d\"".to_owned(),
                Some("B" | "KiB" | "MiB" | "GiB" | "TiB") => "\"100000 TiB\"".to_owned(),
                Some("%") => "\"100 %\"".to_owned(),
                Some(_) | None => continue,
            },
            _ => continue,
        };
        let error = Settings::from_toml(&format!("[{section}]\n{name} = {beyond}")).unwrap_err();
        let [problem] = error.problems() else {
            panic!("{key}: {error}")
        };
        let Fault::NotAllowed { allowed, .. } = &problem.fault else {
            panic!("{key}: {error}")
        };
        assert!(
            comment.contains(allowed.as_str()),
            "{key}: {comment:?} lacks {allowed:?}"
        );
        compared += 1;
    }
    assert!(compared >= 25, "only {compared} ranges were compared");
}

/// Each key with the comment that stands directly above it.
fn comments() -> Vec<(String, String)> {
    let mut comments = Vec::new();
    let mut section = String::new();
    let mut comment = String::new();
    for line in DEFAULT_FILE.lines() {
        if let Some(text) = line.strip_prefix('#') {
            comment = format!("{comment} {}", text.trim()).trim().to_owned();
        } else if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
            comment.clear();
        } else if let Some((name, _)) = line.split_once(" = ") {
            comments.push((format!("{section}.{name}"), std::mem::take(&mut comment)));
        } else {
            comment.clear();
        }
    }
    assert!(comments.len() > 40, "the file is not read as it is written");
    comments
}
