//! docs/configuration.md is written from the shipped file, whose keys, defaults and ranges other tests
//! hold against the code. After a change of a setting:
//!
//!   UPDATE_DOCS=1 cargo test -p holdfast-settings --test reference

use std::fmt::Write as _;
use std::path::Path;

use holdfast_settings::DEFAULT_FILE;

#[test]
fn the_reference_is_what_the_shipped_file_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let expected = reference();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap();
    assert!(
        found == expected,
        "docs/configuration.md is out of date: see the head of this test"
    );
}

fn reference() -> String {
    let mut out = String::from(HEAD);
    let mut comment: Vec<&str> = Vec::new();
    let mut is_in_table = false;
    for line in DEFAULT_FILE.lines() {
        if let Some(text) = line.strip_prefix('#') {
            comment.push(text.strip_prefix(' ').unwrap_or(text));
        } else if let Some(name) = line.strip_prefix('[') {
            let name = name.trim_end_matches(']');
            write!(
                out,
                "\n## `[{name}]`\n\n| key | default | what it does |\n|---|---|---|\n"
            )
            .unwrap();
            is_in_table = true;
            comment.clear();
        } else if let Some((key, value)) = line.split_once(" = ") {
            let text = comment.join(" ").replace('|', "\\|");
            writeln!(out, "| `{key}` | `{value}` | {text} |").unwrap();
            comment.clear();
        } else {
            // What stands alone is about more than one key; of what is before the first table the head
            // has said enough.
            if is_in_table && !comment.is_empty() {
                let paragraph = comment.join("\n");
                match paragraph.split_once("\n\n") {
                    Some((text, example)) => {
                        write!(out, "\n{text}\n\n```toml\n{example}\n```\n").unwrap();
                    }
                    None => write!(out, "\n{paragraph}\n").unwrap(),
                }
            }
            comment.clear();
        }
    }
    out
}

const HEAD: &str = "# Settings

One TOML file for both processes and the command; `holdfast config check` holds one against its rules
and the machine, `holdfast config show` prints what is in force. A key that is left out has its default;
an unknown key, and a value out of its range, are refused at start with line, key, value and what is
allowed. This page is written from [config/holdfast.toml](../config/holdfast.toml).

Durations and sizes are a whole number and a unit: us, ms, s, min, h, d; B, KiB, MiB, GiB, TiB. Relative
paths start at the folder the process was started in.
";
