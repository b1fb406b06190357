//! A Voice Live that says no in every way, and never too late.

use super::doctor;
use crate::harness::{UPSTREAM_KEY, Wish, World};

#[tokio::test]
async fn u9_each_way_not_to_get_a_session_has_its_sentence_and_its_fix() {
    let cases = [
        (
            "refuse-401",
            "It refused the key (401).",
            "Keys and Endpoint",
        ),
        ("refuse-403", "forbids it (403)", "network rules"),
        ("refuse-404", "(404)", "sim-refuse-404 was asked for"),
        ("refuse-429", "It is at capacity (429).", "pacing"),
        (
            "refuse-200",
            "It answered 200 instead of 101.",
            "something else may answer there",
        ),
        (
            "sink",
            "No session.created came within 5 s",
            "keeps frames back",
        ),
        ("garbage-opcode", "no WebSocket", "answers upgrades itself"),
        (
            "hang",
            "no answer to the upgrade in time",
            "dropped without a word",
        ),
        (
            "bad-accept",
            "its 101 does not answer our request",
            "the same place",
        ),
    ];
    let mut more = String::new();
    for (name, ..) in cases {
        more += &format!(
            "[upstreams.{name}]\nkind = \"voice-live\"\nurl = \"UPSTREAM\"\nroots = \"ca.pem\"\n\
             credential = {{ key = \"{UPSTREAM_KEY}\" }}\nconnect = \"1s\"\ntotal = \"1s\"\n\
             [[routes]]\nname = \"{name}\"\npaths = [\"/{name}\"]\nkind = \"voice-live\"\n\
             admit = [\"key\"]\nmodels = [\"sim-{name}\"]\nupstreams = [\"{name}\"]\n"
        );
    }
    let world = World::with(Wish {
        more,
        ..Wish::default()
    })
    .await;
    let settings = world.folder.join("edge.toml");
    let seen = doctor(&settings, &["--only", "voice"]).await;
    for (name, says, fix) in cases {
        seen.fails(("voice", name), says, fix);
    }
    seen.is("ok", ("voice", "voice"), "session.created came");
}

#[tokio::test]
async fn u9_who_takes_callers_tokens_only_is_skipped_with_a_word_why() {
    let world = World::with(Wish {
        credential: "{ caller = true }".to_owned(),
        admit: "\"users\"".to_owned(),
        more: "[issuers.users]\nkind = \"oidc\"\nissuer = \"https://idp.doctor.invalid\"\n\
               audience = [\"https://ai.azure.com\"]\n"
            .to_owned(),
        ..Wish::default()
    })
    .await;
    let settings = world.folder.join("edge.toml");
    let seen = doctor(&settings, &["--only", "voice,store,azure,identity"]).await;
    seen.is("skipped", ("voice", "voice"), "callers' own tokens only");
    seen.is("skipped", ("store", "redis"), "memory of one edge");
    seen.is(
        "skipped",
        ("azure", "services"),
        "neither [acs] nor [graph]",
    );
    seen.is("skipped", ("identity", "tokens"), "no credential");
    assert_eq!(world.upstream_total(), 0);
}
