use super::*;

/// Requests that a verifier of tokens never has a reason to send.
fn faults() -> Vec<(u16, &'static str, String)> {
    let long = format!(
        "GET /{} HTTP/1.1\r\nHost: a\r\n\r\n",
        "a".repeat(head::HEAD_MAX)
    );
    let order = |rest: &str| format!("POST /mint HTTP/1.1\r\nHost: a\r\n{rest}\r\n\r\n");
    let ask = |rest: &str| format!("GET /keys HTTP/1.1\r\n{rest}\r\n\r\n");
    vec![
        (
            400,
            "not HTTP/1.1",
            "GET /keys HTTP/1.1\r\nno colon\r\n\r\n".into(),
        ),
        (400, "not HTTP/1.1", long),
        (400, "/keys", "GET /keys HTTP/1.0\r\nHost: a\r\n\r\n".into()),
        (400, "/keys", "GET /keys\r\nHost: a\r\n\r\n".into()),
        (400, "HELO", "HELO\r\nHost: a\r\n\r\n".into()),
        (400, "/keys", ask("A: b")),
        (400, "/keys", ask("Host:")),
        (400, "/keys", ask("Host: a\r\nHost: a")),
        (400, "/keys", ask("Host: a\r\nContent-Length: 1\r\n\r\nx")),
        (400, "/keys", ask("Host: a\r\nContent-Length: +0")),
        (
            400,
            "/keys",
            ask("Host: a\r\nContent-Length: 0\r\nContent-Length: 0"),
        ),
        (
            411,
            "/keys",
            ask("Host: a\r\nTransfer-Encoding: chunked\r\n\r\n0"),
        ),
        (404, "/", get("/")),
        (404, "/keys?a=b", get("/keys?a=b")),
        (404, "/keys/", get("/keys/")),
        (404, "//keys", get("//keys")),
        (404, "http://localhost/keys", get("http://localhost/keys")),
        (
            404,
            "/contoso/discovery/keys",
            get("/contoso/discovery/keys"),
        ),
        (
            404,
            "/common/oauth2/v2.0/token",
            get("/common/oauth2/v2.0/token"),
        ),
        (
            405,
            "/keys",
            "POST /keys HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".into(),
        ),
        (
            405,
            "/keys",
            "HEAD /keys HTTP/1.1\r\nHost: a\r\n\r\n".into(),
        ),
        (405, "/mint", get("/mint")),
        (411, "/mint", order("A: b")),
        (413, "/mint", order("Content-Length: 65537")),
        (
            400,
            "/mint",
            order("Content-Length: 99999999999999999999999"),
        ),
    ]
}

#[tokio::test]
async fn whatever_is_not_a_plain_get_is_refused_and_remembered() {
    let stage = Stage::plain().await;
    let faults = faults();
    assert!(faults.len() > 20);
    for (status, target, request) in &faults {
        let answer = stage.ask(request.as_bytes()).await;
        assert_eq!(answer.status(), *status, "{target}");
        assert!(answer.head.says("connection", "close"));
        // A client that asks by HEAD reads no body, yet this one does.
        assert!(answer.json()["error"].is_string(), "{target}");
        assert_eq!(stage.provider.others().last().unwrap(), target);
    }
    let number = faults.len() as u64;
    let asked = Counts {
        other: number,
        connections: number,
        ..Counts::default()
    };
    assert_eq!(stage.provider.counts(), asked);
    let answer = stage.ask(b"PUT /keys HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(answer.head.one("allow"), Some("GET"));
    stage.end().await;
}

#[tokio::test]
async fn a_connection_carries_several_requests() {
    let stage = Stage::tls().await;
    let keys = "GET /keys HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    let mut stream = stage.send([keys, keys].concat().as_bytes()).await;
    let mut buffer = BytesMut::new();
    for _ in 0..2 {
        let head = soon(head::read(&mut stream, &mut buffer)).await.unwrap();
        let head = head::parse(&head).unwrap();
        assert!(!head.says("connection", "close"));
        let length: usize = head.one("content-length").unwrap().parse().unwrap();
        while buffer.len() < length {
            assert!(soon(stream.read_buf(&mut buffer)).await.unwrap() > 0);
        }
        let body: Value = serde_json::from_slice(&buffer.split_to(length)).unwrap();
        assert_eq!(body, stage.provider.keys_document());
    }
    soon(stream.write_all(get("/").as_bytes())).await.unwrap();
    assert_eq!(Answer::last(&mut stream).await.status(), 404);
    let asked = Counts {
        keys: 2,
        other: 1,
        connections: 1,
        ..Counts::default()
    };
    assert_eq!(stage.provider.counts(), asked);
    stage.end().await;
}

#[tokio::test]
async fn what_should_not_be_asked_is_kept_within_bounds() {
    let provider = Provider::new("http://localhost:1".to_owned());
    for number in 0..300 {
        provider.refused(&format!("/{number}{}", "ü".repeat(600)));
    }
    assert_eq!(provider.counts().other, 300);
    let others = provider.others();
    assert_eq!(others.len(), 256);
    assert!(others[0].starts_with("/44ü"));
    assert!(others.iter().all(|other| other.chars().count() == 512));
    soon(provider.until(|counts| counts.other == 300)).await;
}

#[tokio::test]
async fn connections_without_a_request_end_at_shutdown() {
    let stage = Stage::tls().await;
    let idle = stage.dial().await;
    let half = stage.send(b"GET /keys HTT").await;
    let raw = TcpStream::connect(stage.address).await.unwrap();
    soon(stage.provider.until(|counts| counts.connections == 3)).await;
    stage.end().await;
    drop((idle, half, raw));
}

/// Time moves here only when nothing else can, and no deadline but the issuer's runs.
#[tokio::test(start_paused = true)]
async fn half_a_request_ends_at_a_deadline() {
    let halves: [&[u8]; 4] = [
        b"",
        b"GET /keys HTT",
        b"POST /mint HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{",
        b"GET /keys HTTP/1.1\r\nHost: a\r\n\r\nGET",
    ];
    assert_eq!(halves.len(), 4);
    for half in halves {
        let stage = Stage::plain().await;
        let mut stream = connected(&stage, half);
        let began = tokio::time::Instant::now();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.ok();
        assert_eq!(began.elapsed().as_secs(), 10);
        stage.end().await;
    }
}
