//! The file system of the image, made as the Dockerfile makes it, with the program run in it.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, getuid, kill_process};
use tonegate::ids::SessionId;
use tonegate::secret::Digest;

use super::{deployed, files};
use crate::harness::{KEY, within};
use crate::program::root;

/// The image's files in a folder; dropping it removes them.
struct Image(PathBuf);

impl Drop for Image {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Image {
    fn made() -> Image {
        let folder = std::env::temp_dir().join(format!("tonegate-image-{}", SessionId::random()));
        let image = Image(folder);
        let done = Command::new(root().join("deploy/image.sh"))
            .arg(env!("CARGO_BIN_EXE_tonegate"))
            .arg(&image.0)
            .output()
            .unwrap();
        assert!(done.status.success(), "{done:?}");
        fs::set_permissions(&image.0, fs::Permissions::from_mode(0o755)).unwrap();
        image
    }

    /// The program in the image, as the image's user: nothing else of this machine is there.
    fn program(&self) -> Command {
        let mut enter = if getuid().is_root() {
            let mut enter = Command::new("chroot");
            enter.arg("--userspec=65532:65532");
            enter
        } else {
            let mut enter = Command::new("unshare");
            enter.args(["--user", "--map-root-user", "chroot"]);
            enter
        };
        enter.arg(&self.0).arg("/tonegate");
        let path = std::env::var_os("PATH").unwrap_or_default();
        enter.env_clear().env("PATH", path);
        enter
    }
}

/// A port that nobody has now.
fn free() -> u16 {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap().port()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

#[test]
fn b18_s40_the_image_has_the_program_and_what_it_needs_and_nothing_to_write_to() {
    let image = Image::made();
    let mut names = BTreeSet::new();
    for file in files(&image.0) {
        let mode = fs::symlink_metadata(&file).unwrap().permissions().mode();
        // Nobody but the owner, root, may write; nothing lends its owner's rights.
        assert_eq!(mode & 0o6022, 0, "{} has mode {mode:o}", file.display());
        let name = file.strip_prefix(&image.0).unwrap();
        names.insert(name.to_str().unwrap().to_owned());
    }
    let is_library = |name: &str| {
        let file = Path::new(name).file_name().unwrap().to_str().unwrap();
        name.starts_with("lib") && file.contains(".so")
    };
    let others: Vec<&String> = names.iter().filter(|name| !is_library(name)).collect();
    let known = [
        "etc/group",
        "etc/nsswitch.conf",
        "etc/passwd",
        "etc/ssl/certs/ca-certificates.crt",
        "tonegate",
    ];
    assert_eq!(others, known);
    assert!(names.iter().any(|name| name.contains("/libc.so")));
    let version = image.program().arg("--version").output().unwrap();
    assert!(version.status.success(), "{}", told(&version));
}

/// A process that is killed if its test fails.
struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn b18_s38_the_program_serves_in_the_image_is_asked_how_it_is_and_ends_with_0() {
    let image = Image::made();
    let admin = format!("127.0.0.1:{}", free());
    let asked = |ready: bool| {
        let mut healthy = image.program();
        healthy.args(["healthy", "--admin", &admin]);
        if ready {
            healthy.arg("--ready");
        }
        healthy.output().unwrap()
    };
    // Nobody is there yet: that is no health.
    let nobody = asked(false);
    assert_eq!(nobody.status.code(), Some(1), "{}", told(&nobody));
    assert!(told(&nobody).contains("cannot ask the edge"));
    let serve = image
        .program()
        .arg("serve")
        .envs([
            ("AZURE_AI_FOUNDRY_RESOURCE", "my-resource"),
            ("AZURE_SPEECH_KEY", "k"),
            ("TONEGATE_ADMIT", "key"),
            ("TONEGATE_PLAIN_TEXT", "true"),
            ("ALLOWED_ORIGINS", "none"),
            ("TONEGATE_ADDRESS", "127.0.0.1"),
        ])
        .env("PORT", free().to_string())
        .env("TONEGATE_ADMIN", &admin)
        .env("TONEGATE_KEY_SHA256", Digest::of(KEY).to_hex())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut served = Served(serve);
    within("the image's program", async {
        while !asked(true).status.success() {
            assert_eq!(served.0.try_wait().unwrap(), None, "it has ended");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let well = asked(false);
    assert_eq!(String::from_utf8_lossy(&well.stdout), "ok\n");
    kill_process(Pid::from_child(&served.0), Signal::TERM).unwrap();
    let ended = tokio::task::spawn_blocking(move || served.0.wait().unwrap());
    let ended = within("its end", ended).await.unwrap();
    assert_eq!(ended.code(), Some(0));
}

#[test]
fn b18_s40_the_dockerfile_runs_nobody_and_asks_with_a_verb_that_there_is() {
    let text = deployed("Dockerfile");
    let last = text.rsplit("\nFROM ").next().unwrap();
    assert!(last.starts_with("scratch\n"), "{last}");
    for line in [
        "USER 65532:65532",
        "STOPSIGNAL SIGTERM",
        "ENTRYPOINT [\"/tonegate\"]",
        "COPY --from=build /image/ /",
    ] {
        assert!(last.lines().any(|l| l == line), "{line}");
    }
    assert!(last.contains("CMD [\"/tonegate\", \"healthy\"]"));
    // Whatever is pinned is a version, and the compiler's is that of the manifest.
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let rust = manifest["package"]["rust-version"].as_str().unwrap();
    assert!(text.contains(&format!("ARG RUST=rust:{rust}.0-slim-bookworm\n")));
    let version = manifest["package"]["version"].as_str().unwrap();
    assert!(last.contains(&format!("ARG VERSION={version}\n")));
    // What the build copies is in the context, or there is nothing to copy.
    let context = fs::read_to_string(root().join(".dockerignore")).unwrap();
    for read in ["!deploy/image.sh", "!.cargo/config.toml"] {
        assert!(context.lines().any(|line| line == read), "{read}");
    }
}
