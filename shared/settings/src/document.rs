//! Text to raw settings: reports unknown keys and wrong types key by key, takes them out, and
//! reads the rest, so that one mistake does not hide the next.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use crate::check::quoted;
use crate::problem::{Fault, Problem, SettingsError};
use crate::raw::{RawPeer, RawSettings};

/// A settings file whose keys and types are right, or reported.
pub(crate) struct Document {
    pub raw: RawSettings,
    pub line_by_key: BTreeMap<String, usize>,
    pub problems: Vec<Problem>,
}

/// Reads the text. Only what is not TOML at all ends here.
pub(crate) fn read(text: &str) -> Result<Document, SettingsError> {
    let (parsed, errors) = DeTable::parse_recoverable(text);
    SettingsError::unless_none(errors.iter().map(|error| syntax(text, error)).collect())?;
    let mut line_by_key = BTreeMap::new();
    note_lines(text, "", parsed.get_ref(), &mut line_by_key);

    // The tree with the lines keeps numbers as text: one that does not fit shows only here.
    let mut table: Table = text
        .parse()
        .map_err(|error| SettingsError::one(syntax(text, &error)))?;
    let known = known_table();
    let mut inspection = Inspection {
        known: &known,
        lines: &line_by_key,
        problems: Vec::new(),
    };
    inspection.table("", &mut table, &known);
    let problems = inspection.problems;
    let raw = table
        .try_into()
        .expect("every key was held against the defaults");
    Ok(Document {
        raw,
        line_by_key,
        problems,
    })
}

/// The defaults as TOML: the list of known keys and their types. Peers, of which there are none by
/// default, are shown by an example.
fn known_table() -> Table {
    let known = RawSettings {
        peer: vec![RawPeer::example()],
        ..RawSettings::default()
    };
    Table::try_from(known).expect("raw settings are tables of plain values")
}

fn syntax(text: &str, error: &toml::de::Error) -> Problem {
    let line = error.span().map(|span| line_of(text, span.start));
    let message = error.message().replace('\n', ", ");
    Problem {
        key: String::new(),
        line,
        fault: Fault::Syntax { message },
    }
}

struct Inspection<'a> {
    known: &'a Table,
    lines: &'a BTreeMap<String, usize>,
    problems: Vec<Problem>,
}

impl Inspection<'_> {
    /// Reports what does not fit `known` and takes it out of `table`.
    fn table(&mut self, path: &str, table: &mut Table, known: &Table) {
        table.retain(|key, value| {
            let key_path = join(path, key);
            match (known.get(key), value) {
                (None, _) => {
                    let nearest = nearest_key(self.known, path, key);
                    self.report(&key_path, Fault::UnknownKey { nearest });
                    false
                }
                (Some(Value::Table(known)), Value::Table(inner)) => {
                    self.table(&key_path, inner, known);
                    true
                }
                (Some(Value::Array(known)), Value::Array(items)) if is_of_tables(known) => {
                    self.array_of_tables(&key_path, items, known)
                }
                (Some(default), value) => self.value(&key_path, value, default),
            }
        });
    }

    /// The same for each table of an array of them; what is no table is reported and not kept.
    fn array_of_tables(&mut self, path: &str, items: &mut [Value], known: &[Value]) -> bool {
        let Some(Value::Table(known)) = known.first() else {
            return false;
        };
        let mut is_fit = true;
        for (index, item) in items.iter_mut().enumerate() {
            let path = format!("{path}[{index}]");
            match item {
                Value::Table(inner) => self.table(&path, inner, known),
                other => {
                    let fault = Fault::WrongType {
                        value: shown(other),
                        found: kind_of(other),
                        allowed: "a table".to_owned(),
                    };
                    self.report(&path, fault);
                    is_fit = false;
                }
            }
        }
        is_fit
    }

    fn value(&mut self, key: &str, value: &Value, default: &Value) -> bool {
        let fits = match (default, value) {
            (Value::Array(defaults), Value::Array(values)) => values.iter().all(|value| {
                defaults
                    .first()
                    .is_some_and(|default| default.same_type(value))
            }),
            _ => default.same_type(value),
        };
        if !fits {
            let fault = Fault::WrongType {
                value: shown(value),
                found: kind_of(value),
                allowed: allowed_like(default),
            };
            self.report(key, fault);
        }
        fits
    }

    fn report(&mut self, key: &str, fault: Fault) {
        let line = self.lines.get(key).copied();
        self.problems.push(Problem {
            key: key.to_owned(),
            line,
            fault,
        });
    }
}

