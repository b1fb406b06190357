//! Where tokens for the edge itself come from: three services of Azure's platforms, and Entra for
//! whoever has a secret.
//!
//! The metadata service of virtual machines (IMDS), the identity endpoint of App Service and
//! Container Apps, and Entra's token endpoint for a Kubernetes service account that it trusts
//! (workload identity), for an application that trusts the edge's own identity in turn, or for one with
//! a secret. What they answer differs in detail only.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, header};
use serde::Deserialize;

use crate::config::{IdentitySource, ManagedIdentity};
use crate::label::Label;
use crate::secret::Secret;
use crate::upstream::Unusable;
use crate::upstream::credential::{bearer, sensitive};
use crate::upstream::fetch::{self, Asking, Document};

/// Tokens in use have 1 to 4 KiB.
const TOKEN_MAX: usize = 16 * 1024;
/// No platform gives tokens for longer than a day.
const LASTS_MAX: Duration = Duration::from_secs(48 * 3600);

/// One service, ready to be asked.
pub(super) struct Source {
    document: Document,
    way: Way,
}

enum Way {
    /// A GET with this header.
    Get(HeaderName, HeaderValue),
    /// A form whose assertion is read from a file each time.
    Assert {
        client_id: Label,
        scope: String,
        file: PathBuf,
    },
    /// A form whose assertion is a token of the edge's own identity. It is fetched anew for each: both
    /// last about as long, so one that is kept would be old when it is wanted again.
    Exchange {
        own: Box<Source>,
        client_id: Label,
        scope: String,
    },
    /// A form with a secret.
    Secret {
        client_id: Label,
        scope: String,
        secret: Secret,
    },
}

/// A token in its header, and for how long it is good.
pub(super) struct Fetched {
    pub(super) header: HeaderValue,
    pub(super) lasts: Duration,
}

impl Fetched {
    /// The token without its `Bearer`.
    fn bare(&self) -> Option<Secret> {
        let header = self.header.to_str().ok()?;
        let token = header.strip_prefix("Bearer ")?;
        Some(Secret::new(token.to_owned()))
    }
}

/// Why there is none; for the log. It holds nothing that the service said.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error(transparent)]
    Document(#[from] fetch::Failed),
    #[error("the file of AZURE_FEDERATED_TOKEN_FILE cannot be read: {0}")]
    File(std::io::ErrorKind),
    #[error("the identity that the application trusts has no token to show: {0}")]
    Own(Box<Failed>),
    #[error("the answer is not a token with its end")]
    Answer,
    #[error("the token has ended already")]
    Ended,
}

impl Failed {
    pub(super) const LATE: Failed = Failed::Document(fetch::Failed::Late);
}

impl Source {
    pub(super) fn new(upstream: &Label, settings: ManagedIdentity) -> Result<Source, Unusable> {
        let unusable = || Unusable::Credential(upstream.clone());
        // The older services name the resource, the token endpoint its scope.
        let resource = settings.scope.trim_end_matches("/.default");
        let query = |version| query(version, resource, settings.client_id.as_ref());
        let (document, way) = match settings.source {
            IdentitySource::Imds { base } => {
                let query = query("2018-02-01");
                let url = format!("{base}/metadata/identity/oauth2/token?{query}");
                let metadata = HeaderName::from_static("metadata");
                let way = Way::Get(metadata, HeaderValue::from_static("true"));
                (Document::plain(&url), way)
            }
            IdentitySource::AppService { endpoint, header } => {
                let url = format!("{endpoint}?{}", query("2019-08-01"));
                let name = HeaderName::from_static("x-identity-header");
                let value = sensitive(header.expose()).ok_or_else(unusable)?;
                (Document::plain(&url), Way::Get(name, value))
            }
            IdentitySource::Workload {
                authority,
                tenant,
                client_id,
                token_file,
                roots,
            } => {
                let url = format!("{authority}/{tenant}/oauth2/v2.0/token");
                let way = Way::Assert {
                    client_id,
                    scope: settings.scope,
                    file: token_file,
                };
                (Document::new(&url, &roots), way)
            }
            IdentitySource::Federated {
                own,
                authority,
                tenant,
                client_id,
                roots,
            } => {
                let url = format!("{authority}/{tenant}/oauth2/v2.0/token");
                let way = Way::Exchange {
                    own: Box::new(Source::new(upstream, *own)?),
                    client_id,
                    scope: settings.scope,
                };
                (Document::new(&url, &roots), way)
            }
            IdentitySource::Application {
                authority,
                tenant,
                client_id,
                secret,
                roots,
            } => {
                let url = format!("{authority}/{tenant}/oauth2/v2.0/token");
                let way = Way::Secret {
                    client_id,
                    scope: settings.scope,
                    secret,
                };
                (Document::new(&url, &roots), way)
            }
        };
        Ok(Source {
            document: document.ok_or_else(unusable)??,
            way,
        })
    }

