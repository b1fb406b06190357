//! What must go, what must stay, and that nothing else changes.

use proptest::prelude::*;

use super::*;
use crate::bot::body::tests::typed;
use crate::error::Reason;

fn all() -> Filter {
    Filter::new(&Pii {
        kinds: PiiKind::ALL.to_vec(),
        fields: Vec::new(),
        ..Pii::default()
    })
}

fn only(kind: PiiKind) -> Filter {
    Filter::new(&Pii {
        kinds: vec![kind],
        fields: Vec::new(),
        ..Pii::default()
    })
}

fn json(filter: &Filter, text: &str) -> Result<String, Denied> {
    let body = Bytes::from(text.to_owned());
    let filtered = filter.body(&typed("application/json"), body)?;
    Ok(String::from_utf8(filtered.body.to_vec()).unwrap())
}

/// Texts, and what becomes of them.
const CORPUS: [(PiiKind, &[(&str, &str)]); 12] = [
    (
        PiiKind::Email,
        &[
            ("a@b.de", "[email]"),
            (
                "Write to John.O'Neil+x@mail.example.co.uk.",
                "Write to [email].",
            ),
            ("<mailto:a_b-c@x-y.example>", "<mailto:[email]>"),
            ("email=a@b.de&x", "email=[email]&x"),
            (
                "'a@b.de', (c@d.fr); e@f.it!",
                "'[email]', ([email]); [email]!",
            ),
            ("müller@bücher.example", "[email]"),
            ("x@例え.テスト", "[email]"),
            ("a@xn--bcher-kva.example", "[email]"),
            ("..a@b.de..", "..[email].."),
            ("a@b.de-", "[email]-"),
            ("git@host.example:x/y", "[email]:x/y"),
            ("a@b.de@c.fr", "[email]@c.fr"),
            ("a＠b.de ａ@b．de", "[email] [email]"),
            ("1%2@b.de", "[email]"),
        ],
    ),
    (
        PiiKind::Phone,
        &[
            ("+4930123456789", "[phone]"),
            ("call +1 (555) 123-4567 now", "call [phone] now"),
            ("+49 (0)30 / 123 456-78.", "[phone]."),
            ("(+44) 20 7946 0958", "[phone]"),
            ("0049 30 123456", "[phone]"),
            ("00 44 20 7946 0958", "[phone]"),
            ("(555) 234-5678", "[phone]"),
            ("555-234-5678 or 555.234.5678", "[phone] or [phone]"),
            ("1-800-234-5678", "[phone]"),
            ("555 234 5678", "[phone]"),
            ("tel:555-234-5678", "tel:[phone]"),
            ("030 1234567", "[phone]"),
            ("030/123456-78", "[phone]"),
            ("(0171) 123 45 67", "[phone]"),
            ("0171-1234567, 0171 12345678", "[phone], [phone]"),
            ("020 7946 0958", "[phone]"),
            ("01632 960 123", "[phone]"),
            ("01.23.45.67.89", "[phone]"),
            ("call 01 23 45 67 89.", "call [phone]."),
            ("+33 1\u{a0}23\u{202f}45 67 89", "[phone]"),
            ("+４９ ３０ １２３４５６７", "[phone]"),
            ("+49\u{2011}30\u{2013}1234567", "[phone]"),
        ],
    ),
    (
        PiiKind::Card,
        &[
            ("4111111111111111", "[card]"),
            ("4111 1111 1111 1111, 5555-5555-5555-4444", "[card], [card]"),
            (
                "amex 3782 822463 10005 diners 3056 930902 5904",
                "amex [card] diners [card]",
            ),
            ("378282246310005 30569309025904", "[card] [card]"),
            ("6011111111111117/3530111333300000", "[card]/[card]"),
            ("4222222222222", "[card]"),
            ("card:4111111111111111.", "card:[card]."),
            ("#4111111111111111 12/25 123", "#[card] 12/25 123"),
            ("2221 0000 0000 0009", "[card]"),
            ("4 1 1 1  1 1 1 1 1 1 1 1 1 1 1 1", "[card]"),
            ("4-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1", "[card]"),
            ("４１１１\u{a0}1111\u{2007}1111 1111", "[card]"),
            ("4111\u{200b}111111111111", "[card]"),
            ("4000 0000 0000 0000 006", "[card]"),
        ],
    ),
    (
        PiiKind::Ip,
        &[
            ("10.0.0.1", "[ip]"),
            ("http://192.0.2.1:8080/x", "http://[ip]:8080/x"),
            ("10.0.0.0/8 ip=8.8.8.8, 1.1.1.1.", "[ip]/8 ip=[ip], [ip]."),
            ("10.0.0.1-10.0.0.9", "[ip]-[ip]"),
            ("2001:db8::1", "[ip]"),
            ("[::1]:443, fe80::1%eth0.", "[[ip]]:443, [ip]%eth0."),
            ("at 2001:DB8:0:0:8:800:200C:417A: no", "at [ip]: no"),
            ("::ffff:192.0.2.1", "[ip]"),
            ("ip:2001:db8::2.", "ip:[ip]."),
            ("２００１:db8::1 10．0．0．1", "[ip] [ip]"),
        ],
    ),
    (
        PiiKind::Ssn,
        &[
            ("123-45-6789", "[ssn]"),
            ("SSN 123 45 6789, ssn:899-99-9999.", "SSN [ssn], ssn:[ssn]."),
            ("1\u{200b}23\u{2010}45\u{2010}6789", "[ssn]"),
        ],
    ),
    (
        PiiKind::Nino,
        &[
            ("AB123456C", "[nino]"),
            ("ni AB 12 34 56 C; ab123456d", "ni [nino]; [nino]"),
            ("JG 103759 A", "[nino]"),
        ],
    ),
    (
        PiiKind::SteuerId,
        &[
            ("86095742719", "[steuer-id]"),
            ("IdNr. 86 095 742 719!", "IdNr. [steuer-id]!"),
        ],
    ),
    (
        PiiKind::Nir,
        &[
            ("255081416802538", "[nir]"),
            ("2 55 08 14 168 025 38", "[nir]"),
            ("1 80 12 2A 001 001 43", "[nir]"),
            ("1 80 12 2b 001 001 70.", "[nir]."),
        ],
    ),
    (
        PiiKind::Dni,
        &[
            ("12345678Z", "[dni]"),
            ("12345678-z 12.345.678-Z", "[dni] [dni]"),
            ("NIE X1234567L o X-1234567-L", "NIE [dni] o [dni]"),
        ],
    ),
    (
        PiiKind::CodiceFiscale,
        &[
            ("RSSMRA85T10A562S", "[codice-fiscale]"),
            ("cf rss mra 85t10 a562s", "cf [codice-fiscale]"),
        ],
    ),
    (
        PiiKind::Aadhaar,
        &[
            ("234123412346", "[aadhaar]"),
            ("2341 2341 2346 2341-2341-2346", "[aadhaar] [aadhaar]"),
            ("२३४१ २३४१ २३४६", "[aadhaar]"),
        ],
    ),
    (
        PiiKind::Cpf,
        &[
            ("529.982.247-25", "[cpf]"),
            ("CPF: 52998224725.", "CPF: [cpf]."),
        ],
    ),
];

