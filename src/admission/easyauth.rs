//! Whom App Service or Container Apps signed in (EasyAuth), as a hop tells it in a header.
//!
//! Nothing in it is signed: it is worth what the hop is worth that sets it, and from anybody else
//! it is not even looked at. The platform takes the client's own copies of these headers away.
//! `x-ms-client-principal` is read, and `-id` beside it must agree. `-name` and `-idp` say nothing
//! more, and `x-ms-token-*` are the platform's own credentials: read from nobody, and passed on to
//! nobody, as everything that goes upstream is built from nothing.
//!
//! Not here: roles. A route admits whom the platform signed in, or nobody.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use serde::Deserialize;

use super::Denied;
use super::credential::single;
use crate::error::Reason;
use crate::ids::is_guid;
use crate::secret::Digest;

/// Longest header, as for tokens: claims of many groups fit.
const PRINCIPAL_MAX: usize = 16 * 1024;

/// Names of one claim: as the platform maps it by default, and as Entra writes it.
type Names = [&'static str; 2];
const OBJECT: Names = [
    "http://schemas.microsoft.com/identity/claims/objectidentifier",
    "oid",
];
const TENANT: Names = [
    "http://schemas.microsoft.com/identity/claims/tenantid",
    "tid",
];

/// What the header says, well formed and not judged.
#[derive(Deserialize)]
pub(super) struct Document {
    auth_typ: String,
    claims: Vec<Claim>,
}

#[derive(Deserialize)]
struct Claim {
    typ: String,
    val: String,
}

/// A user or an application of Entra; tenant and object id, GUIDs in lower case, are one identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Principal {
    pub(super) tenant: String,
    pub(super) name: String,
}

/// Lifts out what a hop says; only for requests that one brought.
pub(super) fn lift(headers: &HeaderMap) -> Result<Option<Document>, Denied> {
    const TWICE: &str = "a header of EasyAuth stands twice or is not text";
    let id = single(headers, "x-ms-client-principal-id", TWICE)?;
    let Some(text) = single(headers, "x-ms-client-principal", TWICE)? else {
        return Ok(None);
    };
    if text.len() > PRINCIPAL_MAX {
        return Err(bad("x-ms-client-principal exceeds 16 KiB"));
    }
    let json = STANDARD.decode(text);
    let document: Option<Document> = json
        .ok()
        .and_then(|json| serde_json::from_slice(&json).ok());
    let document = document.ok_or(bad("x-ms-client-principal is not a principal in base64"))?;
    // Providers other than Entra have ids of other forms, which are judged by `auth_typ`.
    let object = document.claim(OBJECT)?;
    if let (Some(id), Some(object)) = (id.filter(|id| is_guid(id)), object)
        && !id.eq_ignore_ascii_case(object)
    {
        return Err(bad("the headers of EasyAuth name two principals"));
    }
    Ok(Some(document))
}

impl Document {
    /// Who it is, if it may enter: of one of `tenants`, or of any where there are none.
    pub(super) fn judge(&self, tenants: &[String]) -> Result<Principal, Denied> {
        let refused = |detail| Denied::new(Reason::Unauthenticated, detail);
        if self.auth_typ != "aad" {
            return Err(refused("the principal was not signed in by Entra"));
        }
        let guid = |names, missing| {
            let claim = self.claim(names)?.filter(|value| is_guid(value));
            claim.map(str::to_ascii_lowercase).ok_or(refused(missing))
        };
        let name = guid(OBJECT, "the principal has no object id")?;
        // Without a tenant an object id may be anybody's.
        let tenant = guid(TENANT, "the principal has no tenant")?;
        if !(tenants.is_empty() || tenants.contains(&tenant)) {
            let detail = "principals of this tenant may not enter here";
            return Err(Denied::new(Reason::Forbidden, detail));
        }
        Ok(Principal { tenant, name })
    }

    /// The value of a claim, whatever it is called; two different ones are nobody's.
    fn claim(&self, names: Names) -> Result<Option<&str>, Denied> {
        let mut values = self
            .claims
            .iter()
            .filter(|claim| names.contains(&claim.typ.as_str()))
            .map(|claim| claim.val.as_str());
        let first = values.next();
        if values.any(|other| first.is_some_and(|first| !first.eq_ignore_ascii_case(other))) {
            return Err(bad("a claim of the principal has two values"));
        }
        Ok(first)
    }
}

impl Principal {
    /// One identity, as limits count it. No issuer of tokens may have this name.
    pub(super) fn identity(&self) -> Digest {
        Digest::of(&format!("easyauth\0{}\0{}", self.tenant, self.name))
    }
}

