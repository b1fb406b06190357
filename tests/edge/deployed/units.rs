//! The units, as systemd reads and rates them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tonegate::ids::SessionId;

use super::deployed;

const UNITS: [&str; 3] = ["tonegate.service", "tonegate@.service", "tonegate.socket"];
const SERVICES: [&str; 2] = ["tonegate.service", "tonegate@.service"];
/// Tenths of what `systemd-analyze security` calls exposure, 0 to 100: what is left is that it has a network,
/// threads, and a socket to systemd.
const EXPOSURE: u32 = 12;

/// The units in a folder, with the program where it is; dropping it removes them.
struct Units(PathBuf);

impl Drop for Units {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Units {
    fn with(change: impl Fn(&str) -> String) -> Units {
        let folder = std::env::temp_dir().join(format!("tonegate-units-{}", SessionId::random()));
        fs::create_dir(&folder).unwrap();
        for unit in UNITS {
            let text = change(&deployed(unit));
            let text = text.replace(
                "=/usr/local/bin/tonegate ",
                concat!("=", env!("CARGO_BIN_EXE_tonegate"), " "),
            );
            fs::write(folder.join(unit), text).unwrap();
        }
        Units(folder)
    }

    fn verified(&self) -> Output {
        // An instance, as a template by itself is not loaded.
        let instance = self.0.join("tonegate@1.service");
        fs::copy(self.0.join("tonegate@.service"), &instance).unwrap();
        let mut verify = Command::new("systemd-analyze");
        verify.args(["verify", "--man=no", "--recursive-errors=no"]);
        verify.args([
            instance,
            self.0.join("tonegate.service"),
            self.0.join("tonegate.socket"),
        ]);
        verify
            .output()
            .expect("systemd-analyze is missing: run `make tools`")
    }
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// Whether systemd rates a unit better than a threshold.
fn rated(unit: &Path, threshold: u32) -> Output {
    Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager"])
        .arg(format!("--threshold={threshold}"))
        .arg(unit)
        .output()
        .expect("systemd-analyze is missing: run `make tools`")
}

#[test]
fn b18_systemd_reads_the_units_and_finds_a_word_that_it_does_not_know() {
    let read = Units::with(str::to_owned).verified();
    assert!(
        read.status.success() && told(&read).is_empty(),
        "{}",
        told(&read)
    );
    for (before, after) in [
        ("WatchdogSec=", "WatchdogSecs="),
        ("Type=notify\n", "Type=notified\n"),
        ("ListenStream=0.0.0.0:8443", "ListenStream=0.0.0.0:844x"),
    ] {
        let planted = Units::with(|text| text.replace(before, after)).verified();
        assert!(!told(&planted).is_empty(), "{after} was not found");
    }
}

#[test]
fn b18_s40_the_services_are_exposed_to_nothing_that_they_do_not_need() {
    let units = Units::with(str::to_owned);
    for service in SERVICES {
        let rating = rated(&units.0.join(service), EXPOSURE);
        assert!(rating.status.success(), "{}", told(&rating));
    }
    let open = Units::with(|text| text.replace("\nSystemCallFilter=", "\n#SystemCallFilter="));
    let rating = rated(&open.0.join("tonegate.service"), EXPOSURE);
    assert!(!rating.status.success(), "{}", told(&rating));
    for service in SERVICES {
        let text = deployed(service);
        for line in [
            "DynamicUser=yes",
            "NoNewPrivileges=yes",
            "ProtectSystem=strict",
            "SystemCallFilter=@system-service",
            "MemoryMax=2G",
            "LimitCORE=0",
            "CapabilityBoundingSet=",
        ] {
            assert!(text.lines().any(|l| l == line), "{service} has no {line}");
        }
    }
}

#[test]
fn b18_the_two_services_differ_in_what_a_handover_needs_and_in_nothing_else() {
    let lines = |unit: &str| -> BTreeSet<String> {
        let text = deployed(unit);
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(str::to_owned).collect()
    };
    let [one, two] = SERVICES.map(lines);
    let only = |a: &BTreeSet<String>, b: &BTreeSet<String>| -> Vec<String> {
        let keys = a
            .difference(b)
            .map(|line| line.split('=').next().unwrap().to_owned());
        keys.collect()
    };
    assert_eq!(only(&one, &two), ["Description"]);
    let added = [
        "Description",
        "RuntimeDirectory",
        "RuntimeDirectoryMode",
        "RuntimeDirectoryPreserve",
    ];
    assert_eq!(only(&two, &one), added);
    // Doors that systemd has are those that the service may have.
    let socket = deployed("tonegate.socket");
    assert!(socket.contains("ListenStream=0.0.0.0:8443\n"));
    assert!(one.contains("SocketBindAllow=tcp:8443"));
}
