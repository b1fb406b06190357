//! Tokens that a simulated issuer makes to order.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};
use clap::Args;
use serde_json::{Value, json};

use crate::sim::issuer::client::{self, Error};
use crate::sim::issuer::document::is_guid;
use crate::sim::issuer::mint::Mint;

/// How long a token lives if nothing else is said.
const LIFE: Duration = Duration::from_secs(600);

#[derive(Args)]
pub(super) struct Flags {
    /// Address of the issuer, the base that `tonegate sim issuer` prints
    #[arg(
        long,
        value_name = "URL",
        required_unless_present = "call",
        conflicts_with = "call"
    )]
    issuer: Option<String>,
    /// Roots that the issuer's certificate is verified against, PEM; needed with https
    #[arg(long, value_name = "FILE", conflicts_with = "call")]
    roots: Option<PathBuf>,
    /// Tenant of the caller
    #[arg(
        long,
        value_name = "GUID",
        value_parser = guid,
        required_unless_present = "call",
        conflicts_with = "call"
    )]
    tenant: Option<String>,
    /// Whom the token is for
    #[arg(
        long,
        value_name = "AUDIENCE",
        required_unless_present = "call",
        conflicts_with = "call"
    )]
    audience: Option<String>,
    /// Version of Entra's tokens, 1 or 2 (as if not said)
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=2), conflicts_with = "call")]
    version: Option<u8>,
    /// What the user allowed the application, separated by blanks; user_impersonation if neither
    /// scope nor role is given
    #[arg(long, value_name = "SCOPE", conflicts_with = "call")]
    scope: Option<String>,
    /// Role of the user or of the application; may be given several times
    #[arg(long, value_name = "ROLE", conflicts_with = "call")]
    role: Vec<String>,
    /// Object of the caller: oid and sub
    #[arg(long, value_name = "OID", value_parser = guid, conflicts_with = "call")]
    subject: Option<String>,
    /// Application that asks: azp, or appid in version 1
    #[arg(long, value_name = "AZP", value_parser = guid, conflicts_with = "call")]
    client: Option<String>,
    /// Claim as a JSON value, over all others; null leaves it out; may be given several times
    #[arg(long, value_name = "NAME=JSON", value_parser = claim, conflicts_with = "call")]
    claim: Vec<(String, Value)>,
}

impl Flags {
    /// Orders a token and waits for it.
    pub(super) fn mint(&self, expires: Option<Duration>) -> anyhow::Result<String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(self.ask(expires))
    }

    async fn ask(&self, expires: Option<Duration>) -> anyhow::Result<String> {
        let issuer = self.issuer.as_deref().context("--issuer is missing")?;
        let roots = match &self.roots {
            Some(path) => Some(
                std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read {}", path.display()))?,
            ),
            None => None,
        };
        ensure!(
            roots.is_some() || !issuer.starts_with("https:"),
            "an issuer with https needs --roots"
        );
        let order = self.order(issuer, expires)?;
        match client::mint(issuer, &order, roots.as_deref()).await {
            Ok(token) => Ok(token),
            Err(Error::Refused { status, sentence }) => {
                bail!("the issuer refused with HTTP status {status}: {sentence:?}")
            }
            Err(error) => Err(anyhow!("no token from the issuer: {error}")),
        }
    }

    /// Good claims, changed as the flags say. Times are the issuer's, by its own clock.
    fn order(&self, issuer: &str, expires: Option<Duration>) -> anyhow::Result<Value> {
        let base = issuer.trim_end_matches('/');
        let tenant = self.tenant.as_deref().context("--tenant is missing")?;
        let audience = self.audience.as_deref().context("--audience is missing")?;
        let expires = expires.unwrap_or(LIFE);
        let (good, client) = match self.version {
            Some(1) => (Mint::entra_v1(tenant, audience), "appid"),
            Some(_) | None => (Mint::entra_v2(base, tenant, audience), "azp"),
        };
        let mut claims = good.without("iat").without("nbf").without("exp").claims;
        if let Some(subject) = &self.subject {
            claims["oid"] = json!(subject);
            claims["sub"] = json!(subject);
        }
        if let Some(application) = &self.client {
            claims[client] = json!(application);
        }
        if !self.role.is_empty() {
            claims["roles"] = json!(self.role);
            // An application has roles and nobody's permission.
            claims["scp"] = Value::Null;
        }
        if let Some(scope) = &self.scope {
            claims["scp"] = json!(scope);
        }
        for (name, value) in &self.claim {
            claims[name] = value.clone();
        }
        Ok(json!({ "claims": claims, "expires_in": expires.as_secs() }))
    }
}

fn guid(text: &str) -> Result<String, &'static str> {
    let guid = is_guid(text).then(|| text.to_owned());
    guid.ok_or("not a GUID, such as 11111111-2222-3333-4444-555555555555")
}

