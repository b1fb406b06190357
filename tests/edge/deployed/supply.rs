//! Where what is deployed comes from.

use std::fs;

use super::deployed;
use crate::program::root;

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Packages of a lock file that come from elsewhere, or that nothing proves to be the ones.
fn unproved(lock: &str) -> Vec<String> {
    let lock: toml::Table = lock.parse().unwrap();
    let packages = lock["package"].as_array().unwrap();
    assert!(packages.len() > 100);
    let strange = packages
        .iter()
        .filter(|package| match package.get("source") {
            // A part of this workspace.
            None => !["tonegate", "tonegate-load"]
                .iter()
                .any(|own| package["name"].as_str() == Some(own)),
            Some(source) => {
                let digest = package.get("checksum").and_then(|sum| sum.as_str());
                source.as_str() != Some(REGISTRY) || digest.is_none_or(|sum| sum.len() != 64)
            }
        });
    strange.map(|package| package["name"].to_string()).collect()
}

#[test]
fn s39_every_package_is_of_one_registry_and_proved_by_its_digest() {
    let read = |file: &str| fs::read_to_string(root().join(file)).unwrap();
    let lock = read("Cargo.lock");
    assert_eq!(unproved(&lock), Vec::<String>::new());
    let planted = lock.replacen(REGISTRY, "git+https://example.com/fork", 1);
    assert_eq!(unproved(&planted).len(), 1);
    // What is built is what is locked, here and in the image.
    assert!(read("Makefile").contains("RELEASE := --release --locked"));
    assert!(deployed("Dockerfile").contains("cargo build --release --locked"));
    // And `make check` lets in no licence, package or source that is not listed.
    let deny: toml::Table = read(".deny.toml").parse().unwrap();
    for what in ["unknown-registry", "unknown-git"] {
        assert_eq!(deny["sources"][what].as_str(), Some("deny"), "{what}");
    }
    assert_eq!(deny["bans"]["wildcards"].as_str(), Some("deny"));
    assert!(read("Makefile").contains("check licenses bans sources"));
}
