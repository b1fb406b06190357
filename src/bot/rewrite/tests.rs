//! What a caller writes into a request to be somebody else, and what comes of it.

use http::StatusCode;
use http::header::HeaderValue;
use proptest::prelude::*;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::*;
use crate::bot::body::tests::typed;
use crate::config::rewrite::PathShape;

const USER: &str = "11111111-2222-3333-4444-555555555555";
const VALUES: Values<'static> = Values {
    user: Some(USER),
    tenant: Some("the-tenant"),
    mapped: Some("eng-007"),
};

fn name(text: &str) -> FieldName {
    FieldName::new(text).unwrap()
}

fn overwritten(text: &str, with: Known, add: &[Part]) -> Field {
    Field {
        name: name(text),
        becomes: Becomes::Overwritten {
            with,
            add: add.to_vec(),
        },
    }
}

fn stripped(text: &str) -> Field {
    Field {
        name: name(text),
        becomes: Becomes::Stripped,
    }
}

fn rewrite(fields: Vec<Field>) -> Rewrite {
    Rewrite::new(&config::Rewrite {
        fields,
        pass: vec![HeaderName::from_static("idempotency-key")],
    })
}

/// `engineer_id` says who asks; `role` goes.
fn route() -> Rewrite {
    let engineer = overwritten("engineer_id", Known::Mapped, &[]);
    rewrite(vec![engineer, stripped("role")])
}

fn adding() -> Rewrite {
    rewrite(vec![overwritten("engineer_id", Known::Mapped, &Part::ALL)])
}

#[test]
fn c14_queries_of_every_spelling_say_what_the_edge_says() {
    let rewrite = route();
    for (raw, wanted) in [
        ("", ""),
        ("a=1&b=%20+x&&c", "a=1&b=%20+x&&c"),
        ("engineer_id=x", "engineer_id=eng-007"),
        ("engineer_id", "engineer_id=eng-007"),
        ("engineer_id=", "engineer_id=eng-007"),
        ("a=1&engineer_id=x&b=2", "a=1&engineer_id=eng-007&b=2"),
        ("engineer_id=x&engineer_id=y", "engineer_id=eng-007"),
        (
            "engineerId=x&ENGINEER-ID=y",
            "engineerId=eng-007&ENGINEER-ID=eng-007",
        ),
        ("engineer%5Fid=x&a=%41", "engineer%5Fid=eng-007&a=%41"),
        ("%65ngineer_id=x&engineer_id=y", "%65ngineer_id=eng-007"),
        ("engineer_id[]=x&engineer_id[]=y", "engineer_id[]=eng-007"),
        ("engineer_id%5B%5D=x", "engineer_id%5B%5D=eng-007"),
        ("user.engineer_id=x", "user.engineer_id=eng-007"),
        ("user[engineer_id]=x", "user[engineer_id]=eng-007"),
        ("engineer.id=x", "engineer.id=eng-007"),
        ("engineer+id=x", "engineer+id=eng-007"),
        ("+engineer_id=x", "+engineer_id=eng-007"),
        ("engineer_id%00=x", "engineer_id%00=eng-007"),
        ("engineer_id[$ne]=x&a=1", "a=1"),
        ("a=1&engineer_id[0]=x", "a=1"),
        ("a=1&engineer_id.x=y&b=2", "a=1&b=2"),
        ("engineer_id%00x=y", ""),
        ("engineer_id%3Dx=y", ""),
        ("a;engineer_id=x", "a;engineer_id=eng-007"),
        ("role=admin", ""),
        ("ROLE=admin&a=1&ro-le=x", "a=1"),
        ("role[]=admin&a=1", "a=1"),
        ("roles=x&engineers=y", "roles=x&engineers=y"),
        ("message=engineer_id%3Dx", "message=engineer_id%3Dx"),
        ("%EF%BC%A5ngineer_id=x", "%EF%BC%A5ngineer_id=eng-007"),
    ] {
        assert_eq!(rewrite.query(raw, &VALUES).as_deref(), Ok(wanted), "{raw}");
    }
    for raw in [
        "engineer%255Fid=x",
        "engineer%25255Fid=x",
        "%2565ngineer_id=x",
        "%u0065ngineer_id=x",
        "%C1%A5ngineer_id=x",
        "%zz=1",
        "a%=1",
        "%FF=1",
        "a=1;engineer_id=x",
        "a=1;b=2;Engineer%2DId=x",
        "a=1;role",
    ] {
        let denied = rewrite.query(raw, &VALUES).unwrap_err();
        assert_eq!(denied.reason, Reason::BadRequest, "{raw}");
    }
}