#[test]
fn c21_personal_data_goes() {
    for (kind, texts) in CORPUS {
        assert!(texts.len() > 1);
        for (text, wanted) in texts {
            assert_eq!(only(kind).text(text), *wanted, "{kind:?} {text}");
        }
    }
}

#[test]
fn c21_what_looks_like_personal_data_stays() {
    for text in [
        // Orders, tickets, parts.
        "order 1234567890, 4512345678901 and 4111111111111112",
        "INV-2024-0001234567 ORD-4111111111111111 PO#00123456789",
        "case 2401010050001234 TrackingID#2401010050001234",
        // With Luhn's digit: milliseconds, a telephone's IMEI, no issuer's.
        "1700000000004 352099001761481 1234567890123452 9111111111111110",
        "9 4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
        // With the digit of a Steuer-ID, which repeats none or too many.
        "12345678903 11223344553 11111111119",
        "room 0815 01-02-2024 01.02.24 10.30 200 300 4000 5000",
        "SKU 123-456-789 ISBN 978-3-16-148410-0 978 3 16 148410 0",
        "3-2-4 000-12-3456 666-12-3456 900-12-3456 123-00-4567 123-45-0000 123-45-67890",
        "1Z999AA10123456784 AB123456 QQ123456C DA123456A AB123456E",
        // Times.
        "2024-01-31 31.01.2024 01/02/2024 1.2.2024 01-02-2024 09:30 01 02 2024",
        "2024-01-01T10:00:00.123456+01:00 20240101T100000Z 10:30:45 1700000000000 1700000000",
        "01.02.2024 10.30 Uhr, 01-02-2024 0930",
        // Versions.
        "1.2.3 v1.2.3.4 version 1.2.3.4 Version: 10.0.0.1 1.2.3.4-beta 10.0.19041.1 1.2.3.4.5",
        "Chrome/120.0.0.0 Safari/537.36 pkg-1.2.3.4 256.1.1.1 01.2.3.4 1.2.3",
        // Ids.
        "550e8400-e29b-41d4-a716-446655440000 123e4567-e89b-12d3-a456-426614174000",
        "00000000-0000-0000-0000-234123412346 a716-234123412346 x_4111111111111111",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "00:1a:2b:3c:4d:5e std::vec::dead a::b dead::beef 1:2:3",
        // Money and measures.
        "1.234.567,00 EUR 12 345 678,90 € $4,111,111,111 +12.345.678 -12.5 3.14159265358979",
        "4111111111111111.00 0.1234567890123 1e10 200 300 400 1920x1080 50%",
        "52 34 12 99 18 45 67 23 89 12 34 56 78",
        "0800 12 0012345678 0 123 456 789",
        // Names of other things.
        "@handle a@b user@localhost icon@2x.png @scope/pkg@1.2.3 a @ b.de x@.de @.@",
        "111.111.111-11 12345678901 12345678A RSSMRA85T10A562T",
        "",
        " ",
        "Ünïcödé 日本語 ١٢٣",
    ] {
        assert_eq!(all().text(text), text);
    }
}

