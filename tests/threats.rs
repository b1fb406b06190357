//! The table of threats names tests that exist, and every row of the threat model that is due.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Rows of the threat model that the doors and the calls behind them must meet.
const DUE: [u32; 42] = [
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26,
    27, 28, 29, 30, 31, 32, 33, 34, 36, 37, 38, 39, 40, 41, 42, 43,
];

fn rust(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust(&path, text);
        } else if path.extension().is_some_and(|e| e == "rs") {
            text.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

/// Rows of the table, and what is wrong with them.
fn check(table: &str, code: &str) -> (BTreeSet<u32>, Vec<String>) {
    let (mut rows, mut wrong) = (BTreeSet::new(), Vec::new());
    for line in table.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let Some(Ok(row)) = cells.get(1).map(|cell| cell.parse::<u32>()) else {
            continue;
        };
        rows.insert(row);
        let tests: Vec<&str> = cells[4].split('`').skip(1).step_by(2).collect();
        if tests.is_empty() {
            wrong.push(format!("row {row} has no test"));
        }
        for test in tests {
            let is_test = code.match_indices(&format!("fn {test}(")).any(|(at, _)| {
                let before = code[..at].trim_end().trim_end_matches("async").trim_end();
                [
                    "#[test]",
                    "#[tokio::test]",
                    "#[tokio::test(start_paused = true)]",
                ]
                .iter()
                .any(|attribute| before.ends_with(attribute))
            });
            if !is_test {
                wrong.push(format!("row {row}: there is no test {test}"));
            }
        }
    }
    (rows, wrong)
}

#[test]
fn every_threat_has_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = fs::read_to_string(root.join("tests/threats.md")).unwrap();
    let mut code = String::new();
    rust(&root.join("tests"), &mut code);
    rust(&root.join("src"), &mut code);
    let (rows, wrong) = check(&table, &code);
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(rows, BTreeSet::from(DUE));
    // A test that is not there is seen, and so is a row without one.
    let planted = table.replace("s18_extensions", "s18_no_such");
    assert_eq!(check(&planted, &code).1.len(), 1);
    // Neither is a function a test.
    for planted in ["| 9 | x | y | |", "| 9 | x | y | `check` |"] {
        assert_eq!(check(planted, &code).1.len(), 1);
    }
}
