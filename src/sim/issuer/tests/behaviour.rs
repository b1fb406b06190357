use super::*;
use std::time::Instant;

const METADATA: &str = "/.well-known/openid-configuration";

/// How an answer ends for a client that reads all of it, under each behaviour that ends at once.
#[tokio::test]
async fn each_unsound_answer_carries_the_good_document_where_it_can() {
    let stage = Stage::tls().await;
    let keys = stage.provider.keys_document();
    let elsewhere = format!("{}/elsewhere", stage.provider.base());
    let cases = [
        (Behaviour::Normal, 200, Some(&keys)),
        (Behaviour::Redirect(elsewhere.clone()), 302, Some(&keys)),
        (Behaviour::Status(500), 500, Some(&keys)),
        (Behaviour::Status(404), 404, Some(&keys)),
        (Behaviour::Status(200), 200, Some(&keys)),
        (Behaviour::Status(204), 204, None),
        (Behaviour::Garbage, 200, None),
        (Behaviour::Normal, 200, Some(&keys)),
    ];
    assert_eq!(cases.len(), 8);
    for (behaviour, status, document) in cases {
        stage.provider.set(behaviour.clone());
        let answer = stage.get("/keys").await;
        assert_eq!(answer.status(), status, "{behaviour:?}");
        let json = serde_json::from_slice::<Value>(&answer.body).ok();
        assert_eq!(json.as_ref(), document, "{behaviour:?}");
        let to = matches!(behaviour, Behaviour::Redirect(_)).then_some(elsewhere.as_str());
        assert_eq!(answer.head.one("location"), to);
        assert_eq!(stage.get(METADATA).await.status(), status, "{behaviour:?}");
    }
    stage.provider.set(Behaviour::Empty);
    assert_eq!(stage.get("/keys").await.json(), json!({ "keys": [] }));
    assert_eq!(stage.get(METADATA).await.json(), json!({ "keys": [] }));
    stage.end().await;
}

#[tokio::test]
async fn metadata_and_keys_can_behave_differently() {
    let stage = Stage::plain().await;
    stage.provider.set_keys(Behaviour::Status(503));
    assert_eq!(stage.get(METADATA).await.status(), 200);
    assert_eq!(stage.get("/keys").await.status(), 503);
    stage.provider.set(Behaviour::Normal);
    stage.provider.set_metadata(Behaviour::Status(429));
    assert_eq!(stage.get(METADATA).await.status(), 429);
    assert_eq!(stage.get("/keys").await.status(), 200);
    stage.end().await;
}

#[tokio::test]
async fn a_huge_answer_is_legal_and_far_too_long() {
    let stage = Stage::tls().await;
    stage.provider.set(Behaviour::Huge);
    let answer = stage.get("/keys").await;
    assert!(answer.body.len() > 8 << 20);
    assert_eq!(answer.head.one("content-length"), None);
    assert_eq!(answer.json(), stage.provider.keys_document());
    stage.end().await;
}

#[tokio::test]
async fn a_huge_answer_that_nobody_reads_ends_with_its_client_or_at_shutdown() {
    let stage = Stage::plain().await;
    stage.provider.set(Behaviour::Huge);
    let (gone, unread) = (
        stage.send(get("/keys").as_bytes()).await,
        stage.send(get("/keys").as_bytes()).await,
    );
    soon(stage.provider.until(|counts| counts.keys == 2)).await;
    drop(gone);
    stage.end().await;
    drop(unread);
}

#[tokio::test]
async fn a_drip_comes_a_byte_each_tenth_of_a_second() {
    let stage = Stage::plain().await;
    stage.provider.set(Behaviour::Drip);
    let began = Instant::now();
    let mut stream = stage.send(get(METADATA).as_bytes()).await;
    let mut buffer = BytesMut::new();
    let head = soon(head::read(&mut stream, &mut buffer)).await.unwrap();
    let head = head::parse(&head).unwrap();
    let length: usize = head.one("content-length").unwrap().parse().unwrap();
    assert!(length > 100);
    while buffer.len() < 5 {
        assert!(soon(stream.read_buf(&mut buffer)).await.unwrap() > 0);
    }
    // Four gaps, by a clock of milliseconds.
    assert!(began.elapsed() >= Duration::from_millis(396));
    assert_eq!(buffer[0], b'{');
    stage.end().await;
    soon(stream.read_buf(&mut buffer)).await.ok();
    assert!(buffer.len() < length);
}

#[tokio::test]
async fn a_stalled_request_is_never_answered() {
    let stage = Stage::plain().await;
    stage.provider.set(Behaviour::Stall);
    let mut stalled = stage.send(get("/keys").as_bytes()).await;
    let gone = stage.send(get("/keys").as_bytes()).await;
    soon(stage.provider.until(|counts| counts.keys == 2)).await;
    drop(gone);
    // What was asked before stays as it was; what is asked from now on is answered.
    stage.provider.set(Behaviour::Normal);
    assert_eq!(stage.get("/keys").await.status(), 200);
    stage.end().await;
    let mut bytes = Vec::new();
    soon(stalled.read_to_end(&mut bytes)).await.ok();
    assert_eq!(bytes, b"");
}

/// Time moves here only when nothing else can, and no deadline but the issuer's runs.
#[tokio::test(start_paused = true)]
async fn whatever_is_played_ends_at_a_deadline() {
    for behaviour in [Behaviour::Stall, Behaviour::Huge] {
        let stage = Stage::plain().await;
        stage.provider.set(behaviour.clone());
        let mut asked = connected(&stage, get("/keys").as_bytes());
        let began = tokio::time::Instant::now();
        stage.provider.until(|counts| counts.keys == 1).await;
        while began.elapsed() < Duration::from_secs(300) {
            tokio::time::sleep(Duration::from_secs(50)).await;
        }
        let mut bytes = Vec::new();
        asked.read_to_end(&mut bytes).await.unwrap();
        assert!(bytes.len() < 8 << 20, "{behaviour:?}");
        assert!(began.elapsed() <= Duration::from_secs(310));
        stage.end().await;
    }
}
