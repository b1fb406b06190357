//! What is refused before a conversation, by the service and by the client.

use super::*;

#[tokio::test]
async fn frames_sent_with_the_request_are_heard() {
    let stage = Stage::plain().await;
    let address = stage.base.split('/').nth(2).unwrap().to_owned();
    for (model, heard_by) in [("sim-echo", "\u{5}early"), ("m", "invalid_json")] {
        let mut tcp = TcpStream::connect(&address).await.unwrap();
        let mut bytes = BytesMut::from(
            format!(
                "GET /voice-live/realtime?{VERSION}&model={model} HTTP/1.1\r\nHost: {address}\r\n\
                 Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )
            .as_bytes(),
        );
        Frame::whole(frame::TEXT, "early").encode(Some([1, 2, 3, 4]), &mut bytes);
        tcp.write_all(&bytes).await.unwrap();
        let (mut bytes, mut heard) = (Vec::new(), String::new());
        while !heard.contains(heard_by) {
            assert!(soon(tcp.read_buf(&mut bytes)).await.unwrap() > 0, "{model}");
            heard = String::from_utf8_lossy(&bytes).into_owned();
        }
        assert!(heard.starts_with("HTTP/1.1 101 "));
        // The answer to RFC 6455's own example.
        assert!(heard.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
        drop(tcp);
        assert_eq!(stage.ended().await.ending, Some(Ending::ClientGone));
    }
    stage.end().await;
}

#[tokio::test]
async fn refusals_have_azures_shape() {
    let stage = Stage::tls().await;
    for status in [200, 302, 401, 403, 404, 429, 500, 503] {
        let query = format!("{VERSION}&model=sim-refuse-{status}");
        let refused = stage.refused(&query, &[("api-key", KEY)]).await;
        assert_eq!(refused.status, status);
        let body: serde_json::Value = serde_json::from_slice(&refused.body).unwrap();
        assert_eq!(body["error"]["code"], status.to_string());
        let has = |wanted: &str| refused.headers.iter().any(|(name, _)| name == wanted);
        assert_eq!(has("Retry-After"), status == 429);
        assert_eq!(has("Location"), status == 302);
        assert_eq!(stage.ended().await.ending, Some(Ending::Refused(status)));
    }
    stage.end().await;
}

/// Query, headers, the status expected and the violation recorded.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], u16, Violation);

/// Dials once for each case and looks at the status and the violation.
async fn each_is_refused(stage: &Stage, cases: &[Case<'_>]) {
    for (query, headers, status, violation) in cases {
        let refused = stage.refused(query, headers).await;
        assert_eq!(refused.status, *status, "{query}");
        let seen = stage.ended().await;
        assert!(
            seen.violations.contains(violation),
            "{query}: {:?}",
            seen.violations
        );
        assert_eq!(seen.ending, Some(Ending::Refused(*status)));
    }
}

#[tokio::test]
async fn exactly_the_right_credential_in_a_header_is_taken() {
    let stage = Stage::tls().await;
    let good = "api-version=2026-07-15&model=m";
    let agent = "api-version=2026-07-15&agent-name=a";
    let bearer = ("Authorization", "Bearer x");
    let cases: [Case<'_>; 6] = [
        (good, &[], 401, Violation::Credential),
        (good, &[("api-key", "wrong")], 401, Violation::Credential),
        (good, &[bearer], 401, Violation::Credential),
        (
            good,
            &[("api-key", KEY), bearer],
            400,
            Violation::SeveralCredentials,
        ),
        (
            good,
            &[("api-key", KEY), ("Api-Key", KEY)],
            400,
            Violation::SeveralCredentials,
        ),
        (agent, &[("api-key", KEY)], 401, Violation::Credential),
    ];
    each_is_refused(&stage, &cases).await;
    stage.end().await;
}

#[tokio::test]
async fn a_query_that_our_edge_must_not_send_is_refused() {
    let stage = Stage::tls().await;
    let queries = [
        (
            "api-version=2026-07-15&model=m&api-key=x",
            Violation::QueryCredential,
        ),
        (
            "api-version=2026-07-15&model=m&Authorization=Bearer+x",
            Violation::QueryCredential,
        ),
        (
            "api-version=2026-07-15&model=m&authorization=x",
            Violation::QueryCredential,
        ),
        (
            "api-version=2026-07-15&model=m&agent-access-token=x",
            Violation::QueryCredential,
        ),
        (
            "api-version=2026-07-15&model=m&h-x-any=x",
            Violation::QueryCredential,
        ),
        (
            "api-version=2026-07-15&model=m&model=m",
            Violation::DuplicateParameter,
        ),
        (
            "api-version=2026-07-15&model=m&tenant=x",
            Violation::UnknownParameter,
        ),
        (
            "api-version=2026-07-15&model=m&agent-name=x",
            Violation::Model,
        ),
        ("api-version=2026-07-15", Violation::Model),
        ("api-version=2026-07-15&model=sim-nothing", Violation::Model),
        ("api-version=2020-01-01&model=m", Violation::ApiVersion),
        ("model=m", Violation::ApiVersion),
    ];
    let key: &[(&str, &str)] = &[("api-key", KEY)];
    let cases = queries.map(|(query, violation)| (query, key, 400, violation));
    each_is_refused(&stage, &cases).await;
    stage.end().await;
}

#[tokio::test]
async fn an_offered_extension_is_noted_and_not_answered() {
    let stage = Stage::tls().await;
    let offer = ("Sec-WebSocket-Extensions", "permessage-deflate");
    let query = format!("{VERSION}&model=m");
    drop(
        stage
            .dial(&query, &[("api-key", KEY), offer])
            .await
            .unwrap(),
    );
    assert_eq!(
        stage.ended().await.violations,
        [Violation::ExtensionOffered]
    );
    stage.end().await;
}

#[tokio::test]
async fn a_request_that_is_no_upgrade_is_refused() {
    let stage = Stage::plain().await;
    let address = stage.base.split('/').nth(2).unwrap().to_owned();
    let good = "Host: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let target = format!("/voice-live/realtime?{VERSION}&model=m");
    let cases = [
        (
            format!("POST {target} HTTP/1.1\r\n{good}\r\n"),
            405,
            Violation::Upgrade,
        ),
        (
            format!("GET {target} HTTP/1.0\r\n{good}\r\n"),
            400,
            Violation::Head,
        ),
        (
            format!("GET /other?{VERSION}&model=m HTTP/1.1\r\n{good}\r\n"),
            404,
            Violation::Path,
        ),
        (
            format!("GET {target} HTTP/1.1\r\n{good}Host: b\r\n\r\n"),
            400,
            Violation::Upgrade,
        ),
        (
            format!("GET {target} HTTP/1.1\r\n{}\r\n", good.replace("13", "8")),
            426,
            Violation::Upgrade,
        ),
        (
            format!("GET {target} HTTP/1.1\r\n{}\r\n", good.replace("dGhl", "")),
            400,
            Violation::Upgrade,
        ),
        (
            format!("GET {target} HTTP/1.1\r\n{good}Content-Length: 3\r\n\r\nabc"),
            400,
            Violation::Body,
        ),
        ("nonsense\r\n\r\n".into(), 400, Violation::Head),
    ];
    for (request, status, violation) in cases {
        let mut tcp = TcpStream::connect(&address).await.unwrap();
        tcp.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        soon(tcp.read_to_string(&mut answer)).await.unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request}: {answer}"
        );
        drop(tcp);
        assert_eq!(stage.ended().await.violations, [violation], "{request}");
    }
    stage.end().await;
}

#[tokio::test]
async fn wrong_handshakes_are_refused_by_the_client() {
    let stage = Stage::tls().await;
    for name in ["bad-accept", "extension", "before", "endless-head"] {
        let refused = stage.model(&format!("sim-{name}")).await;
        assert!(
            matches!(refused, Err(Error::Handshake | Error::Io(_))),
            "{name}"
        );
        let seen = stage.ended().await.ending;
        assert!(
            matches!(seen, Some(Ending::AsPlayed | Ending::ClientGone)),
            "{name}: {seen:?}"
        );
    }
    stage.end().await;
}

#[tokio::test]
async fn a_certificate_that_does_not_hold_is_not_dialled() {
    let authority = Authority::new("stage");
    let identities = [
        authority.issue_expired(&["127.0.0.1"]).unwrap(),
        authority.issue_wrong_name().unwrap(),
        Identity::self_signed(&["127.0.0.1"]).unwrap(),
        Authority::new("stage").issue(&["127.0.0.1"]).unwrap(),
    ];
    for identity in identities {
        let mut stage = Stage::with(Options {
            identity: Some(identity),
            ..Options::loopback()
        })
        .await;
        stage.roots = Some(authority.pem());
        assert!(matches!(stage.model("m").await, Err(Error::Io(_))));
        let seen = stage.ended().await;
        assert_eq!((seen.ending, seen.headers), (Some(Ending::NoTls), vec![]));
        stage.end().await;
    }
}

#[tokio::test]
async fn a_bearer_is_taken_where_one_is_set() {
    let stage = Stage::with(Options {
        bearer: Some("token".into()),
        ..Options::loopback()
    })
    .await;
    let query = format!("{VERSION}&agent-name=a&agent-project-name=p");
    let bearer = [("Authorization", "Bearer token")];
    drop(stage.dial(&query, &bearer).await.unwrap());
    assert_eq!(stage.ended().await.violations, []);
    let wrong = [("Authorization", "Bearer other")];
    assert_eq!(stage.refused(&query, &wrong).await.status, 401);
    stage.end().await;
}
