//! `tonegate token`: tokens for tests, from a simulated issuer; and any token, verified.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, anyhow, bail, ensure};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::app;
use crate::secret::Secret;
use crate::sim::issuer::client::{self, Error};
use crate::sim::issuer::document::is_guid;
use crate::sim::issuer::mint::Mint;

#[derive(Subcommand)]
pub(super) enum Verb {
    /// Have a simulated issuer make a token, and print it
    Mint(MintFlags),
    /// Verify a token as the edge would, and tell what it says
    Check(CheckFlags),
}

#[derive(Args)]
pub(super) struct CheckFlags {
    #[command(flatten)]
    settings: super::Config,
    /// Issuer of the settings that it should be of
    #[arg(long, value_name = "NAME")]
    issuer: String,
    /// The token, or - to read it from standard input
    #[arg(value_name = "TOKEN")]
    token: String,
}

#[derive(Args)]
pub(super) struct MintFlags {
    /// Address of the issuer, the base that `tonegate sim issuer` prints
    #[arg(long, value_name = "URL")]
    issuer: String,
    /// Roots that the issuer's certificate is verified against, PEM; needed with https
    #[arg(long, value_name = "FILE")]
    roots: Option<PathBuf>,
    /// Tenant of the caller
    #[arg(long, value_name = "GUID", value_parser = guid)]
    tenant: String,
    /// Whom the token is for
    #[arg(long, value_name = "AUDIENCE")]
    audience: String,
    /// Version of Entra's tokens, 1 or 2
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=2))]
    version: u8,
    /// What the user allowed the application, separated by blanks; user_impersonation if neither
    /// scope nor role is given
    #[arg(long, value_name = "SCOPE")]
    scope: Option<String>,
    /// Role of the user or of the application; may be given several times
    #[arg(long, value_name = "ROLE")]
    role: Vec<String>,
    /// Object of the caller: oid and sub
    #[arg(long, value_name = "OID", value_parser = guid)]
    subject: Option<String>,
    /// Application that asks: azp, or appid in version 1
    #[arg(long, value_name = "AZP", value_parser = guid)]
    client: Option<String>,
    /// How long the token lives
    #[arg(long, default_value = "10m", value_parser = humantime::parse_duration)]
    expires: Duration,
    /// Claim as a JSON value, over all others; null leaves it out; may be given several times
    #[arg(long, value_name = "NAME=JSON", value_parser = claim)]
    claim: Vec<(String, Value)>,
}

pub(super) fn run(verb: &Verb) -> anyhow::Result<()> {
    match verb {
        Verb::Mint(flags) => run_mint(flags),
        Verb::Check(flags) => check(flags),
    }
}

fn check(flags: &CheckFlags) -> anyhow::Result<()> {
    let settings = flags.settings.read()?;
    let issuers = &settings.live.issuers;
    let Some(issuer) = issuers.iter().find(|i| i.name.as_str() == flags.issuer) else {
        let names: Vec<&str> = issuers.iter().map(|issuer| issuer.name.as_str()).collect();
        bail!(
            "there is no issuer {:?}; there are: {}",
            flags.issuer,
            names.join(", ")
        );
    };
    let mut token = flags.token.clone();
    if token == "-" {
        token = std::io::read_to_string(std::io::stdin())
            .context("cannot read the token from standard input")?;
    }
    let token = Secret::new(token.trim().to_owned());
    match app::examine(&settings, &issuer.name, &token)? {
        Ok(examined) => {
            println!("subject   {}", examined.subject);
            let left = examined.expires.duration_since(SystemTime::now());
            let left = Duration::from_secs(left.unwrap_or_default().as_secs());
            println!(
                "ends in   {} (leeway included)",
                humantime::format_duration(left)
            );
            let passed_on = if examined.for_voice_live {
                "may be shown to Voice Live"
            } else {
                "is not for Voice Live"
            };
            println!("upstream  {passed_on}");
            Ok(())
        }
        Err(denied) => bail!("{}: {}", denied.reason, denied.detail),
    }
}

fn run_mint(flags: &MintFlags) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    println!("{}", runtime.block_on(mint(flags))?);
    Ok(())
}

async fn mint(flags: &MintFlags) -> anyhow::Result<String> {
    let roots = match &flags.roots {
        Some(path) => Some(
            std::fs::read_to_string(path)
                .with_context(|| format!("cannot read {}", path.display()))?,
        ),
        None => None,
    };
    ensure!(
        roots.is_some() || !flags.issuer.starts_with("https:"),
        "an issuer with https needs --roots"
    );
    match client::mint(&flags.issuer, &flags.order(), roots.as_deref()).await {
        Ok(token) => Ok(token),
        Err(Error::Refused { status, sentence }) => {
            bail!("the issuer refused with HTTP status {status}: {sentence:?}")
        }
        Err(error) => Err(anyhow!(error).context("no token from the issuer")),
    }
}

impl MintFlags {
    /// Good claims, changed as the flags say. Times are the issuer's, by its own clock.
    fn order(&self) -> Value {
        let base = self.issuer.trim_end_matches('/');
        let (good, client) = match self.version {
            1 => (Mint::entra_v1(&self.tenant, &self.audience), "appid"),
            _ => (Mint::entra_v2(base, &self.tenant, &self.audience), "azp"),
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
        json!({ "claims": claims, "expires_in": self.expires.as_secs() })
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

    #[derive(Parser)]
    struct Line {
        #[command(subcommand)]
        verb: Verb,
    }

    const TENANT: &str = "11111111-2222-3333-4444-555555555555";
    const OTHER: &str = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee";

    fn flags(more: &[&str]) -> Result<MintFlags, clap::Error> {
        let usual = ["--tenant", TENANT, "--audience", "api://x"];
        let line = ["token", "mint"].iter().chain(&usual).chain(more);
        let Verb::Mint(flags) = Line::try_parse_from(line)?.verb else {
            unreachable!("these lines all mint");
        };
        Ok(flags)
    }

    fn order(more: &[&str]) -> Value {
        let more = [&["--issuer", "http://localhost:1/"], more].concat();
        flags(&more).unwrap().order()
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
        let token = mint(&asked).await.unwrap();
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
        let error = format!("{:#}", mint(&long).await.unwrap_err());
        assert!(
            error.contains("400") && error.contains("expires_in"),
            "{error}"
        );
        stop.cancel();
        serving.await.unwrap();
        let error = format!("{:#}", mint(&asked).await.unwrap_err());
        assert!(error.contains("no token from the issuer"), "{error}");
        let secure = flags(&["--issuer", "https://localhost:1"]).unwrap();
        let error = mint(&secure).await.unwrap_err().to_string();
        assert!(error.contains("--roots"), "{error}");
    }
}