fn bad(detail: &'static str) -> Denied {
    Denied::new(Reason::BadRequest, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const OID: &str = "aaaaaaaa-2222-3333-4444-555555555555";
    const TID: &str = "11111111-2222-3333-4444-555555555555";

    fn good() -> Value {
        json!({
            "auth_typ": "aad",
            "claims": [
                {"typ": OBJECT[0], "val": OID},
                {"typ": TENANT[0], "val": TID},
                {"typ": "name", "val": "Somebody"},
            ],
            "name_typ": "name",
            "role_typ": "roles",
        })
    }

    fn read(headers: &[(&'static str, &str)]) -> Result<Option<Principal>, (Reason, &'static str)> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            map.append(*name, value);
        }
        let judge =
            |document: Option<Document>| document.map(|document| document.judge(&[])).transpose();
        lift(&map)
            .and_then(judge)
            .map_err(|denied| (denied.reason, denied.detail))
    }

    const NAME: &str = "x-ms-client-principal";
    const ID: &str = "x-ms-client-principal-id";

    fn of(document: &Value) -> Result<Option<Principal>, (Reason, &'static str)> {
        read(&[(NAME, &STANDARD.encode(document.to_string()))])
    }

    #[test]
    fn a31_a_principal_is_its_tenant_and_its_object_id() {
        let somebody = Ok(Some(Principal {
            tenant: TID.to_owned(),
            name: OID.to_owned(),
        }));
        assert_eq!(of(&good()), somebody);
        let mut short = good();
        short["claims"] = json!([
            {"typ": "tid", "val": TID.to_uppercase()},
            {"typ": "oid", "val": OID.to_uppercase()},
            {"typ": OBJECT[0], "val": OID},
        ]);
        assert_eq!(of(&short), somebody);
        let text = STANDARD.encode(good().to_string());
        // Ids of other forms (the subject for an application) are no object ids.
        for id in [OID, &OID.to_uppercase(), "", "sid:0", "b4Qn-x_subject"] {
            assert_eq!(read(&[(NAME, &text), (ID, id)]), somebody, "{id}");
        }
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[(ID, OID)]), Ok(None));
    }

    #[test]
    fn a31_what_is_no_principal_does_not_pass() {
        let with = |change: fn(&mut Value)| {
            let mut document = good();
            change(&mut document);
            of(&document).map_err(|(reason, _)| reason)
        };
        let refused: [fn(&mut Value); 9] = [
            |d| d["auth_typ"] = json!("google"),
            |d| d["auth_typ"] = json!("AAD"),
            |d| d["auth_typ"] = json!(""),
            |d| d["claims"] = json!([]),
            |d| d["claims"][0]["typ"] = json!("sub"),
            |d| d["claims"][0]["typ"] = json!("OID"),
            |d| d["claims"][0]["val"] = json!(""),
            |d| d["claims"][0]["val"] = json!("somebody"),
            |d| d["claims"][1]["typ"] = json!("iss"),
        ];
        for change in refused {
            assert_eq!(with(change), Err(Reason::Unauthenticated));
        }
        let malformed: [fn(&mut Value); 7] = [
            |d| d["auth_typ"] = Value::Null,
            |d| d["claims"] = json!({"oid": OID, "tid": TID}),
            |d| d["claims"] = Value::Null,
            |d| d["claims"][0]["val"] = json!(5),
            |d| d["claims"][2] = json!({"typ": "oid", "val": TID}),
            |d| d["claims"][2] = json!({"typ": "tid", "val": OID}),
            |d| *d = json!([]),
        ];
        for change in malformed {
            assert_eq!(with(change), Err(Reason::BadRequest));
        }
    }

    #[test]
    fn a31_headers_that_are_malformed_too_long_or_two_are_refused() {
        let json = good().to_string();
        let text = STANDARD.encode(&json);
        let twice = json.replacen('{', "{\"auth_typ\":\"aad\",", 1);
        let long = json.replace("Somebody", &"x".repeat(PRINCIPAL_MAX));
        let other = TID;
        let cases: Vec<Vec<(&'static str, String)>> = vec![
            vec![(NAME, String::new())],
            vec![(NAME, "{}".to_owned())],
            vec![(NAME, json.clone())],
            vec![(NAME, text[1..].to_owned())],
            vec![(NAME, format!("{text}="))],
            vec![(NAME, format!(" {text}"))],
            vec![(NAME, STANDARD.encode(&json[1..]))],
            vec![(NAME, STANDARD.encode(format!("{json}x")))],
            vec![(NAME, STANDARD.encode(twice))],
            vec![(NAME, STANDARD.encode(long))],
            vec![(NAME, STANDARD.encode(b"\xFF\xFE"))],
            vec![(NAME, "é".to_owned())],
            vec![(NAME, text.clone()), (NAME, text.clone())],
            vec![(NAME, text.clone()), (ID, OID.into()), (ID, OID.into())],
            vec![(NAME, text), (ID, other.into())],
        ];
        for case in cases {
            let headers: Vec<_> = case.iter().map(|(n, v)| (*n, v.as_str())).collect();
            let (reason, detail) = read(&headers).unwrap_err();
            assert_eq!(reason, Reason::BadRequest, "{headers:?}");
            assert!(!detail.contains(OID));
        }
    }

    #[test]
    fn a31_a_list_of_tenants_is_a_list() {
        let json = STANDARD.encode(good().to_string());
        let mut headers = HeaderMap::new();
        headers.insert(NAME, HeaderValue::from_str(&json).unwrap());
        let document = lift(&headers).unwrap().unwrap();
        let judge = |tenants: &[&str]| {
            let tenants: Vec<String> = tenants.iter().map(|&t| t.to_owned()).collect();
            document.judge(&tenants).map_err(|denied| denied.reason)
        };
        assert!(judge(&[]).is_ok() && judge(&[OID, TID]).is_ok());
        assert_eq!(judge(&[OID]), Err(Reason::Forbidden));
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), cut in 0..300usize) {
            let _ = read(&[(NAME, &STANDARD.encode(&bytes))]);
            let json = good().to_string();
            let cut = cut.min(json.len());
            prop_assert_eq!(read(&[(NAME, &STANDARD.encode(&json[..cut]))]).is_ok(), cut == json.len());
        }
    }
}
