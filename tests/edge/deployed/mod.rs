//! `deploy/`: what is there can be read by what it is for, and says what is true.

mod azure;
mod image;
mod linted;
mod nginx;
mod queries;
mod supply;
mod units;

use std::fs;
use std::path::{Path, PathBuf};

use crate::program::root;

/// The text of a file in `deploy/`.
fn deployed(file: &str) -> String {
    fs::read_to_string(root().join("deploy").join(file)).unwrap()
}

/// All files below a folder of the repository.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}