fn claim(text: &str) -> Result<(String, Value), &'static str> {
    let (name, value) = text.split_once('=').ok_or("not of the form NAME=JSON")?;
    if name.is_empty() {
        return Err("a claim has a name");
    }
    let value = serde_json::from_str(value).map_err(|_| "the value is not JSON (a text: \"…\")")?;
    Ok((name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use clap::Parser;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::sim::issuer::{Issuer, Options};

    use crate::cli::token::{MintFlags, Verb};

    #[derive(Parser)]
    struct Line {
        #[command(subcommand)]
        verb: Verb,
    }

    const TENANT: &str = "11111111-2222-3333-4444-555555555555";
    const OTHER: &str = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee";

    fn flags(more: &[&str]) -> Result<Box<MintFlags>, clap::Error> {
        let usual = ["--tenant", TENANT, "--audience", "api://x"];
        let line = ["token", "mint"].iter().chain(&usual).chain(more);
        let Verb::Mint(flags) = Line::try_parse_from(line)?.verb else {
            unreachable!("these lines all mint");
        };
        Ok(flags)
    }

    fn order(more: &[&str]) -> Value {
        let more = [&["--issuer", "http://localhost:1/"], more].concat();
        let flags = flags(&more).unwrap();
        flags
            .token
            .order("http://localhost:1/", flags.expires)
            .unwrap()
    }

    #[test]
    fn each_flag_is_a_claim() {
        let usual = order(&[]);
        assert_eq!(usual["expires_in"], 600);
        let claims = &usual["claims"];
        assert_eq!(claims["iss"], format!("http://localhost:1/{TENANT}/v2.0"));
        assert_eq!(
            (&claims["ver"], &claims["tid"]),
            (&json!("2.0"), &json!(TENANT))
        );
        assert_eq!(claims["scp"], "user_impersonation");
        assert!(claims.get("exp").is_none());
        let all = order(&[
            "--version",
            "1",
            "--role",
            "a",
            "--role",
            "b",
            "--subject",
            OTHER,
            "--client",
            OTHER,
            "--expires",
            "90s",
            "--claim",
            "n=[1]",
            "--claim",
            "ver=null",
        ]);
        assert_eq!(all["expires_in"], 90);
        let claims = &all["claims"];
        assert_eq!(claims["iss"], format!("https://sts.windows.net/{TENANT}/"));
        assert_eq!(claims["roles"], json!(["a", "b"]));
        assert_eq!(
            (&claims["oid"], &claims["sub"]),
            (&json!(OTHER), &json!(OTHER))
        );
        assert_eq!((&claims["appid"], claims.get("azp")), (&json!(OTHER), None));
        assert_eq!(claims["n"], json!([1]));
        assert_eq!(
            (&claims["scp"], &claims["ver"]),
            (&Value::Null, &Value::Null)
        );
        let both = order(&["--role", "a", "--scope", "s t"]);
        assert_eq!(both["claims"]["scp"], "s t");
    }

    #[test]
    fn what_is_wrong_on_the_line_is_told() {
        let wrong = [
            ["--subject", "x", "GUID"],
            ["--client", "x", "GUID"],
            ["--version", "3", "1..=2"],
            ["--expires", "x", "number"],
            ["--claim", "x", "NAME=JSON"],
            ["--claim", "=1", "name"],
            ["--claim", "x=y", "JSON"],
        ];
        assert_eq!(wrong.len(), 7);
        for [flag, value, words] in wrong {
            let refused = flags(&["--issuer", "http://localhost:1", flag, value]);
            let text = refused.err().unwrap().to_string();
            assert!(text.contains(words), "{text}");
        }
        assert!(flags(&[]).is_err());
    }

    #[tokio::test]
    async fn the_token_is_the_issuers() {
        let issuer = Issuer::bind(Options::loopback()).await.unwrap();
        let (provider, stop) = (issuer.provider(), CancellationToken::new());
        let serving = tokio::spawn(issuer.serve(stop.clone()));
        let base = format!("{}/", provider.base());
        let asked = flags(&["--issuer", &base, "--claim", "nbf=null"]).unwrap();
        let token = asked.token.ask(asked.expires).await.unwrap();
        let parts: Vec<&str> = token.split('.').collect();
        let part = |at: usize| -> Value {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[at]).unwrap()).unwrap()
        };
        assert_eq!(part(0)["kid"], provider.kid());
        let claims = part(1);
        assert_eq!(claims["iss"], format!("{}/{TENANT}/v2.0", provider.base()));
        let life = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
        assert_eq!((life, claims.get("nbf")), (600, None));
        let long = flags(&["--issuer", &base, "--expires", "2years"]).unwrap();
        let error = format!("{:#}", long.token.ask(long.expires).await.unwrap_err());
        assert!(
            error.contains("400") && error.contains("expires_in"),
            "{error}"
        );
        stop.cancel();
        serving.await.unwrap();
        let error = format!("{:#}", asked.token.ask(None).await.unwrap_err());
        assert!(error.contains("no token from the issuer"), "{error}");
        let secure = flags(&["--issuer", "https://localhost:1"]).unwrap();
        let error = secure.token.ask(None).await.unwrap_err().to_string();
        assert!(error.contains("--roots"), "{error}");
    }
}
