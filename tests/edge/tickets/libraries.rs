//! "Any library": tickets that other people's code has signed, with secrets and with private keys.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::*;
use crate::harness::{PATIENCE, folder};
use crate::program::{ends_well, root, tool};

/// The first example in Python of the README's section on tickets.
fn recipe() -> String {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let (_, section) = readme.split_once("\n### Tickets\n").unwrap();
    let (_, rest) = section.split_once("\n```python\n").unwrap();
    rest.split_once("\n```").unwrap().0.to_owned()
}

#[tokio::test]
async fn a32_the_recipe_of_the_readme_signs_a_ticket_with_pyjwt() {
    let own = folder();
    let script = own.join("recipe.py");
    std::fs::write(&script, recipe()).unwrap();
    std::fs::write(own.join("ticket.secret"), format!("{SECRET}\n")).unwrap();
    let world = World::with(Wish {
        more: tables().replacen("\"one\"", "\"2026-11\"", 1),
        ..wish()
    })
    .await;
    let mut run = Command::new(tool("voicelive-py/bin/python"));
    run.arg(&script)
        .current_dir(&own)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let ticket = ends_well(&mut run, PATIENCE).await.trim().to_owned();
    std::fs::remove_dir_all(&own).unwrap();
    let page = [("Origin", PAGE)];
    let target = format!("/ws?ticket={ticket}");
    world.refused(&target, &[]).await.is(403, "forbidden");
    let caller = world.ask(&target, &page).await;
    let mut caller = caller.unwrap_or_else(|refused| panic!("{}", refused.body));
    let seen = world.upstream_saw(|_| true).await;
    assert!(
        seen.target.contains("model=gpt-realtime"),
        "{}",
        seen.target
    );
    caller.close(1000, "").await;
    caller.closed().await;
    world
        .refused(&target, &page)
        .await
        .is(401, "unauthenticated");
}

#[tokio::test]
async fn a32_nodes_own_crypto_signs_a_ticket() {
    let world = World::with(wish()).await;
    let mut run = Command::new(tool("bin/node"));
    run.arg(root().join("tests/sdk/ticket.mjs"))
        .args([AUDIENCE, "browser"])
        .env("TICKET_SECRET", SECRET);
    let ticket = ends_well(&mut run, PATIENCE).await.trim().to_owned();
    speaks(world.ask(&target(&ticket), &[]).await.unwrap()).await;
}

async fn openssl(args: &[&str], to: &Path) {
    let mut run = Command::new("openssl");
    ends_well(run.args(args).arg("-out").arg(to), PATIENCE).await;
}

/// A folder with keys of every kind, private and public.
async fn keys() -> PathBuf {
    let own = folder();
    let file = |name: &str| own.join(name);
    let curve = ["-pkeyopt", "ec_paramgen_curve:P-256"];
    let bits = ["-pkeyopt", "rsa_keygen_bits:2048"];
    let weak = ["-pkeyopt", "rsa_keygen_bits:1024"];
    let other = ["-pkeyopt", "ec_paramgen_curve:P-384"];
    for (name, kind, more) in [
        ("es", "EC", &curve[..]),
        ("ed", "ED25519", &[]),
        ("rs", "RSA", &bits[..]),
        ("weak", "RSA", &weak[..]),
        ("p384", "EC", &other[..]),
    ] {
        let private = file(&format!("{name}.key"));
        let make = [&["genpkey", "-algorithm", kind][..], more].concat();
        openssl(&make, &private).await;
        let private = private.display().to_string();
        let public = ["pkey", "-in", &private, "-pubout"];
        openssl(&public, &file(&format!("{name}.pem"))).await;
    }
    own
}

/// One key of `[tickets]`.
fn key(id: &str, algorithm: &str, line: &str) -> String {
    format!("[[tickets.keys]]\nid = \"{id}\"\nalgorithm = \"{algorithm}\"\n{line}\n")
}

/// The keys of the folder, signed with by PyJWT; what the script printed.
async fn signed_by_pyjwt(own: &Path) -> Value {
    let mut script = Command::new(tool("voicelive-py/bin/python"));
    script
        .arg(root().join("tests/sdk/ticket.py"))
        .arg(own)
        .arg(AUDIENCE)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let told = ends_well(&mut script, PATIENCE).await;
    serde_json::from_str(told.lines().last().unwrap()).unwrap()
}

