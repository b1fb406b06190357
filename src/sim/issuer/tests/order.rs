use super::*;
use crate::sim::issuer::Desk;
use crate::sim::issuer::request::ORDER_MAX;
use tokio::net::TcpListener;

fn order(body: &str) -> String {
    let length = body.len();
    format!(
        "POST /mint HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n\
         {body}"
    )
}

#[tokio::test]
async fn a_token_is_had_for_the_asking() {
    for stage in [Stage::plain().await, Stage::tls().await] {
        let (provider, roots) = (&stage.provider, stage.roots.as_deref());
        let wish = json!({
            "claims": { "aud": AUDIENCE, "nbf": null, "n": 1 },
            "header": { "typ": null },
            "algorithm": "ES256",
            "expires_in": -600,
        });
        let token = client::mint(&provider.base(), &wish, roots).await.unwrap();
        let token = Token::read(&token);
        let kid = provider.keys_document()["keys"][1]["kid"].clone();
        assert_eq!(token.header, json!({ "alg": "ES256", "kid": kid }));
        let iat = token.claims["iat"].as_u64().unwrap();
        let claims = json!({
            "iss": provider.base(), "aud": AUDIENCE, "iat": iat, "exp": iat - 600, "n": 1
        });
        assert_eq!(token.claims, claims);
        let usual = client::mint(&provider.base(), &json!({}), roots).await;
        let usual = Token::read(&usual.unwrap());
        assert_eq!(usual.header["alg"], "RS256");
        let asked = Counts {
            connections: 2,
            ..Counts::default()
        };
        assert_eq!(provider.counts(), asked);
        assert_eq!(provider.others(), [""; 0]);
        stage.end().await;
    }
}

#[tokio::test]
async fn a_mistake_is_answered_with_the_member_it_is_in() {
    let stage = Stage::plain().await;
    let mistakes = [
        ("", "object"),
        ("{", "object"),
        ("[]", "object"),
        (r#"{"claims":1}"#, "claims"),
        (r#"{"claims":null}"#, "claims"),
        (r#"{"header":[]}"#, "header"),
        (r#"{"algorithm":"HS256"}"#, "algorithm"),
        (r#"{"algorithm":"rs256"}"#, "algorithm"),
        (r#"{"algorithm":5}"#, "algorithm"),
        (r#"{"expires_in":"600"}"#, "expires_in"),
        (r#"{"expires_in":31536001}"#, "expires_in"),
        (r#"{"expires_in":-31536001}"#, "expires_in"),
        (r#"{"expires_in":1.5}"#, "expires_in"),
        (r#"{"claim":{}}"#, "\"claim\""),
    ];
    assert_eq!(mistakes.len(), 14);
    for (body, member) in mistakes {
        let answer = stage.ask(order(body).as_bytes()).await;
        assert_eq!(answer.status(), 400, "{body}");
        let sentence = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(sentence.contains(member), "{body}: {sentence}");
    }
    assert_eq!(stage.provider.counts().other, 0);
    stage.end().await;
}

#[tokio::test]
async fn an_order_of_the_largest_size_is_read() {
    let stage = Stage::plain().await;
    let mut body = r#"{"expires_in":31536000}"#.to_owned();
    body.extend(std::iter::repeat_n(' ', ORDER_MAX - body.len()));
    let answer = stage.ask(order(&body).as_bytes()).await;
    assert_eq!(answer.status(), 200);
    let token = answer.json()["token"].as_str().unwrap().to_owned();
    let claims = Token::read(&token).claims;
    let life = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
    assert_eq!(life, 31_536_000);
    stage.end().await;
}

#[tokio::test]
async fn nobody_outside_this_machine_is_served_a_token() {
    let desk = Desk {
        acceptor: None,
        provider: Arc::new(Provider::new("http://localhost:1".to_owned())),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut asking = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    asking.write_all(order("{}").as_bytes()).await.unwrap();
    let mut served = Stream::Plain(listener.accept().await.unwrap().0);
    let outside = SocketAddr::from(([192, 0, 2, 1], 1));
    let mut asking = Stream::Plain(asking);
    let (answer, ended) = tokio::join!(
        async {
            let answer = Answer::last(&mut asking).await;
            drop(asking);
            answer
        },
        soon(desk.connection(&mut served, outside)),
    );
    ended.unwrap();
    assert_eq!(answer.status(), 403);
    assert_eq!(desk.provider.others(), ["/mint"]);
}

#[tokio::test]
async fn the_client_tells_what_went_wrong() {
    let stage = Stage::tls().await;
    let (base, roots) = (stage.provider.base(), stage.roots.clone().unwrap());
    let refused = client::mint(&base, &json!({ "claims": 1 }), Some(&roots)).await;
    let Err(client::Error::Refused {
        status: 400,
        sentence,
    }) = refused
    else {
        panic!("{refused:?}");
    };
    assert_eq!(sentence, "claims is not an object");
    let elsewhere = Authority::new("elsewhere").pem();
    let cases = [
        (stranger().await, None, "not a simulated issuer's"),
        (base.clone(), None, "no roots"),
        (base.clone(), Some("no PEM"), "roots"),
        (base.clone(), Some(elsewhere.as_str()), "connection failed"),
        ("ftp://localhost".to_owned(), None, "scheme"),
        ("localhost".to_owned(), None, "URL"),
    ];
    assert_eq!(cases.len(), 6);
    for (base, roots, words) in cases {
        let error = client::mint(&base, &json!({}), roots).await.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
    let below = client::mint(&format!("{base}/x/"), &json!({}), Some(&roots)).await;
    assert!(matches!(
        below,
        Err(client::Error::Refused { status: 404, .. })
    ));
    stage.end().await;
}

/// A server that answers anything with a page. Lives for one connection.
async fn stranger() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let mut stream = Stream::Plain(tcp);
        let page = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n<";
        stream.write_all(page).await.unwrap();
        stream.drain(Duration::from_secs(30)).await;
    });
    format!("http://localhost:{port}")
}
