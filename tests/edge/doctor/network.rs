//! Names that are none, ports that nobody has, certificates that are worth nothing, clocks that are wrong.

use std::time::{Duration, SystemTime};

use super::peers::answers;
use super::{changed, dialled, doctor, with};
use crate::harness::{Wish, World};
use crate::phone::world::Phone;
use tonegate::sim::certificate::{Authority, Identity};
use tonegate::sim::issuer::behaviour::Behaviour;

/// The alert that ends a handshake of too new a version (RFC 8446, section 6).
const PROTOCOL_VERSION: [u8; 7] = [0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 0x46];

/// A world whose edge would dial all of these, each by the name before it.
async fn dialling(places: &[(&str, String)]) -> World {
    let mut more = String::new();
    let mut names = String::new();
    for (name, url) in places {
        more += &format!(
            "[upstreams.{name}]\nkind = \"voice-live\"\nurl = \"{url}\"\nroots = \"ca.pem\"\n\
             credential = {{ key = \"the-canary-of-an-upstream\" }}\n"
        );
        names += &format!("\"{name}\", ");
    }
    more += &format!(
        "[[routes]]\nname = \"more\"\npaths = [\"/more\"]\nkind = \"voice-live\"\nadmit = [\"key\"]\n\
         models = [\"gpt-4o\"]\nupstreams = [{names}]\n"
    );
    World::with(Wish {
        more,
        ..Wish::default()
    })
    .await
}

async fn tls(identity: &Identity) -> String {
    let port = answers(Some(identity), b"HTTP/1.1 404 Not Found\r\n\r\n".to_vec()).await;
    format!("wss://localhost:{port}")
}

/// Places that are wrong, by the names of their upstreams: their certificates are of `other`, if of any.
async fn wrong_places(other: &Authority) -> World {
    let foreign = other.issue(&["localhost"]).unwrap();
    let own = Identity::self_signed(&["localhost"]).unwrap();
    let expired = other.issue_expired(&["localhost"]).unwrap();
    let wrong = other.issue_wrong_name().unwrap();
    let plain = answers(None, b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()).await;
    let old = answers(None, PROTOCOL_VERSION.to_vec()).await;
    let closed = crate::phone::server::free_port();
    dialling(&[
        ("noname", "wss://voice.doctor.invalid".to_owned()),
        ("closed", format!("wss://localhost:{closed}")),
        ("plain", format!("wss://localhost:{plain}")),
        ("old", format!("wss://localhost:{old}")),
        ("alone", tls(&leaf_alone(&foreign)).await),
        ("foreign", tls(&foreign).await),
        ("own", tls(&own).await),
        ("expired", tls(&expired).await),
        ("wrong", tls(&wrong).await),
    ])
    .await
}

/// Without what it leads to its authority by.
fn leaf_alone(identity: &Identity) -> Identity {
    let mut chain = identity
        .chain_pem
        .split_inclusive("-----END CERTIFICATE-----\n");
    Identity {
        chain_pem: chain.next().unwrap().to_owned(),
        key_pem: identity.key_pem.clone(),
    }
}

const WRONG_PLACES: [(&str, &str, &str); 7] = [
    (
        "closed",
        "Nobody listens there",
        "correct host and port of upstreams.closed",
    ),
    (
        "plain",
        "What it says is no TLS.",
        "the port of upstreams.plain",
    ),
    (
        "old",
        "no TLS that the edge does, 1.2 or 1.3",
        "Have it speak TLS 1.2 or 1.3",
    ),
    (
        "foreign",
        "leads to another authority",
        "set roots of upstreams.foreign",
    ),
    (
        "alone",
        "sends no intermediate",
        "Have it send its intermediates",
    ),
    ("own", "vouches for itself", "something stands in between"),
    (
        "expired",
        "Its certificate ended on 2001-01-01.",
        "set this machine's clock",
    ),
];

#[tokio::test]
async fn u9_each_way_not_to_be_reached_has_its_sentence_and_its_fix() {
    let other = Authority::new("another authority");
    let world = wrong_places(&other).await;
    let settings = world.folder.join("edge.toml");
    let seen = doctor(&settings, &["--only", "dns,tls"]).await;
    let name = "voice.doctor.invalid";
    let says = "The name voice.doctor.invalid does not resolve.";
    seen.fails(("dns", name), says, "machine's DNS");
    seen.is("ok", ("dns", "localhost"), "127.0.0.1");
    seen.fails(("tls", name), says, "Correct the name");
    let at = |name: &str| {
        let (_, table) = world
            .settings
            .split_once(&format!("[upstreams.{name}]"))
            .unwrap();
        let (_, rest) = table.split_once("wss://").unwrap();
        rest.split_once('"').unwrap().0.to_owned()
    };
    for (name, says, fix) in WRONG_PLACES {
        seen.fails(("tls", &at(name)), says, fix);
    }
    // The name is looked at when the chain is good.
    std::fs::write(world.folder.join("ca.pem"), other.pem()).unwrap();
    let seen = doctor(&settings, &["--only", "tls"]).await;
    let says = "Its certificate is not for the name localhost.";
    seen.fails(("tls", &at("wrong")), says, "upstreams.wrong");
    seen.is("ok", ("tls", &at("foreign")), "good until 2045-01-01");
}