#[tokio::test]
async fn a32_private_keys_of_others_sign_and_the_edge_has_their_public_ones() {
    let own = keys().await;
    let public = |name: &str| format!("public_key = \"{}\"", own.join(name).display());
    let tickets = signed_by_pyjwt(&own).await;
    let world = World::with(Wish {
        more: format!(
            "[tickets]\naudience = \"{AUDIENCE}\"\n{}{}{}{}",
            key("es", "ES256", &public("es.pem")),
            key("ed", "EdDSA", &public("ed.pem")),
            key("rs", "RS256", &public("rs.pem")),
            key("jwk", "ES256", &public("jwk.json")),
        ),
        ..wish()
    })
    .await;
    for id in ["es", "ed", "rs", "jwk"] {
        let ticket = tickets[id].as_str().unwrap();
        let caller = world.ask(&target(ticket), &[]).await;
        speaks(caller.unwrap_or_else(|refused| panic!("{id}: {}", refused.body))).await;
        world
            .refused(&target(ticket), &[])
            .await
            .is(401, "unauthenticated");
    }
    // What everybody can read signs nothing, and no other kind of key does (RS/HS confusion).
    for id in ["confused", "other"] {
        let ticket = tickets[id].as_str().unwrap();
        world
            .refused(&target(ticket), &[])
            .await
            .is(401, "unauthenticated");
    }
    std::fs::remove_dir_all(&own).unwrap();
}

#[tokio::test]
async fn a32_s08_keys_that_are_weak_or_of_another_kind_do_not_start() {
    let own = keys().await;
    let public = |name: &str| format!("public_key = \"{}\"", own.join(name).display());
    signed_by_pyjwt(&own).await;
    let world = World::with(wish()).await;
    // Keys that are too weak, of another kind, or private where public is meant, do not start.
    for (algorithm, line, said) in [
        ("RS256", public("weak.pem"), "no public key"),
        ("ES256", public("p384.pem"), "no public key"),
        ("ES256", public("ed.pem"), "no public key"),
        ("ES256", public("es.key"), "no public key"),
        ("RS256", public("jwk.json"), "no public key"),
        ("EdDSA", public("jwk.json"), "no public key"),
        (
            "ES256",
            format!("{}\nown = true", public("es.pem")),
            "must be one that signs",
        ),
        (
            "ES256",
            public("es.pem").replace("public", "private"),
            "own = true only",
        ),
        (
            "RS256",
            format!(
                "private_key = \"{}\"\nown = true",
                own.join("rs.key").display()
            ),
            "no private key",
        ),
        (
            "ES256",
            "public_key = \"nowhere.pem\"".to_owned(),
            "cannot be read",
        ),
    ] {
        let first = "[[tickets.keys]]\nid = \"one\"";
        let bad = key("bad", algorithm, &line);
        let settings = world.settings.replace(first, &format!("{bad}{first}"));
        assert_ne!(settings, world.settings);
        let path = world.folder.join("bad.toml");
        std::fs::write(&path, settings).unwrap();
        let error = tonegate::config::Settings::read(&[path]).err();
        let error = error
            .unwrap_or_else(|| panic!("{algorithm} {line} starts"))
            .to_string();
        assert!(
            error.contains(said) && error.contains("tickets.keys.bad"),
            "{line}: {error}"
        );
    }
    std::fs::remove_dir_all(&own).unwrap();
}

#[tokio::test]
async fn a32_the_edge_signs_with_a_private_key_of_its_own() {
    let own = folder();
    let private = own.join("own.key");
    let make = [
        "genpkey",
        "-algorithm",
        "EC",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
    ];
    openssl(&make, &private).await;
    let world = World::with(Wish {
        more: format!(
            "[tickets]\naudience = \"{AUDIENCE}\"\n[[tickets.keys]]\nid = \"own\"\nown = true\n\
             algorithm = \"ES256\"\nprivate_key = \"{}\"\n",
            private.display()
        ),
        ..wish()
    })
    .await;
    let config = world.folder.join("edge.toml").display().to_string();
    let mint = [
        "token", "mint", "ticket", "--config", &config, "--route", "browser",
    ];
    let (code, out, err) = crate::binary::run(&mint).await;
    assert_eq!((code, err.as_str()), (0, ""));
    speaks(world.ask(&target(out.trim()), &[]).await.unwrap()).await;
    std::fs::remove_dir_all(&own).unwrap();
}
