//! The identity services of Azure's platforms: the metadata service of virtual machines, the
//! endpoint of App Service, and Entra's token endpoint for service accounts and managed identities that
//! an application trusts.
//!
//! Strict about what a caller must send, as the real ones are or say they are; azure-identity is
//! served by it (`tests/sdk/identity.py`). Owns the tokens it gave and what it was asked. Tokens are
//! opaque unless there is somebody who signs them: then whoever shows one is recognised by its text,
//! else by the signature.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header, request};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::accept::accept;
use super::certificate::Identity;
use super::issuer::mint::Mint;
use super::issuer::provider::Provider;
use super::stream;

const CONNECTIONS_OPEN_MAX: usize = 64;
/// The largest form: an assertion of some KiB.
const FORM_MAX: usize = 64 * 1024;

/// What the platform knows.
#[derive(Clone)]
pub struct Options {
    /// Where to listen; port 0 picks a free one.
    pub listen: SocketAddr,
    /// TLS with this identity, as Entra has it, or plain TCP, as the services on a machine have it.
    pub identity: Option<Identity>,
    /// What tokens may be asked for: a resource, without `/.default`.
    pub resource: String,
    /// The secret that App Service puts into `IDENTITY_HEADER`.
    pub header: String,
    pub tenant: String,
    pub client_id: String,
    /// The service account's token that Entra trusts.
    pub assertion: String,
    /// Whose tokens the application trusts instead: an assertion must be one that this platform gave.
    pub trusts: Option<Arc<Desk>>,
    /// For how long tokens are good.
    pub lasts: Duration,
    /// It gives the same token again, as platforms do that keep theirs.
    pub repeats: bool,
    /// What an application of the same id may show the token endpoint instead of an assertion.
    pub secret: Option<String>,
    /// Who signs the tokens: access tokens of Entra's for the application, with `roles`.
    pub signer: Option<Arc<Provider>>,
    pub roles: Vec<String>,
}

impl Options {
    /// A plain platform on a free loopback port.
    #[must_use]
    pub fn loopback() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            identity: None,
            resource: "https://ai.azure.com".to_owned(),
            header: "identity-header-of-the-platform".to_owned(),
            tenant: "11111111-2222-3333-4444-555555555555".to_owned(),
            client_id: "99999999-8888-7777-6666-555555555555".to_owned(),
            assertion: "service.account.token".to_owned(),
            trusts: None,
            lasts: Duration::from_secs(86_400),
            repeats: false,
            secret: None,
            signer: None,
            roles: Vec::new(),
        }
    }
}

/// What it was asked and gave.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Which service each token came from: `imds`, `app-service`, `workload`, `federated`, `secret`.
    pub given: Vec<&'static str>,
    /// Why others were refused.
    pub refused: Vec<&'static str>,
    /// So many more requests are answered 500.
    failing: u32,
}

/// A bound platform, not yet accepting.
pub struct Platform {
    listener: TcpListener,
    address: SocketAddr,
    desk: Arc<Desk>,
}

/// What all connections share.
pub struct Desk {
    options: Options,
    acceptor: Option<TlsAcceptor>,
    asked: Mutex<Asked>,
    port: u16,
}