#[test]
fn c14_what_the_application_must_be_told_is_added() {
    let rewrite = adding();
    for (raw, wanted) in [
        ("", "engineer_id=eng-007"),
        ("a=1", "a=1&engineer_id=eng-007"),
        ("engineer_id=x&a=1", "engineer_id=eng-007&a=1"),
        ("engineerId=x", "engineerId=eng-007&engineer_id=eng-007"),
        ("engineer_id[$ne]=x", "engineer_id=eng-007"),
    ] {
        assert_eq!(rewrite.query(raw, &VALUES).as_deref(), Ok(wanted), "{raw}");
    }
    let json = typed("application/json");
    for (body, wanted) in [
        ("", r#"{"engineer_id":"eng-007"}"#),
        ("{}", r#"{"engineer_id":"eng-007"}"#),
        (" { } ", r#" { "engineer_id":"eng-007"} "#),
        (r#"{"a":1}"#, r#"{"a":1,"engineer_id":"eng-007"}"#),
        (r#"{"engineer_id":null}"#, r#"{"engineer_id":"eng-007"}"#),
        (
            r#"{"a":{"engineer_id":1}}"#,
            r#"{"a":{"engineer_id":"eng-007"},"engineer_id":"eng-007"}"#,
        ),
        (r#"{"engineer_id.x":1}"#, r#"{"engineer_id":"eng-007"}"#),
        (
            r#"{"a":1,"engineer_id.x":1}"#,
            r#"{"a":1,"engineer_id":"eng-007"}"#,
        ),
        (
            r#"{"engineerId":1}"#,
            r#"{"engineerId":"eng-007","engineer_id":"eng-007"}"#,
        ),
    ] {
        let got = rewrite.body(&json, Bytes::from(body), &VALUES).unwrap();
        assert_eq!(got, wanted, "{body}");
    }
    for body in ["[]", "[{}]", "1", "\"engineer_id\""] {
        assert!(
            rewrite.body(&json, Bytes::from(body), &VALUES).is_err(),
            "{body}"
        );
    }
    let form = typed("application/x-www-form-urlencoded");
    let got = rewrite.body(&form, Bytes::new(), &VALUES).unwrap();
    assert_eq!(got, "engineer_id=eng-007");
    let got = rewrite
        .body(&HeaderMap::new(), Bytes::new(), &VALUES)
        .unwrap();
    assert_eq!(got, "");
    let headers = rewrite.headers(&HeaderMap::new(), &VALUES).unwrap();
    assert_eq!(headers["engineer-id"], "eng-007");
}

/// Bodies, and what goes on.
const JSON: &[(&str, &str)] = &[
    ("{}", "{}"),
    ("[1,\"engineer_id\",null]", "[1,\"engineer_id\",null]"),
    (r#"{"engineer_id":"x"}"#, r#"{"engineer_id":"eng-007"}"#),
    (
        r#"{"engineer\u005fid":"x"}"#,
        r#"{"engineer\u005fid":"eng-007"}"#,
    ),
    (
        r#"{"\u0065ngineer_id":"x"}"#,
        r#"{"\u0065ngineer_id":"eng-007"}"#,
    ),
    (
        r#"{"engineer_id\u0000":"x"}"#,
        r#"{"engineer_id\u0000":"eng-007"}"#,
    ),
    (
        r#"{"EngineerId" : [1, {"a": 2}] , "b":1e400}"#,
        r#"{"EngineerId" : "eng-007" , "b":1e400}"#,
    ),
    (
        r#"{"engineer_id":"x","engineer_id":"y"}"#,
        r#"{"engineer_id":"eng-007"}"#,
    ),
    (
        r#"{"engineer_id":"x","a":1,"engineer\u005fid":"y","b":2}"#,
        r#"{"engineer_id":"eng-007","a":1,"b":2}"#,
    ),
    (
        r#"{"engineer_id":"x","engineerId":"y"}"#,
        r#"{"engineer_id":"eng-007","engineerId":"eng-007"}"#,
    ),
    (
        r#"{"engineer_id":{"$ne":null}}"#,
        r#"{"engineer_id":"eng-007"}"#,
    ),
    (r#"{"engineer_id[$ne]":null,"a":1}"#, r#"{"a":1}"#),
    (
        r#"{"user.engineer_id":1}"#,
        r#"{"user.engineer_id":"eng-007"}"#,
    ),
    (
        r#"[[{"a":{"engineer-id":1}}],2]"#,
        r#"[[{"a":{"engineer-id":"eng-007"}}],2]"#,
    ),
    (r#"{"role":1}"#, "{}"),
    (r#"{ "role" : 1 }"#, "{  }"),
    (r#"{"role":1,"a":2}"#, r#"{"a":2}"#),
    (r#"{"a":2,"role":1}"#, r#"{"a":2}"#),
    (r#"{"a":2 , "role":1 , "Role":{} }"#, r#"{"a":2 }"#),
    (
        r#"{"role":1,"role":2,"a":3,"role":4,"b":5}"#,
        r#"{"a":3,"b":5}"#,
    ),
    (
        r#"{"a":[{"role":1},{"role":1,"b":2}],"role":[]}"#,
        r#"{"a":[{},{"b":2}]}"#,
    ),
    (
        r#"{"role":1,"engineer_id":2,"role":3}"#,
        r#"{"engineer_id":"eng-007"}"#,
    ),
    (
        r#"{"roles":1,"message":"role: engineer_id=x"}"#,
        r#"{"roles":1,"message":"role: engineer_id=x"}"#,
    ),
    (
        "{\r\n\t\"z\":1.0E+2,\"a\":\"\\u0041\\/\\ud800\",\"engineer_id\":1}\n",
        "{\r\n\t\"z\":1.0E+2,\"a\":\"\\u0041\\/\\ud800\",\"engineer_id\":\"eng-007\"}\n",
    ),
];

#[test]
fn c14_json_of_every_spelling_says_what_the_edge_says() {
    let rewrite = route();
    let json = typed("application/json");
    let body = |text: &str| rewrite.body(&json, Bytes::from(text.to_owned()), &VALUES);
    for &(text, wanted) in JSON {
        assert_eq!(body(text).unwrap(), wanted, "{text}");
    }
    for text in [
        "{\"engineer_id\":\"x\"",
        "{'engineer_id':'x'}",
        "{engineer_id:1}",
        "{\"a\":1,}",
        "{\"a\":NaN}",
        "{}{\"engineer_id\":1}",
        "/*{\"a\":1}*/{}",
        "\u{feff}{\"engineer_id\":1}",
        "{\"engineer\\ud800_id\":1}",
        "{\"engineer\\x5fid\":1}",
        "engineer_id=x",
    ] {
        assert_eq!(body(text).unwrap_err().reason, Reason::BadRequest, "{text}");
    }
    let deep = "[".repeat(129) + &"]".repeat(129);
    assert_eq!(body(&deep).unwrap_err().reason, Reason::BadRequest);
}

#[test]
fn c14_bodies_of_other_types_are_refused_unless_there_is_none() {
    let rewrite = route();
    for kind in [
        "multipart/form-data; boundary=x",
        "text/plain",
        "application/json-patch+json",
    ] {
        let denied = rewrite
            .body(&typed(kind), Bytes::from("x"), &VALUES)
            .unwrap_err();
        assert_eq!(
            denied.status,
            Some(StatusCode::UNSUPPORTED_MEDIA_TYPE),
            "{kind}"
        );
        assert_eq!(
            rewrite.body(&typed(kind), Bytes::new(), &VALUES).unwrap(),
            ""
        );
    }
    // A route that names nothing looks at nothing.
    let blind = super::Rewrite::new(&config::Rewrite::default());
    let body = Bytes::from_static(b"\xff{");
    assert_eq!(
        blind.body(&typed("x/y"), body.clone(), &VALUES).unwrap(),
        body
    );
    assert_eq!(blind.query("%zz", &Values::default()).unwrap(), "%zz");
}

#[test]
fn c14_forms_are_rewritten_as_queries_are() {
    let rewrite = route();
    let form = typed("application/x-www-form-urlencoded; charset=utf-8");
    let body = |text: &'static [u8]| rewrite.body(&form, Bytes::from_static(text), &VALUES);
    assert_eq!(
        body(b"a=1&Engineer-Id=x&role=y").unwrap(),
        "a=1&Engineer-Id=eng-007"
    );
    assert_eq!(body("é=1".as_bytes()).unwrap(), "é=1");
    assert!(body(b"engineer%255Fid=x").is_err());
    assert!(body(b"\xff=1").is_err());
}

#[test]
fn c14_headers_are_built_from_a_list() {
    let rewrite = route();
    let mut from = HeaderMap::new();
    for (name, value) in [
        ("accept", "a/b"),
        ("accept", "c/d"),
        ("content-type", "application/json"),
        ("traceparent", "00-1-2-01"),
        ("idempotency-key", "k"),
        ("user-agent", "\u{e9}"),
        ("engineer-id", "x"),
        ("engineer_id", "x"),
        ("role", "x"),
        ("cookie", "engineer_id=x"),
        ("authorization", "Bearer x"),
        ("x-ms-client-principal", "x"),
        ("x_ms_client_principal", "x"),
        ("x-ms-client-principal-id", "x"),
        ("x-ms-token-aad-id-token", "x"),
        ("x-tonegate-user", "x"),
        ("x_tonegate_user", "x"),
        ("forwarded", "for=x"),
        ("x-forwarded-for", "x"),
        ("x-forwarded-user", "x"),
        ("x-original-url", "/admin"),
        ("x-http-method-override", "DELETE"),
        ("user_agent", "x"),
        ("connection", "keep-alive, te"),
        ("te", "trailers"),
        ("transfer-encoding", "chunked"),
        ("content-length", "2"),
        ("host", "x"),
        ("upgrade", "websocket"),
        ("x-whatever", "x"),
    ] {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        from.append(HeaderName::from_static(name), value);
    }
    let to = rewrite.headers(&from, &VALUES).unwrap();
    let mut names: Vec<_> = to.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    let wanted = [
        "accept",
        "content-type",
        "idempotency-key",
        "traceparent",
        "user-agent",
    ];
    assert_eq!(names, wanted);
    assert_eq!(to.get_all("accept").iter().count(), 2);
}

#[test]
fn c14_headers_that_are_read_in_two_ways_are_refused() {
    let rewrite = route();
    for option in ["Content-Type", "close,content-type", "x, Traceparent ,y"] {
        let mut from = typed("application/json");
        from.insert("traceparent", HeaderValue::from_static("x"));
        from.insert("connection", HeaderValue::from_str(option).unwrap());
        assert!(rewrite.headers(&from, &VALUES).is_err(), "{option}");
    }
    let mut from = typed("application/json");
    from.append("content-type", HeaderValue::from_static("text/plain"));
    assert!(rewrite.headers(&from, &VALUES).is_err());
}

#[test]
fn c14_a_header_that_is_passed_is_still_not_an_identity() {
    for listed in [
        "engineer-id",
        "x-engineer.id",
        "x-engineer_id",
        "authorization",
        "x_ms_token_a",
    ] {
        let settings = config::Rewrite {
            fields: vec![overwritten("engineer_id", Known::User, &[Part::Header])],
            pass: vec![HeaderName::from_static(listed)],
        };
        let mut from = HeaderMap::new();
        from.insert(
            HeaderName::from_static(listed),
            HeaderValue::from_static("x"),
        );
        let to = super::Rewrite::new(&settings)
            .headers(&from, &VALUES)
            .unwrap();
        assert_eq!(to.len(), 1, "{listed}");
        assert_eq!(to["engineer-id"], USER);
    }
}

#[test]
fn c14_an_identity_that_the_edge_does_not_know_is_a_refusal() {
    let rewrite = route();
    let unknown = Values {
        mapped: None,
        ..VALUES
    };
    let json = typed("application/json");
    for mapped in [
        None,
        Some(""),
        Some("a b"),
        Some("a\r\nb"),
        Some("é"),
        Some(&"x".repeat(257)[..]),
    ] {
        let values = Values { mapped, ..unknown };
        let denied = rewrite.query("", &values).unwrap_err();
        assert_eq!(denied.reason, Reason::Forbidden, "{mapped:?}");
        assert_eq!(rewrite.body(&json, Bytes::new(), &values), Err(denied));
        assert_eq!(rewrite.headers(&json, &values), Err(denied));
    }
}

#[test]
fn c14_what_is_put_in_is_quoted() {
    let rewrite = route();
    let mapped = Some(r#""\&=;%<x"#);
    let values = Values { mapped, ..VALUES };
    let query = rewrite.query("engineer_id=x", &values).unwrap();
    assert_eq!(query, "engineer_id=%22%5C%26%3D%3B%25%3Cx");
    let body = Bytes::from_static(b"{\"engineer_id\":1}");
    let body = rewrite
        .body(&typed("application/json"), body, &values)
        .unwrap();
    assert_eq!(body, r#"{"engineer_id":"\"\\&=;%<x"}"#);
}

#[test]
fn c14_how_often_an_identity_is_named_is_bounded() {
    let rewrite = route();
    let json = typed("application/json");
    let list = |count: usize| format!("[{}]", vec!["{\"role\":1}"; count].join(","));
    assert!(
        rewrite
            .body(&json, Bytes::from(list(1024)), &VALUES)
            .is_ok()
    );
    assert!(
        rewrite
            .body(&json, Bytes::from(list(1025)), &VALUES)
            .is_err()
    );
    let query = |count: usize| vec!["engineer_id=x"; count].join("&");
    assert!(rewrite.query(&query(1024), &VALUES).is_ok());
    assert!(rewrite.query(&query(1025), &VALUES).is_err());
}

#[test]
fn c14_a_name_that_could_be_two_fields_is_neither() {
    let both = rewrite(vec![
        overwritten("user", Known::User, &[]),
        overwritten("tenant", Known::Tenant, &[]),
        stripped("role"),
    ]);
    for (raw, wanted) in [
        ("tenant[user]=x", ""),
        ("user.tenant=x", ""),
        ("role.user=x", ""),
        ("a.user=x", "a.user=11111111-2222-3333-4444-555555555555"),
    ] {
        assert_eq!(both.query(raw, &VALUES).as_deref(), Ok(wanted), "{raw}");
    }
}

fn names(required: bool) -> Names {
    Names::new(&config::Names {
        fields: vec![name("engineer_id"), name("owner")],
        paths: vec![PathShape::new("/api/engineer/{id}/summary").unwrap()],
        required,
    })
}

fn find(path: &str, query: &str, body: &str) -> Result<Option<String>, Denied> {
    let headers = typed(match body.starts_with(['{', '[']) {
        true => "application/json",
        false => "application/x-www-form-urlencoded",
    });
    let body = Bytes::from(body.to_owned());
    let request = Request {
        path,
        query,
        headers: &headers,
        body: &body,
    };
    let found = names(false).find(&request)?;
    Ok(found.map(|id| id.as_str().to_owned()))
}

#[test]
fn c13_the_id_that_a_request_names_is_found() {
    for (path, query, body) in [
        ("/api/engineer/eng-1/summary", "", ""),
        ("/api/engineer/eng-1/summary/", "", ""),
        ("/API/Engineer/eng-1/Summary", "", ""),
        ("/api/engin%65er/eng%2D1/summary", "", ""),
        ("/x", "engineer_id=eng-1", ""),
        ("/x", "a=b&owner=eng%2d1&c", ""),
        ("/x", "", "engineer_id=eng-1"),
        ("/x", "", "{\"engineer_id\":\"eng-1\"}"),
        (
            "/x",
            "",
            "[{\"a\":{\"engineer\\u005fid\":\"\\u0065ng-1\"}}]",
        ),
        (
            "/api/engineer/eng-1/summary",
            "engineer_id=eng-1",
            "{\"owner\":\"eng-1\"}",
        ),
    ] {
        assert_eq!(
            find(path, query, body),
            Ok(Some("eng-1".to_owned())),
            "{path} {query} {body}"
        );
    }
    assert_eq!(find("/x", "", "{\"owner\":42}"), Ok(Some("42".to_owned())));
    for (path, query, body) in [
        ("/", "", ""),
        ("/api/engineer/eng-1", "engineers=x", "{\"engineers\":1}"),
        ("/api/engineer/eng-1/summary/x", "", ""),
        ("/api/manager/eng-1/summary", "", ""),
    ] {
        assert_eq!(find(path, query, body), Ok(None), "{path} {query} {body}");
    }
}

/// Requests that name somebody, but whom? Path, query, body.
const DOUBTFUL: &[(&str, &str, &str)] = &[
    // Several, or one twice.
    ("/x", "engineer_id=a&engineer_id=b", ""),
    ("/x", "engineer_id=a&engineer_id=a", ""),
    ("/x", "engineer_id=a&owner=b", ""),
    ("/x", "engineer_id=a", "{\"engineer_id\":\"b\"}"),
    ("/api/engineer/a/summary", "engineer_id=b", ""),
    ("/x", "", "{\"engineer_id\":\"a\",\"engineer_id\":\"b\"}"),
    (
        "/x",
        "",
        "{\"engineer_id\":\"a\",\"b\":[{\"engineer_id\":\"c\"}]}",
    ),
    // In other spellings.
    ("/x", "engineerId=a", ""),
    ("/x", "Engineer_id=a", ""),
    ("/x", "engineer%5Fid=a", ""),
    ("/x", "engineer%255Fid=a", ""),
    ("/x", "engineer_id[]=a", ""),
    ("/x", "user.engineer_id=a", ""),
    ("/x", "engineer_id[$ne]=a", ""),
    ("/x", "engineer_id=a&engineerId=b", ""),
    ("/x", "a=1;engineer_id=b", ""),
    ("/x", "engineer_id=a;owner=b", ""),
    ("/x", "", "{\"engineerId\":\"a\"}"),
    ("/x", "", "{\"engineer_id.x\":\"a\"}"),
    // By what is no id.
    ("/x", "engineer_id", ""),
    ("/x", "engineer_id=", ""),
    ("/x", "engineer_id=a%00", ""),
    ("/x", "engineer_id=a%252D", ""),
    ("/x", "engineer_id=a+b", ""),
    ("/x", "engineer_id=+a", ""),
    ("/x", "engineer_id=a%zz", ""),
    ("/x", "engineer_id=%C3%A9", ""),
    ("/x", "engineer_id=a,b", ""),
    ("/x", "engineer_id=*", ""),
    ("/x", "", "{\"engineer_id\":null}"),
    ("/x", "", "{\"engineer_id\":[\"a\"]}"),
    ("/x", "", "{\"engineer_id\":{\"$ne\":\"a\"}}"),
    ("/x", "", "{\"engineer_id\":1.0}"),
    ("/x", "", "{\"engineer_id\":1e2}"),
    ("/x", "", "{\"engineer_id\":-1}"),
    ("/x", "", "{\"engineer_id\":true}"),
    ("/x", "", "{\"engineer_id\":\"a\\ud800\"}"),
    // In paths that servers tidy up.
    ("/api/engineer//summary", "", ""),
    ("/api//engineer/a/summary", "", ""),
    ("/x/../api/engineer/a/summary", "", ""),
    ("/x/%2e%2E/api/engineer/a/summary", "", ""),
    ("/api/./engineer/a/summary", "", ""),
    ("/api/engineer/a%2Fsummary", "", ""),
    ("/api/engineer/a%5Cb/summary", "", ""),
    ("/api/engineer/a;b=c/summary", "", ""),
    ("/api/engineer;a/b/summary", "", ""),
    ("/api/engineer/a%252D/summary", "", ""),
    ("/api/engineer/a%00/summary", "", ""),
    ("/api/engineer/a%zz/summary", "", ""),
    ("/api/engineer/%u0061/summary", "", ""),
    ("/api/engineer/a+b/summary", "", ""),
    ("/api/engineer/%FF/summary", "", ""),
    ("/api/engıneer/a b/summary", "", ""),
    ("", "", ""),
];

#[test]
fn c13_an_id_that_could_be_read_otherwise_is_refused() {
    for &(path, query, body) in DOUBTFUL {
        assert!(find(path, query, body).is_err(), "{path} {query} {body}");
    }
    let headers = typed("multipart/form-data");
    let request = Request {
        path: "/x",
        query: "",
        headers: &headers,
        body: &Bytes::from_static(b"x"),
    };
    let denied = names(false).find(&request).unwrap_err();
    assert_eq!(denied.status, Some(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    let request = Request {
        body: &Bytes::new(),
        ..request
    };
    assert_eq!(names(false).find(&request), Ok(None));
    assert_eq!(
        names(true).find(&request).unwrap_err().reason,
        Reason::Forbidden
    );
}

// What follows knows nothing of how the code above reads: it reads as much as anybody might.

/// As frameworks take names: every path segment, and the whole, of letters and digits.
fn anybody_reads(name: &str) -> bool {
    let letters = |text: &str| -> String {
        text.chars()
            .filter(char::is_ascii_alphanumeric)
            .collect::<String>()
            .to_lowercase()
    };
    let parts = name.split(['.', '[', ']', '\0', ';', '=']);
    parts.map(letters).any(|part| part == "engineerid") || letters(name) == "engineerid"
}

/// Python's `unquote_plus`, as often as somebody might.
fn unquote(text: &str, times: usize) -> String {
    let mut text = text.to_owned();
    for _ in 0..times {
        let bytes = text.replace('+', " ").into_bytes();
        let mut out = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let hex = bytes
                .get(at + 1..at + 3)
                .and_then(|hex| std::str::from_utf8(hex).ok());
            match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
                Some(byte) if bytes[at] == b'%' => {
                    out.push(byte);
                    at += 3;
                }
                _ => {
                    out.push(bytes[at]);
                    at += 1;
                }
            }
        }
        text = String::from_utf8_lossy(&out).into_owned();
    }
    text
}

/// The named field, in some spelling, encoded more or less.
fn spelled() -> impl Strategy<Value = String> {
    let letters = proptest::collection::vec((any::<bool>(), 0..8u8, 0..6u8), 10);
    let suffix = prop_oneof![
        4 => Just(""), 1 => Just("[]"), 1 => Just("[0]"), 1 => Just("%5B%5D"), 1 => Just(".x"),
        1 => Just("%00"), 1 => Just(" ").prop_map(|_| "+"),
    ];
    let prefix = prop_oneof![4 => Just(""), 1 => Just("user."), 1 => Just("a[b]["), 1 => Just("+")];
    (letters, prefix, suffix, any::<bool>()).prop_map(|(letters, prefix, suffix, raw)| {
        let mut out = prefix.to_owned();
        for (letter, (upper, sign, coded)) in "engineerid".chars().zip(letters) {
            match sign {
                0 => out.push('_'),
                1 => out.push('-'),
                2 if raw => out.push_str("%5f"),
                _ => {}
            }
            let letter = if upper {
                letter.to_ascii_uppercase()
            } else {
                letter
            };
            match coded {
                0 if raw => out.push_str(&format!("%{:02x}", letter as u8)),
                1 if raw => out.push_str(&format!("%25{:02X}", letter as u8)),
                _ => out.push(letter),
            }
        }
        out + suffix
    })
}

fn other() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-d]{0,3}=[a-z%;+.0-9]{0,6}",
        Just(String::new()),
        Just("message=engineer_id".to_owned()),
        Just("%41=%zz".to_owned()),
        Just("engineers=1".to_owned()),
    ]
}

/// A member of an object: its key as it is written, and its value.
type Member = (String, Tree);

#[derive(Clone, Debug)]
enum Tree {
    Leaf(String),
    List(Vec<Tree>),
    Object(Vec<Member>),
}

impl Tree {
    fn render(&self, blank: &str, value: &dyn Fn(&str, &Tree) -> Option<Option<String>>) -> String {
        match self {
            Tree::Leaf(text) => text.clone(),
            Tree::List(items) => {
                let items = items.iter().map(|item| item.render(blank, value));
                format!(
                    "[{blank}{}]",
                    items.collect::<Vec<_>>().join(&format!(",{blank}"))
                )
            }
            Tree::Object(members) => {
                let members = members.iter().filter_map(|(key, inner)| {
                    let inner = match value(key, inner) {
                        None => inner.render(blank, value),
                        Some(fixed) => fixed?,
                    };
                    Some(format!("{key}{blank}:{blank}{inner}"))
                });
                let members: Vec<_> = members.collect();
                format!("{{{}}}", members.join(&format!("{blank},{blank}")))
            }
        }
    }
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        Just("1e400"),
        Just("-0.10"),
        Just("\"\\u0041\\ud800\""),
        Just("\"engineer_id\""),
        Just("null"),
        Just("\"é\""),
        Just("123456789012345678901234567890"),
    ];
    let leaf = leaf.prop_map(|text| Tree::Leaf(text.to_owned()));
    leaf.prop_recursive(4, 24, 5, |inner| {
        let key = prop_oneof![
            3 => "[a-c]{1,2}".prop_map(|key| format!("\"{key}\"")),
            1 => Just("\"\\u0061\\/\"".to_owned()),
            2 => Just("\"engineer_id\"".to_owned()),
            1 => Just("\"Engineer\\u002dId\"".to_owned()),
            1 => Just("\"\\u0065ngineerID\"".to_owned()),
        ];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Tree::List),
            proptest::collection::vec((key, inner), 0..5).prop_map(Tree::Object),
        ]
    })
}

/// Everything that stands under a key, as `serde_json` reads it, duplicates and all; values are told
/// where they are strings.
#[derive(Default)]
struct Pairs {
    pairs: Vec<(String, Option<String>)>,
    text: Option<String>,
}

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Pairs, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Pairs;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("JSON")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut out = Pairs::default();
                while let Some((key, value)) = map.next_entry::<String, Pairs>()? {
                    out.pairs.push((key, value.text));
                    out.pairs.extend(value.pairs);
                }
                Ok(out)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Pairs, A::Error> {
                let mut out = Pairs::default();
                while let Some(value) = seq.next_element::<Pairs>()? {
                    out.pairs.extend(value.pairs);
                }
                Ok(out)
            }
            fn visit_str<E>(self, text: &str) -> Result<Pairs, E> {
                Ok(Pairs {
                    text: Some(text.to_owned()),
                    ..Pairs::default()
                })
            }
            fn visit_unit<E>(self) -> Result<Pairs, E> {
                Ok(Pairs::default())
            }
            fn visit_f64<E>(self, _: f64) -> Result<Pairs, E> {
                Ok(Pairs::default())
            }
        }
        deserializer.deserialize_any(All)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn c14_no_reader_of_queries_sees_what_the_caller_says(
        parts in proptest::collection::vec(prop_oneof![
            other(),
            spelled().prop_map(|name| format!("{name}=evil")),
        ], 0..6),
        strips in any::<bool>(),
    ) {
        let route = match strips {
            true => rewrite(vec![stripped("engineer_id")]),
            false => rewrite(vec![overwritten("engineer_id", Known::Mapped, &[])]),
        };
        let raw = parts.join("&");
        let Ok(out) = route.query(&raw, &VALUES) else {
            return Ok(());
        };
        for divider in [&['&'][..], &['&', ';']] {
            for pair in out.split(divider) {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                for times in 0..4 {
                    if anybody_reads(&unquote(name, times)) {
                        prop_assert!(!strips && value == "eng-007", "{} -> {}", raw, out);
                    }
                }
            }
        }
        // What anybody could not take for the field is there, in its order.
        let others = |text: &str| -> Vec<String> {
            let pairs = text.split('&').filter(|pair| !pair.is_empty());
            let name = |pair: &&str| unquote(pair.split('=').next().unwrap_or(""), 1);
            pairs.filter(|pair| !anybody_reads(&name(pair))).map(str::to_owned).collect()
        };
        prop_assert_eq!(others(&raw), others(&out));
    }

    #[test]
    fn c14_no_reader_of_json_sees_what_the_caller_says(tree in tree(), spaced in any::<bool>()) {
        let blank = if spaced { "\r\n \t" } else { "" };
        let text = tree.render(blank, &|_, _| None);
        // What `serde_json` does not read, though it is JSON.
        let text = text.replace("1e400", "1e40").replace("\\ud800", "");
        let route = rewrite(vec![overwritten("engineer_id", Known::Mapped, &[])]);
        let out = route.body(&typed("application/json"), Bytes::from(text.clone()), &VALUES).unwrap();
        let out = std::str::from_utf8(&out).unwrap();
        let read: Pairs = serde_json::from_str(out).unwrap();
        for (key, value) in &read.pairs {
            if anybody_reads(key) {
                prop_assert_eq!(value.as_deref(), Some("eng-007"));
            }
        }
        // Rewritten again it is the same.
        let again = route.body(&typed("application/json"), Bytes::from(out.to_owned()), &VALUES);
        prop_assert_eq!(again.unwrap(), out);
    }

    #[test]
    fn c14_of_json_nothing_else_changes_by_a_byte(tree in tree()) {
        let text = tree.render("", &|_, _| None);
        let route = rewrite(vec![stripped("engineer_id")]);
        let out = route.body(&typed("application/json"), Bytes::from(text), &VALUES).unwrap();
        let named = |key: &str| key.to_lowercase().contains("ngineer");
        let wanted = tree.render("", &|key, _| named(key).then_some(None));
        prop_assert_eq!(out, wanted);
    }

    #[test]
    fn nothing_makes_it_panic(text in "\\PC{0,40}", bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        let route = adding();
        let _ = route.query(&text, &VALUES);
        for kind in ["application/json", "application/x-www-form-urlencoded"] {
            let _ = route.body(&typed(kind), Bytes::from(text.clone()), &VALUES);
            let _ = route.body(&typed(kind), Bytes::from(bytes.clone()), &VALUES);
        }
        let _ = find(&text, &text, &text);
    }
}