    pub(super) async fn fetch(&self) -> Result<Fetched, Failed> {
        let asking = match &self.way {
            Way::Get(name, value) => Asking {
                headers: vec![(name.clone(), value.clone())],
                ..Asking::default()
            },
            Way::Assert {
                client_id,
                scope,
                file,
            } => assertion(client_id, scope, &read_file(file).await?),
            Way::Exchange {
                own,
                client_id,
                scope,
            } => {
                let shown = Box::pin(own.fetch()).await;
                let shown = shown.map_err(|failed| Failed::Own(Box::new(failed)))?;
                assertion(client_id, scope, &shown.bare().ok_or(Failed::Answer)?)
            }
            Way::Secret {
                client_id,
                scope,
                secret,
            } => form(client_id, scope, &[("client_secret", secret.expose())]),
        };
        let answer = self.document.ask(asking).await?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        read(&answer, now.unwrap_or_default())
    }
}

/// What the services on a machine are asked for.
fn query(version: &str, resource: &str, client_id: Option<&Label>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("api-version", version);
    query.append_pair("resource", resource);
    if let Some(id) = client_id {
        query.append_pair("client_id", id.as_str());
    }
    query.finish()
}

/// The token of the service account, read off the thread that keeps the edge going: a file may be a
/// pipe that nobody writes to.
async fn read_file(path: &Path) -> Result<Secret, Failed> {
    let path = path.to_owned();
    let read = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        let file = std::fs::File::open(path)?;
        file.take(TOKEN_MAX as u64).read_to_string(&mut text)?;
        Ok::<_, std::io::Error>(Secret::new(text))
    });
    let read = read
        .await
        .map_err(|_| Failed::File(std::io::ErrorKind::Other))?;
    read.map_err(|error| Failed::File(error.kind()))
}

/// The request of RFC 7523, section 2.2.
fn assertion(client_id: &Label, scope: &str, assertion: &Secret) -> Asking {
    let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let shown = [
        ("client_assertion_type", kind),
        ("client_assertion", assertion.expose().trim()),
    ];
    form(client_id, scope, &shown)
}

/// The request of RFC 6749, section 4.4.2, with what proves who asks.
fn form(client_id: &Label, scope: &str, shown: &[(&str, &str)]) -> Asking {
    let body = form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "client_credentials")
        .append_pair("client_id", client_id.as_str())
        .append_pair("scope", scope)
        .extend_pairs(shown)
        .finish();
    let form = HeaderValue::from_static("application/x-www-form-urlencoded");
    Asking {
        method: Method::POST,
        headers: vec![(header::CONTENT_TYPE, form)],
        body: Bytes::from(body),
    }
}

/// What all of them answer. Numbers come as numbers or as texts.
#[derive(Deserialize)]
struct Answer {
    access_token: String,
    expires_in: Option<Number>,
    /// Seconds since 1970.
    expires_on: Option<Number>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Number(u64),
    Text(String),
}