/// The known key that a wrong one most likely means: near in spelling within its own table, else
/// the same name in another table.
fn nearest_key(known: &Table, path: &str, key: &str) -> Option<String> {
    let siblings = if path.is_empty() {
        Some(known)
    } else {
        let name = path.split('[').next().unwrap_or(path);
        table_of(known.get(name)?)
    };
    let near = siblings
        .into_iter()
        .flat_map(Table::keys)
        .map(|name| (distance(name, key), name));
    let near = near.filter(|(steps, name)| steps * 2 <= name.len()).min();
    if let Some((_, name)) = near {
        return Some(join(path, name));
    }
    let home = known
        .iter()
        .find(|(_, table)| table_of(table).is_some_and(|t| t.contains_key(key)));
    home.map(|(table, _)| join(table, key))
}

/// The keys of a table, or of each table of an array.
fn table_of(value: &Value) -> Option<&Table> {
    match value {
        Value::Array(items) => items.first()?.as_table(),
        _ => value.as_table(),
    }
}

fn is_of_tables(items: &[Value]) -> bool {
    items.first().is_some_and(Value::is_table)
}

/// Levenshtein distance: letters to add, drop or change.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, r) in right.iter().enumerate() {
            let change = diagonal + usize::from(l != *r);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

fn note_lines(text: &str, path: &str, table: &DeTable<'_>, lines: &mut BTreeMap<String, usize>) {
    for (key, value) in table {
        let key_path = join(path, key.get_ref());
        lines.insert(key_path.clone(), line_of(text, key.span().start));
        match value.get_ref() {
            DeValue::Table(inner) => note_lines(text, &key_path, inner, lines),
            DeValue::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    let line = line_of(text, item.span().start);
                    let item_path = format!("{key_path}[{index}]");
                    lines.insert(item_path.clone(), line);
                    if let DeValue::Table(inner) = item.get_ref() {
                        note_lines(text, &item_path, inner, lines);
                    }
                }
            }
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => {}
        }
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes()
        .take(offset)
        .filter(|octet| *octet == b'\n')
        .count()
        + 1
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// A value as a message shows it: on one line, not without end.
fn shown(value: &Value) -> String {
    const LENGTH_MAX: usize = 60;
    let text = match value {
        Value::String(text) => quoted(text),
        _ => value.to_string(),
    };
    match text.char_indices().nth(LENGTH_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a text",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number with a fraction",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date or time",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    }
}

/// What a key takes, said by example.
fn allowed_like(default: &Value) -> String {
    match default {
        Value::Boolean(_) => "true or false".to_owned(),
        Value::String(text) if text.is_empty() => "a text".to_owned(),
        Value::String(_) => format!("a text such as {default}"),
        Value::Integer(_) => format!("a whole number such as {default}"),
        Value::Array(_) => format!("a list such as {default}"),
        Value::Table(_) => "a table".to_owned(),
        Value::Float(_) | Value::Datetime(_) => default.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (left, right, steps) in [
            ("", "", 0),
            ("tick", "tick", 0),
            ("tick", "tik", 1),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(left, right), steps, "{left} {right}");
        }
    }

    #[test]
    fn the_line_of_each_key_and_item() {
        let text = "# comment\n[sip]\nstrict = true\nlisten = [\n  \"udp:0.0.0.0:1\",\n\
                    \"tcp:0.0.0.0:1\",\n]\n";
        let document = read(text).unwrap();
        let line = |key: &str| document.line_by_key.get(key).copied();
        assert_eq!(line("sip"), Some(2));
        assert_eq!(line("sip.strict"), Some(3));
        assert_eq!(line("sip.listen[1]"), Some(6));
        assert_eq!(line("sip.t1"), None);
    }
}
