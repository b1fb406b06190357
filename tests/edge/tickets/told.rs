//! What is told of tickets: by the program's own verbs, in the audit, and nowhere their text.

use std::fs;

use serde_json::Value;

use super::*;
use crate::binary::run;

fn config(world: &World) -> String {
    world.folder.join("edge.toml").display().to_string()
}

#[tokio::test]
async fn a32_token_mint_signs_a_ticket_that_token_check_and_the_edge_take() {
    let world = World::with(wish()).await;
    let config = config(&world);
    let mint = ["token", "mint", "ticket", "--config", &config];
    let more = [
        "--route",
        "browser",
        "--model",
        "sim-echo",
        "--subject",
        "u-1",
        "--origin",
        PAGE,
    ];
    let (code, out, err) = run(&[&mint[..], &more].concat()).await;
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let ticket = out.trim().to_owned();
    assert_eq!(ticket.split('.').count(), 3);
    let check = ["token", "check", "--config", &config, "--ticket"];
    let (code, out, err) = run(&[&check[..], &[&ticket]].concat()).await;
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    for said in [
        "ticket:backend:u-1",
        "route \"browser\"",
        "model \"sim-echo\"",
        PAGE,
    ] {
        assert!(out.contains(said), "{said}: {out}");
    }
    assert!(!out.contains(&ticket));
    let (code, _, err) = run(&[&check[..], &[&sign("one", NEXT, &claims())]].concat()).await;
    assert!(code == 1 && err.contains("signature"), "{err}");
    let caller = world
        .ask(&format!("/ws?ticket={ticket}"), &[("Origin", PAGE)])
        .await;
    speaks(caller.unwrap()).await;
    for (more, said) in [
        (vec!["--route", "nowhere"], "there is no route"),
        (vec!["--key", "nobody"], "no key"),
        (vec!["--expires", "10m"], "at most 1m"),
    ] {
        let (code, out, err) = run(&[&mint[..], &more].concat()).await;
        assert_eq!((code, out.as_str()), (1, ""));
        assert!(err.contains(said), "{err}");
    }
    // What was there before is as it was.
    let (code, _, err) = run(&["token", "mint"]).await;
    assert!(code == 2 && err.contains("--issuer"), "{err}");
}

#[tokio::test]
async fn a32_explain_tells_what_becomes_of_a_ticket_and_spends_none() {
    let world = World::with(wish()).await;
    let config = config(&world);
    let ticket = ticket();
    let target = target(&ticket);
    for _ in 0..2 {
        let (code, out, err) = run(&["explain", "--config", &config, &target]).await;
        assert_eq!((code, err.as_str()), (0, ""), "{out}");
        let line = out
            .lines()
            .find(|line| line.starts_with("ok  ticket"))
            .unwrap();
        assert!(line.contains("good"), "{line}");
        assert!(out.contains("a ticket") && !out.contains(&ticket), "{out}");
    }
    speaks(world.ask(&target, &[]).await.unwrap()).await;
    let other = super::target(&with("route", "elsewhere"));
    let (code, out, err) = run(&["explain", "--config", &config, &other]).await;
    assert!(code == 1 && err.contains("status 403"), "{err}");
    assert!(
        out.contains("NO  ticket") && out.contains("another route"),
        "{out}"
    );
    let (_, out, _) = run(&["check", "--config", &config]).await;
    assert!(
        out.contains("tickets   for wss://edge.example.com"),
        "{out}"
    );
    assert!(
        out.contains("key one of backend: HS256 ***") && !out.contains(SECRET),
        "{out}"
    );
}

#[tokio::test]
async fn a32_s36_the_audit_knows_whose_a_ticket_was_and_not_its_text() {
    let world = World::with(Wish {
        more: format!(
            "{}[audit]\nto = \"file\"\npath = \"audit.jsonl\"\n\
             [[routes]]\nname = \"desk\"\npaths = [\"/tickets\"]\nkind = \"tickets\"\n\
             admit = [\"key\"]\nopens = [\"browser\"]\n",
            tables()
        ),
        ..wish()
    })
    .await;
    let body = format!(
        "POST /tickets HTTP/1.1\r\nHost: localhost\r\napi-key: {}\r\n\
         Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}",
        crate::harness::KEY
    );
    let given = world.send_request(body.as_bytes()).await.err().unwrap();
    assert_eq!(given.status, 201, "{}", given.body);
    let given: Value = serde_json::from_str(&given.body).unwrap();
    let own = given["ticket"].as_str().unwrap().to_owned();
    let theirs = with("sub", "u-1");
    for ticket in [&own, &theirs] {
        speaks(world.ask(&target(ticket), &[]).await.unwrap()).await;
        world
            .refused(&target(ticket), &[])
            .await
            .is(401, "unauthenticated");
    }
    let file = world.folder.join("audit.jsonl");
    let read = || fs::read_to_string(&file).unwrap_or_default();
    crate::harness::within("the records", async {
        while read().lines().count() < 7 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
    let told = read();
    let records: Vec<Value> = told
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let upgrades: Vec<&Value> = records
        .iter()
        .filter(|record| record["event"] == "upgrade")
        .collect();
    assert_eq!(upgrades.len(), 4, "{told}");
    for (record, who, rule) in [
        (upgrades[0], "tester", "ticket"),
        (upgrades[1], "tester", "unauthenticated"),
        (upgrades[2], "ticket:backend:u-1", "ticket"),
        (upgrades[3], "ticket:backend:u-1", "unauthenticated"),
    ] {
        assert_eq!(
            (&record["who"], &record["rule"]),
            (&who.into(), &rule.into()),
            "{record}"
        );
        assert_eq!(record["credential"], "ticket", "{record}");
    }
    let request = records
        .iter()
        .find(|record| record["event"] == "request")
        .unwrap();
    assert_eq!(
        (&request["who"], &request["what"]),
        (&"tester".into(), &"POST /tickets".into())
    );
    for ticket in [&own, &theirs] {
        assert!(!told.contains(ticket.as_str()));
        assert!(!world.edge().metrics_page().contains(ticket.as_str()));
    }
}
