//! What a vendor's element says, as texts by their path, so that nobody has to read its XML again.

use super::super::limits::{EXTENSION_VALUE_CHARS_MAX, EXTENSION_VALUES_MAX};
use super::super::tree::Element;
use super::fields::{attribute, trim};

/// Texts of an element and of what is in it, in their order.
pub(super) fn of(element: &Element) -> Vec<(String, String)> {
    let mut values = Vec::new();
    attributes(element, &element.written, &mut values);
    for child in &element.children {
        collect(child, "", &mut values);
    }
    if element.children.is_empty() {
        push(&element.written, &element.text, &mut values);
    }
    values
}

fn collect(element: &Element, above: &str, values: &mut Vec<(String, String)>) {
    let name = match named(element) {
        Some(label) => format!("{}[{label}]", element.written),
        None => element.written.clone(),
    };
    let path = match above {
        "" => name,
        above => format!("{above}/{name}"),
    };
    attributes(element, &path, values);
    push(&path, &element.text, values);
    for child in &element.children {
        collect(child, &path, values);
    }
}

/// What tells an element from others of its name.
fn named(element: &Element) -> Option<&str> {
    attribute(element, &NAMING).filter(|label| label.len() <= EXTENSION_LABEL_BYTES_MAX)
}

fn attributes(element: &Element, path: &str, values: &mut Vec<(String, String)>) {
    for attribute in &element.attributes {
        // Which object a wrapper belongs to is known from elsewhere.
        let is_told = NAMING.contains(&attribute.name.as_str())
            || matches!(attribute.name.as_str(), "id" | "parent" | "lang");
        if !is_told {
            push(
                &format!("{path}@{}", attribute.name),
                &attribute.value,
                values,
            );
        }
    }
}

fn push(path: &str, text: &str, values: &mut Vec<(String, String)>) {
    let text = trim(text);
    if text.is_empty() || values.len() >= EXTENSION_VALUES_MAX {
        return;
    }
    let text = text.chars().take(EXTENSION_VALUE_CHARS_MAX).collect();
    values.push((path.to_owned(), text));
}

/// Attributes that vendors tell elements apart by.
const NAMING: [&str; 3] = ["label", "name", "key"];

const EXTENSION_LABEL_BYTES_MAX: usize = 64;
