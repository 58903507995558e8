//! docs/standards.md: each requirement has a row, and what shows a row is there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use holdfast_e2e::prometheus::repository;

/// A row of the page.
struct Row {
    id: String,
    state: String,
    /// Numbers of cases, and paths.
    places: Vec<String>,
}

/// An id of a requirement, where a line of a table begins with one: `| P-03a | …`.
fn id_of(line: &str) -> Option<&str> {
    let id = line.strip_prefix("| ")?.split(' ').next()?;
    let (area, number) = id.split_once('-')?;
    let is_id = area.len() == 1
        && "PMRSDTF".contains(area)
        && number.starts_with(|first: char| first.is_ascii_digit());
    is_id.then_some(id)
}

fn page() -> String {
    std::fs::read_to_string(repository().join("docs/standards.md")).expect("the page")
}

fn rows(page: &str) -> Vec<Row> {
    let row = |line: &str| {
        let id = id_of(line)?.to_owned();
        let cells: Vec<&str> = line.trim_end_matches('|').split(" | ").collect();
        let [_, _, _, state, places] = cells[..] else {
            panic!("five cells: {line}");
        };
        let places = places
            .split(',')
            .map(|place| place.trim().trim_matches('`'));
        Some(Row {
            id,
            state: state.trim().to_owned(),
            places: places
                .filter(|it| !it.is_empty())
                .map(str::to_owned)
                .collect(),
        })
    };
    page.lines().filter_map(row).collect()
}

/// The numbers in the names of the cases: `tc_110_111_reports` has two.
fn cases() -> BTreeSet<u32> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut cases = BTreeSet::new();
    for entry in std::fs::read_dir(folder).expect("the tests") {
        let path = entry.expect("an entry").path();
        let source = std::fs::read_to_string(path).unwrap_or_default();
        for name in source.split("fn tc_").skip(1) {
            let words = name.split('(').next().unwrap_or_default().split('_');
            cases.extend(words.map_while(|word| word.parse::<u32>().ok()));
        }
    }
    cases
}

#[test]
fn each_requirement_has_one_row_and_no_row_is_of_none() {
    let standards = repository().join("../shared/standards");
    let Ok(entries) = std::fs::read_dir(&standards) else {
        eprintln!("SKIPPED: {} is not there", standards.display());
        return;
    };
    let mut wanted = BTreeSet::new();
    for entry in entries {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|it| it == "md") {
            let text = std::fs::read_to_string(&path).expect("a page");
            wanted.extend(text.lines().filter_map(id_of).map(str::to_owned));
        }
    }
    assert!(wanted.len() > 300, "{}", wanted.len());
    let rows = rows(&page());
    let there: BTreeSet<String> = rows.iter().map(|row| row.id.clone()).collect();
    assert_eq!(there.len(), rows.len(), "an id has two rows");
    let missing: Vec<_> = wanted.difference(&there).collect();
    let unknown: Vec<_> = there.difference(&wanted).collect();
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "missing {missing:?}, unknown {unknown:?}"
    );
}

#[test]
fn each_row_says_how_it_stands_and_what_it_names_is_there() {
    let page = page();
    let rows = rows(&page);
    assert!(rows.len() > 300, "{}", rows.len());
    let cases = cases();
    let mut count = BTreeMap::new();
    for Row { id, state, places } in &rows {
        assert!(
            ["met", "partly", "not", "n/a"].contains(&state.as_str()),
            "{id}: {state:?}"
        );
        *count.entry(state.as_str()).or_insert(0) += 1;
        assert!(
            state != "met" || !places.is_empty(),
            "{id} is met, and nothing shows it"
        );
        for place in places {
            let is_there = match place.strip_prefix("TC-") {
                Some(number) => number.parse().is_ok_and(|number| cases.contains(&number)),
                None => repository().join(place).is_file(),
            };
            assert!(is_there, "{id} names {place}, which is not there");
        }
    }
    let told = format!(
        "Of {} rows {} are met, {} partly, {} not, {} n/a.",
        rows.len(),
        count["met"],
        count["partly"],
        count["not"],
        count["n/a"]
    );
    assert!(page.contains(&told), "the page does not say: {told}");
}