impl Platform {
    /// Binds the socket; nothing is accepted until [`Self::serve`].
    pub async fn bind(options: Options) -> io::Result<Self> {
        let acceptor = match &options.identity {
            Some(identity) => Some(stream::acceptor(identity).map_err(io::Error::other)?),
            None => None,
        };
        let listener = TcpListener::bind(options.listen).await?;
        let address = listener.local_addr()?;
        Ok(Self {
            listener,
            address,
            desk: Arc::new(Desk {
                options,
                acceptor,
                asked: Mutex::default(),
                port: address.port(),
            }),
        })
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    #[must_use]
    pub fn desk(&self) -> Arc<Desk> {
        Arc::clone(&self.desk)
    }

    /// Accepts until `shutdown`.
    pub async fn serve(self, shutdown: CancellationToken) {
        let desk = self.desk;
        accept(self.listener, CONNECTIONS_OPEN_MAX, shutdown, |tcp, _| {
            let desk = Arc::clone(&desk);
            async move {
                let Ok(stream) = stream::secure(tcp, desk.acceptor.as_ref()).await else {
                    return;
                };
                let service = service_fn(|request| {
                    let desk = Arc::clone(&desk);
                    async move { Ok::<_, Infallible>(desk.answer(request).await) }
                });
                // How a connection ends is its peer's business.
                let _ = http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            }
        })
        .await;
    }
}

/// What a sound request is answered with, or the status and the sentence of its refusal.
type Answer = Result<Value, (StatusCode, &'static str)>;

impl Desk {
    /// What was asked so far.
    pub fn asked(&self) -> Asked {
        self.state().clone()
    }

    /// The text of the token that was given as the `number`th, from 1.
    #[must_use]
    pub fn token(number: usize) -> String {
        format!("platform.token.{number}")
    }

    /// The token that was given last; tokens that are signed are not known by their text.
    fn last(&self) -> String {
        Self::token(self.state().given.len())
    }

    /// The next requests fail.
    pub fn fail(&self, count: u32) {
        self.state().failing = count;
    }

    fn state(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let answer = match Limited::new(body, FORM_MAX).collect().await {
            Ok(body) => self.judge(&head, &body.to_bytes()),
            Err(_) => Err((StatusCode::PAYLOAD_TOO_LARGE, "the form is too long")),
        };
        let (status, body) = match answer {
            Ok(body) => (StatusCode::OK, body),
            Err((status, sentence)) => {
                self.state().refused.push(sentence);
                let error = json!({ "error": "invalid_request", "error_description": sentence });
                (status, error)
            }
        };
        let mut response = Response::new(Full::from(body.to_string()));
        *response.status_mut() = status;
        let json = header::HeaderValue::from_static("application/json; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response
    }

    fn judge(&self, head: &request::Parts, body: &[u8]) -> Answer {
        {
            let mut state = self.state();
            if state.failing > 0 {
                state.failing -= 1;
                return Err((StatusCode::INTERNAL_SERVER_ERROR, "told to fail"));
            }
        }
        let tenant = &self.options.tenant;
        let path = head.uri.path();
        match path {
            "/metadata/identity/oauth2/token" => self.imds(head),
            "/msi/token" => self.app_service(head),
            _ if path == format!("/{tenant}/oauth2/v2.0/token") => self.token_endpoint(head, body),
            // Microsoft's libraries look here before they ask.
            _ if path == format!("/{tenant}/v2.0/.well-known/openid-configuration") => {
                let base = format!("https://localhost:{}/{tenant}", self.port);
                Ok(json!({
                    "issuer": format!("{base}/v2.0"),
                    "authorization_endpoint": format!("{base}/oauth2/v2.0/authorize"),
                    "token_endpoint": format!("{base}/oauth2/v2.0/token"),
                }))
            }
            _ => Err((StatusCode::NOT_FOUND, "nothing is here")),
        }
    }

    fn imds(&self, head: &request::Parts) -> Answer {
        if one(head, "metadata") != Some("true") {
            return Err((StatusCode::BAD_REQUEST, "Metadata: true is needed"));
        }
        if head.headers.contains_key("x-forwarded-for") {
            return Err((StatusCode::BAD_REQUEST, "proxies are refused"));
        }
        self.get(head, "2018-02-01")?;
        let (now, lasts) = (now(), self.options.lasts.as_secs());
        Ok(json!({
            "access_token": self.give("imds"),
            "client_id": self.options.client_id,
            "expires_in": lasts.to_string(),
            "expires_on": (now + lasts).to_string(),
            "ext_expires_in": lasts.to_string(),
            "not_before": now.to_string(),
            "resource": self.options.resource,
            "token_type": "Bearer",
            "refresh_token": "",
        }))
    }

    fn app_service(&self, head: &request::Parts) -> Answer {
        if one(head, "x-identity-header") != Some(&self.options.header) {
            return Err((StatusCode::UNAUTHORIZED, "X-IDENTITY-HEADER is wrong"));
        }
        self.get(head, "2019-08-01")?;
        Ok(json!({
            "access_token": self.give("app-service"),
            "client_id": self.options.client_id,
            "expires_on": (now() + self.options.lasts.as_secs()).to_string(),
            "not_before": now().to_string(),
            "resource": self.options.resource,
            "token_type": "Bearer",
        }))
    }

    /// What both services on a machine want.
    fn get(&self, head: &request::Parts, version: &str) -> Result<(), (StatusCode, &'static str)> {
        let query = head.uri.query().unwrap_or("");
        let pairs = form_urlencoded::parse(query.as_bytes()).into_owned();
        let pairs: Vec<(String, String)> = pairs.collect();
        let value = |name: &str| {
            let mut values = pairs.iter().filter(|(other, _)| other == name);
            let (_, value) = values.next()?;
            values.next().is_none().then_some(value.as_str())
        };
        let bad = |sentence| Err((StatusCode::BAD_REQUEST, sentence));
        if head.method != Method::GET {
            return Err((StatusCode::METHOD_NOT_ALLOWED, "only GET is allowed here"));
        }
        if value("api-version") != Some(version) {
            return bad("api-version is missing or wrong");
        }
        if value("resource") != Some(&self.options.resource) {
            return bad("resource is missing, unknown, or a scope");
        }
        let mut ids = pairs.iter().filter(|(name, _)| name == "client_id");
        if ids.any(|(_, id)| *id != self.options.client_id) {
            return bad("there is no such identity");
        }
        Ok(())
    }

    fn token_endpoint(&self, head: &request::Parts, body: &[u8]) -> Answer {
        let form: Vec<(String, String)> = form_urlencoded::parse(body).into_owned().collect();
        let scope = format!("{}/.default", self.options.resource);
        let mut wanted = vec![
            ("grant_type", "client_credentials"),
            ("client_id", self.options.client_id.as_str()),
            ("scope", scope.as_str()),
        ];
        let last;
        let secret = self.options.secret.as_deref();
        let service = match secret.filter(|_| form.iter().any(|(name, _)| name == "client_secret"))
        {
            Some(secret) => {
                wanted.push(("client_secret", secret));
                "secret"
            }
            None => {
                let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
                wanted.push(("client_assertion_type", kind));
                match &self.options.trusts {
                    Some(own) => {
                        last = own.last();
                        wanted.push(("client_assertion", &last));
                        "federated"
                    }
                    None => {
                        wanted.push(("client_assertion", &self.options.assertion));
                        "workload"
                    }
                }
            }
        };
        if head.method != Method::POST {
            return Err((StatusCode::METHOD_NOT_ALLOWED, "only POST is allowed here"));
        }
        let kind = one(head, "content-type").unwrap_or_default();
        if !kind.starts_with("application/x-www-form-urlencoded") {
            return Err((StatusCode::BAD_REQUEST, "a form is needed"));
        }
        for (name, value) in wanted {
            let given: Vec<_> = form.iter().filter(|(other, _)| other == name).collect();
            if given.len() != 1 || given[0].1 != value {
                return Err((StatusCode::BAD_REQUEST, "a field of the form is wrong"));
            }
        }
        let lasts = self.options.lasts.as_secs();
        Ok(json!({
            "token_type": "Bearer",
            "expires_in": lasts,
            "ext_expires_in": lasts,
            "access_token": self.give(service),
        }))
    }

    fn give(&self, service: &'static str) -> String {
        let number = {
            let mut state = self.state();
            state.given.push(service);
            match self.options.repeats {
                true => 1,
                false => state.given.len(),
            }
        };
        let Some(signer) = &self.options.signer else {
            return Self::token(number);
        };
        let mint = Mint::entra_v1(&self.options.tenant, &self.options.resource)
            .without("scp")
            .with("appid", self.options.client_id.as_str())
            .with("idtyp", "app")
            .with("roles", self.options.roles.clone())
            // No two tokens of Entra's are one text.
            .with("uti", number);
        signer.mint(&mint)
    }
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}

/// The value of a header that stands once.
fn one<'a>(head: &'a request::Parts, name: &str) -> Option<&'a str> {
    let mut values = head.headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}