#[tokio::test]
async fn u9_a_clock_that_is_wrong_is_told_by_how_much() {
    let phone = Phone::usual().await;
    let world = &phone.world;
    let identity = world.authority.issue(&["localhost"]).unwrap();
    for (ahead, verdict, says) in [
        (0, "ok", "less than 4s from localhost"),
        (
            20,
            "warn",
            "is 20s behind that of localhost; up to 4s is tolerated.",
        ),
        (7200, "fail", "behind that of localhost"),
    ] {
        let date = SystemTime::now() + Duration::from_secs(ahead);
        let date = httpdate::fmt_http_date(date);
        let answer = format!("HTTP/1.1 404 Not Found\r\nDate: {date}\r\nContent-Length: 0\r\n\r\n");
        let port = answers(Some(&identity), answer.into_bytes()).await;
        let base = phone.provider.base();
        let file = changed(
            world,
            &[(base.as_str(), &format!("https://localhost:{port}"))],
        );
        let seen = doctor(&file, &["--only", "clock"]).await;
        match verdict {
            // The second may turn while it is asked.
            "warn" => {
                let text = seen.about("clock", "clock")["text"]
                    .as_str()
                    .unwrap()
                    .replace("19s", "20s");
                assert!(text.contains(says), "{text}");
                assert_eq!(seen.code, 0);
            }
            "fail" => seen.fails(("clock", "clock"), says, "chrony or systemd-timesyncd"),
            _ => seen.is("ok", ("clock", "clock"), says),
        }
    }
}

#[tokio::test]
async fn u9_issuers_without_keys_say_why() {
    let phone = Phone::usual().await;
    let settings = phone.world.folder.join("edge.toml");
    let only = ["--only", "issuers"];
    let about = ("issuers", "phone");
    phone.provider.set_keys(Behaviour::Status(404));
    let seen = doctor(&settings, &only).await;
    seen.fails(
        about,
        "it answered with status 404",
        "Correct metadata or jwks of [issuers.phone]",
    );
    phone.provider.set_keys(Behaviour::Empty);
    let seen = doctor(&settings, &only).await;
    seen.fails(
        about,
        "no key for signatures",
        "whether that is the right document",
    );
    phone.provider.set_keys(Behaviour::Normal);
    phone.provider.set_metadata(Behaviour::Garbage);
    let seen = doctor(&settings, &only).await;
    seen.fails(
        about,
        "not JSON with a jwks_uri",
        "OpenID provider document",
    );
    phone.provider.set_metadata(Behaviour::Normal);
    let other = serde_json::json!({ "issuer": "https://canary.example" });
    phone.provider.dress_metadata(other);
    let seen = doctor(&settings, &only).await;
    seen.fails(about, "that of another issuer", "the same, to the letter");
    phone.provider.dress_metadata(serde_json::Value::Null);
    doctor(&settings, &only)
        .await
        .is("ok", about, "keys that can verify");
}

#[tokio::test]
async fn u9_the_edges_own_certificate_is_judged_as_clients_would() {
    let world = World::usual().await;
    let own = dialled(&world, world.port);
    let settings = world.folder.join("edge.toml");
    let about = ("certificate", "server.tls");
    let write = |identity: &Identity| {
        std::fs::write(world.folder.join("edge.pem"), &identity.chain_pem).unwrap();
        std::fs::write(world.folder.join("edge.key"), &identity.key_pem).unwrap();
    };
    let only = ["--only", "certificate"];
    write(&world.authority.issue_expired(&["localhost"]).unwrap());
    let seen = doctor(&settings, &with(&own, &only)).await;
    seen.fails(about, "has ended", "Renew it");
    write(&world.authority.issue_wrong_name().unwrap());
    let seen = doctor(&settings, &with(&own, &only)).await;
    seen.fails(about, "not for localhost", "correct --public-url");
    // Without a name nobody can look for it.
    let roots = [own[2].as_str(), own[3].as_str()];
    let seen = doctor(&settings, &[&roots[..], &only[..]].concat()).await;
    seen.is("ok", about, "key and chain of 2 fit");
    seen.is("skipped", ("certificate", "name"), "--public-url");
    write(&Identity::self_signed(&["localhost"]).unwrap());
    let seen = doctor(&settings, &with(&own, &only)).await;
    seen.fails(about, "vouches for itself", "a public authority");
    let foreign = Authority::new("another").issue(&["localhost"]).unwrap();
    write(&leaf_alone(&foreign));
    let seen = doctor(&settings, &with(&own, &only)).await;
    seen.fails(about, "no intermediate", "fullchain.pem");
    let soon = SystemTime::now() + Duration::from_secs(5 * 86_400);
    write(&world.authority.issue_until(&["localhost"], soon).unwrap());
    let seen = doctor(&settings, &with(&own, &only)).await;
    seen.is("warn", about, "(4 days)");
}