impl Number {
    fn seconds(&self) -> Option<Duration> {
        match self {
            Number::Number(number) => Some(*number),
            Number::Text(text) => text.parse().ok(),
        }
        .map(Duration::from_secs)
    }
}

/// `now` is the time since 1970.
fn read(answer: &[u8], now: Duration) -> Result<Fetched, Failed> {
    let answer: Answer = serde_json::from_slice(answer).map_err(|_| Failed::Answer)?;
    let token = Secret::new(answer.access_token);
    let text = token.expose();
    if text.is_empty() || text.len() > TOKEN_MAX || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Failed::Answer);
    }
    let left = answer.expires_in.and_then(|number| number.seconds());
    let left = left.or_else(|| {
        let end = answer.expires_on?.seconds()?;
        Some(end.saturating_sub(now))
    });
    let lasts = left.ok_or(Failed::Answer)?.min(LASTS_MAX);
    if lasts.is_zero() {
        return Err(Failed::Ended);
    }
    let header = bearer(&token).ok_or(Failed::Answer)?;
    Ok(Fetched { header, lasts })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_800_000_000);

    fn lasts(answer: &str) -> Option<u64> {
        let fetched = read(answer.as_bytes(), NOW).ok()?;
        assert_eq!(fetched.header, "Bearer t.t.t");
        assert!(fetched.header.is_sensitive());
        Some(fetched.lasts.as_secs())
    }

    #[test]
    fn b20_reads_what_each_platform_answers() {
        let imds = r#"{"access_token":"t.t.t","client_id":"c","expires_in":"86399",
            "expires_on":"1800086399","not_before":"1800000000","resource":"r",
            "token_type":"Bearer","refresh_token":""}"#;
        assert_eq!(lasts(imds), Some(86_399));
        let app_service = r#"{"access_token":"t.t.t","expires_on":"1800003600",
            "resource":"r","token_type":"Bearer","client_id":"C"}"#;
        assert_eq!(lasts(app_service), Some(3_600));
        let entra = r#"{"token_type":"Bearer","expires_in":3599,"ext_expires_in":3599,
            "access_token":"t.t.t"}"#;
        assert_eq!(lasts(entra), Some(3_599));
        let for_ever = r#"{"access_token":"t.t.t","expires_in":99999999999}"#;
        assert_eq!(lasts(for_ever), Some(LASTS_MAX.as_secs()));
    }

    /// What stands in a form is escaped: a secret may hold anything.
    #[test]
    fn c09_a_secret_goes_in_a_form_of_its_own() {
        let client = Label::new("app").unwrap();
        let asking = form(&client, "https://a/.default", &[("client_secret", "a&b=~")]);
        let expected = "grant_type=client_credentials&client_id=app&scope=https%3A%2F%2Fa%2F.default\
                        &client_secret=a%26b%3D%7E";
        assert_eq!(asking.body, expected.as_bytes());
        assert_eq!(asking.method, Method::POST);
    }

    #[test]
    fn what_is_no_good_token_is_none() {
        let long = format!(
            r#"{{"access_token":"{}","expires_in":60}}"#,
            "t".repeat(TOKEN_MAX + 1)
        );
        for answer in [
            "",
            "[]",
            "{}",
            r#"{"access_token":"t.t.t"}"#,
            r#"{"access_token":"","expires_in":60}"#,
            r#"{"access_token":"t t","expires_in":60}"#,
            r#"{"access_token":"t
x: y","expires_in":60}"#,
            r#"{"access_token":"t","expires_in":0}"#,
            r#"{"access_token":"t","expires_in":"soon"}"#,
            r#"{"access_token":"t","expires_in":-1}"#,
            r#"{"access_token":"t","expires_on":"1799999999"}"#,
            &long,
        ] {
            assert!(read(answer.as_bytes(), NOW).is_err(), "{answer}");
        }
    }
}