#[test]
fn c21_json_is_changed_where_texts_are_and_nowhere_else() {
    let filter = all();
    for (text, wanted) in [
        (r#"{"a":"x a@b.de y"}"#, r#"{"a":"x [email] y"}"#),
        (r#"{"a":"\"a\u0040b.de\"\n"}"#, r#"{"a":"\"[email]\"\n"}"#),
        (
            r#"["\u0061@b.d\u0065\ud83d\ude00",1e400 , -0]"#,
            r#"["[email]\ud83d\ude00",1e400 , -0]"#,
        ),
        (r#"["4111\u00a01111\u00A01111\u00a01111"]"#, r#"["[card]"]"#),
        (r#"["\uff14111111111111111"]"#, r#"["[card]"]"#),
        (r#"["4\u200b111111111111111"]"#, r#"["[card]"]"#),
        (
            r#"["a@b.de\\","\\a@b.de","\/a@b.de"]"#,
            r#"["[email]\\","\\[email]","\/[email]"]"#,
        ),
        (r#"["\ud800a@b.de\udc00"]"#, r#"["\ud800[email]\udc00"]"#),
        (
            r#"{"a":"{\"mail\":\"a@b.de\"}"}"#,
            r#"{"a":"{\"mail\":\"[email]\"}"}"#,
        ),
        (
            r#"{"a@b.de":4111111111111111}"#,
            r#"{"a@b.de":4111111111111111}"#,
        ),
        (r#""10.0.0.1""#, r#""[ip]""#),
        (
            "{ \"b\" : [ ] ,\t\"a\":\"\\u0041\" }\r\n",
            "{ \"b\" : [ ] ,\t\"a\":\"\\u0041\" }\r\n",
        ),
    ] {
        assert_eq!(json(&filter, text).as_deref(), Ok(wanted), "{text}");
    }
    let twice = r#"{"a":["a@b.de","a@b.de and c@d.fr"]}"#;
    let filtered = filter
        .body(&typed("application/json"), Bytes::from(twice))
        .unwrap();
    assert_eq!(filtered.replaced, 3);
}

#[test]
fn c21_only_fields_that_are_named_are_looked_at() {
    let filter = Filter::new(&Pii {
        kinds: vec![PiiKind::Email],
        fields: vec![
            FieldName::new("message").unwrap(),
            FieldName::new("note_text").unwrap(),
        ],
        ..Pii::default()
    });
    for (text, wanted) in [
        (
            r#"{"message":"a@b.de","x":"a@b.de"}"#,
            r#"{"message":"[email]","x":"a@b.de"}"#,
        ),
        (
            r#"{"x":{"Message":"a@b.de"},"y":"a@b.de"}"#,
            r#"{"x":{"Message":"[email]"},"y":"a@b.de"}"#,
        ),
        (
            r#"{"message":{"a":["a@b.de",{"b":"a@b.de"}],"c":1},"x":"a@b.de"}"#,
            r#"{"message":{"a":["[email]",{"b":"[email]"}],"c":1},"x":"a@b.de"}"#,
        ),
        (
            r#"{"message":1,"x":"a@b.de"}"#,
            r#"{"message":1,"x":"a@b.de"}"#,
        ),
        (
            r#"{"message":{},"x":"a@b.de"}"#,
            r#"{"message":{},"x":"a@b.de"}"#,
        ),
        (
            r#"{"message":[[]],"x":"a@b.de"}"#,
            r#"{"message":[[]],"x":"a@b.de"}"#,
        ),
        (
            r#"[{"noteText":"a@b.de"},"a@b.de"]"#,
            r#"[{"noteText":"[email]"},"a@b.de"]"#,
        ),
        (
            r#"{"m\u0065ssage":"a@b.de"}"#,
            r#"{"m\u0065ssage":"[email]"}"#,
        ),
        (
            r#"{"message":{"message":"a@b.de"},"x":"a@b.de"}"#,
            r#"{"message":{"message":"[email]"},"x":"a@b.de"}"#,
        ),
    ] {
        assert_eq!(json(&filter, text).as_deref(), Ok(wanted), "{text}");
    }
}

#[test]
fn c21_bodies_that_cannot_be_looked_into_do_not_pass() {
    let filter = all();
    for (kind, status) in [
        ("multipart/form-data", Some(415)),
        ("application/x-www-form-urlencoded", Some(415)),
        ("application/json; charset=utf-16", Some(415)),
        ("application/json", None),
    ] {
        let denied = filter
            .body(&typed(kind), Bytes::from_static(b"a@b.de"))
            .unwrap_err();
        assert_eq!(denied.reason, Reason::BadRequest);
        assert_eq!(
            denied.status.map(|status| status.as_u16()),
            status,
            "{kind}"
        );
    }
    let plain = typed("text/plain; charset=utf-8");
    let filtered = filter
        .body(&plain, Bytes::from_static(b"to a@b.de\n"))
        .unwrap();
    assert_eq!(filtered.body, "to [email]\n");
    let filtered = filter.body(&HeaderMap::new(), Bytes::new()).unwrap();
    assert_eq!(filtered.replaced, 0);
}

#[test]
fn c21_only_kinds_that_are_chosen_go() {
    let text = "a@b.de 10.0.0.1 4111111111111111 123-45-6789";
    let filter = |kinds: &[PiiKind]| {
        Filter::new(&Pii {
            kinds: kinds.to_vec(),
            fields: Vec::new(),
            ..Pii::default()
        })
    };
    assert_eq!(filter(&[]).text(text), text);
    let chosen = filter(&[PiiKind::Ip, PiiKind::Ssn]).text(text).into_owned();
    assert_eq!(chosen, "a@b.de [ip] 4111111111111111 [ssn]");
    let default = filter(&PiiKind::DEFAULT).text(text).into_owned();
    assert_eq!(default, "[email] [ip] [card] 123-45-6789");
}

#[test]
fn c21_what_overlaps_goes_as_a_whole() {
    let filter = all();
    assert_eq!(filter.text("10.0.0.1@host.example"), "[email]");
    assert_eq!(filter.text("x 4111111111111111@b.de"), "x [email]");
}

#[test]
fn c21_no_place_in_a_text_is_overlooked() {
    let filter = all();
    for before in 0..600 {
        let head = "a ".repeat(before);
        let text = format!("{head}4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 x a@b.de");
        assert_eq!(
            filter.text(&text),
            format!("{head}[card] x [email]"),
            "{before}"
        );
    }
}

fn span(text: usize, start: usize, length: usize) -> Span {
    Span {
        text,
        start,
        length,
    }
}

#[test]
fn c21_what_a_detector_elsewhere_finds_goes_too() {
    let filter = all();
    let headers = typed("application/json");
    let body =
        Bytes::from_static(r#"{"a":"Ann \ud83d\ude00 Bo\u0062","b":["x",1,"Zoë"]}"#.as_bytes());
    assert_eq!(
        filter.texts(&headers, &body).unwrap(),
        ["Ann 😀 Bob", "x", "Zoë"]
    );
    let apply = |spans: &[Span], unit| {
        let filtered = filter.without(&headers, body.clone(), spans, unit)?;
        Ok::<_, Misfit>(String::from_utf8(filtered.body.to_vec()).unwrap())
    };
    let wanted = r#"{"a":"[pii] \ud83d\ude00 [pii]","b":["x",1,"[pii]"]}"#;
    for (unit, bob, zoe) in [
        (Unit::Utf8, span(0, 9, 3), span(2, 0, 4)),
        (Unit::CodePoint, span(0, 6, 3), span(2, 0, 3)),
        (Unit::Utf16, span(0, 7, 3), span(2, 0, 3)),
    ] {
        let spans = [zoe, bob, span(0, 0, 3)];
        assert_eq!(apply(&spans, unit).as_deref(), Ok(wanted), "{unit:?}");
    }
    // What overlaps, touches or is empty.
    let spans = [span(0, 0, 2), span(0, 1, 2), span(0, 3, 1), span(1, 1, 0)];
    let wanted = r#"{"a":"[pii]\ud83d\ude00 Bo\u0062","b":["x",1,"Zoë"]}"#;
    assert_eq!(apply(&spans, Unit::Utf16).as_deref(), Ok(wanted));
    assert_eq!(
        apply(&[], Unit::Utf8).as_deref(),
        Ok(std::str::from_utf8(&body).unwrap())
    );
    for (unit, span) in [
        (Unit::Utf8, span(3, 0, 1)),
        (Unit::Utf8, span(1, 0, 2)),
        (Unit::Utf8, span(1, 2, 0)),
        (Unit::Utf8, span(1, 5, 1)),
        (Unit::Utf8, span(2, 3, 1)),
        (Unit::Utf16, span(0, 5, 1)),
        (Unit::CodePoint, span(0, usize::MAX, 2)),
    ] {
        let empty = span.length == 0;
        assert_eq!(apply(&[span], unit).is_err(), !empty, "{unit:?} {span:?}");
    }
}

/// Bits of texts that mean something to some finder, or nearly.
fn text() -> impl Strategy<Value = String> {
    let bit = prop_oneof![
        "[0-9]{1,5}",
        "[a-f0-9]{1,4}",
        "[A-Za-z]{1,8}",
        "[ .:@/()+#_-]{1,2}",
        "\\PC",
        Just("a@b.de".to_owned()),
        Just("4111111111111111".to_owned()),
        Just("10.0.0.1".to_owned()),
        Just("+49 30 1234567".to_owned()),
        Just("123-45-6789".to_owned()),
        Just("::1".to_owned()),
        Just("[card]".to_owned()),
        Just("\u{200b}".to_owned()),
        Just("\u{a0}".to_owned()),
        Just("4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1".to_owned()),
        Just("\\\"\n".to_owned()),
    ];
    proptest::collection::vec(bit, 0..16).prop_map(|bits| bits.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn c21_filtered_twice_is_filtered_once(text in text()) {
        let filter = all();
        let once = filter.text(&text).into_owned();
        prop_assert_eq!(filter.text(&once), once.as_str(), "{}", text);
    }

    #[test]
    fn c21_json_stays_json_and_says_what_the_text_says(text in text(), wide in any::<bool>()) {
        let filter = all();
        let mut quoted = serde_json::to_string(&text).unwrap();
        if wide {
            let units = text.encode_utf16().map(|unit| format!("\\u{unit:04x}"));
            quoted = format!("\"{}\"", units.collect::<String>());
        }
        let body = format!("{{\"a\" :[ {quoted},1e400],\"a@b.de\":null}}");
        let out = json(&filter, &body).unwrap();
        let (head, tail) = ("{\"a\" :[ ", ",1e400],\"a@b.de\":null}");
        let inner = out.strip_prefix(head).and_then(|out| out.strip_suffix(tail)).unwrap();
        let said: String = serde_json::from_str(inner).unwrap();
        prop_assert_eq!(said, filter.text(&text));
    }

    #[test]
    fn c21_what_has_no_digit_and_no_at_stays(text in "\\PC{0,60}") {
        let sign = |c: &char| !c.is_numeric() && !matches!(c, '@' | '\u{ff20}' | '\u{fe6b}');
        let text: String = text.chars().filter(sign).collect();
        prop_assert_eq!(all().text(&text), text.as_str());
    }
}

/// Were the time of one finder not linear in the text, this would take hours.
#[test]
fn c21_the_longest_body_of_the_worst_text_is_done() {
    let filter = all();
    for bit in [
        "a@",
        "1.",
        "1 ",
        "4-",
        "a:",
        ":",
        "0171 ",
        "4111 ",
        "a.a@a.",
        "AB 12 34 56 ",
        "((",
        "+1",
        "1234567890123456",
        "\\u0031",
    ] {
        let text = bit.repeat((1 << 20) / bit.len());
        let out = json(&filter, &format!("\"{text}\"")).unwrap();
        assert!(out.len() > 2, "{bit}");
    }
}
