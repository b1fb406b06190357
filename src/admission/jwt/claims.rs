//! What a token says, and whether it is what its issuer's tokens must say.
//!
//! Types are strict, comparisons are to the letter, and a claim that stands twice is an error: a
//! near-match of a name or an address is somebody else's.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::forbidden;
use crate::admission::Denied;
use crate::config::{Connector, Issuer, IssuerKind, VOICE_LIVE_AUDIENCES};
use crate::ids::EntraId;

/// What lets Event Grid deliver ("Secure WebHook delivery with Microsoft Entra ID", Microsoft).
const EVENT_GRID_ROLE: &str = "AzureEventGridSecureWebhookSubscriber";
/// Longest subject or tenant that is taken into logs and tables.
const NAME_MAX: usize = 255;

/// The claims that mean something here. What only some issuers write is judged with the issuer:
/// others may mean something else by the same name.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    iss: String,
    aud: Audience,
    #[serde(deserialize_with = "seconds")]
    exp: u64,
    #[serde(default, deserialize_with = "some_seconds")]
    nbf: Option<u64>,
    /// When it was issued, and its name, where a route asks for them.
    iat: Option<Value>,
    jti: Option<Value>,
    sub: Option<String>,
    /// Entra: tenant, object, version of the token.
    tid: Option<Value>,
    oid: Option<Value>,
    ver: Option<Value>,
    /// The application: Entra 2.0, Entra 1.0, RFC 9068.
    azp: Option<Value>,
    appid: Option<Value>,
    client_id: Option<Value>,
    /// What a user allowed the application (Entra, RFC 9068), and what it may by itself.
    scp: Option<Value>,
    scope: Option<Value>,
    roles: Option<Value>,
    /// Whether an application speaks for itself; not all tokens say it.
    idtyp: Option<Value>,
    /// The Bot Connector: where the activity comes from and its answer goes. Tokens write the first
    /// one, the documentation the second.
    serviceurl: Option<Value>,
    #[serde(rename = "serviceUrl")]
    service_url: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Claims {
    pub(super) fn issuer(&self) -> &str {
        &self.iss
    }

    pub(super) fn expires(&self) -> u64 {
        self.exp
    }

    /// When it was issued, if it says so as RFC 7519 writes dates.
    pub(super) fn issued(&self) -> Option<u64> {
        seconds(self.iat.as_ref()?).ok()
    }

    /// Its name among all tokens of its issuer, if it has one.
    pub(super) fn name(&self) -> Option<&str> {
        text(&self.jti).filter(|name| (1..=NAME_MAX).contains(&name.len()))
    }

    /// Entra's tenant; other issuers have none.
    pub(super) fn tenant(&self, kind: &IssuerKind) -> Option<&str> {
        match kind {
            IssuerKind::Entra { .. }
            | IssuerKind::EventGrid { .. }
            | IssuerKind::BotTenant { .. } => text(&self.tid),
            IssuerKind::Oidc { .. } | IssuerKind::Acs { .. } | IssuerKind::Bot { .. } => None,
        }
    }

    /// Entra's `sub` differs from application to application, its `oid` does not. ACS and the Bot
    /// Connector name nobody but themselves: whose call it is the call's own secret says, and who
    /// writes to a bot the activity.
    pub(super) fn subject(&self, kind: &IssuerKind) -> &str {
        let sub = self.sub.as_deref().unwrap_or_default();
        match kind {
            IssuerKind::Entra { .. }
            | IssuerKind::EventGrid { .. }
            | IssuerKind::BotTenant { .. } => match &self.oid {
                Some(oid) => oid.as_str().unwrap_or_default(),
                None => sub,
            },
            IssuerKind::Oidc { .. } => sub,
            IssuerKind::Acs { .. } | IssuerKind::Bot { .. } => &self.iss,
        }
    }

    /// Whether it names a person of Entra, and no application that speaks for itself: those have what
    /// they may in `roles` only.
    pub(super) fn is_persons(&self, kind: &IssuerKind) -> bool {
        let app = self.idtyp.as_ref().is_some_and(|word| word == "app");
        matches!(kind, IssuerKind::Entra { .. }) && self.scp.is_some() && !app
    }

    /// Which service sends it, as far as the token says; both spellings must say the same.
    pub(super) fn service_url(&self) -> Result<Option<&str>, Denied> {
        let odd = "the token's serviceurl is no text, or there in two spellings that differ";
        let said = match (&self.serviceurl, &self.service_url) {
            (Some(one), Some(other)) if one != other => {
                return Err(Denied::invalid_token(odd));
            }
            (Some(said), _) | (None, Some(said)) => said,
            (None, None) => return Ok(None),
        };
        let said = said.as_str().ok_or(Denied::invalid_token(odd));
        said.map(Some)
    }

    /// Whether the issuer that the token names is this one. Entra's keys are those of all tenants,
    /// so the tenant in `iss` must be the one in `tid`, and on the list.
    pub(super) fn are_of(&self, kind: &IssuerKind) -> bool {
        match kind {
            IssuerKind::Oidc { issuer }
            | IssuerKind::Acs { issuer }
            | IssuerKind::Bot { issuer, .. } => self.iss == *issuer,
            IssuerKind::Entra { authority, tenants }
            | IssuerKind::EventGrid { authority, tenants } => {
                self.are_entras(authority, tenants.iter().map(String::as_str))
            }
            IssuerKind::BotTenant {
                authority,
                connector,
            } => self.are_entras(authority, connector.tenants.iter().map(EntraId::as_str)),
        }
    }

    fn are_entras<'a>(&self, authority: &str, mut tenants: impl Iterator<Item = &'a str>) -> bool {
        let listed = |tid: &&str| tenants.any(|tenant| tenant == *tid);
        let Some(tid) = text(&self.tid).filter(listed) else {
            return false;
        };
        let sts = if authority.ends_with(".microsoftonline.cn") {
            "https://sts.chinacloudapi.cn"
        } else {
            "https://sts.windows.net"
        };
        match text(&self.ver) {
            Some("1.0") => self.iss == format!("{sts}/{tid}/"),
            Some("2.0") => self.iss == format!("{authority}/{tid}/v2.0"),
            _ => false,
        }
    }

    /// Whether one of the audiences is one of `ours`.
    pub(super) fn is_for<T: AsRef<str>>(&self, ours: &[T]) -> bool {
        let is_ours = |audience: &String| ours.iter().any(|our| our.as_ref() == audience);
        match &self.aud {
            Audience::One(audience) => is_ours(audience),
            Audience::Several(audiences) => audiences.iter().any(is_ours),
        }
    }

    /// Whom the token is for, since when and until when, and about whom it is. `now` in seconds
    /// since 1970.
    pub(super) fn judge(&self, settings: &Issuer, now: u64) -> Result<(), Denied> {
        let leeway = settings.leeway.as_secs();
        if let IssuerKind::Bot { connector, .. } | IssuerKind::BotTenant { connector, .. } =
            &settings.kind
        {
            self.judge_of_bot(&settings.kind, connector)?;
        }
        if !self.is_for(&settings.audience) {
            return Err(Denied::invalid_token("the token is for somebody else"));
        }
        if self.exp.saturating_add(leeway) <= now {
            return Err(Denied::invalid_token("the token has expired"));
        }
        if self.nbf.is_some_and(|nbf| nbf > now.saturating_add(leeway)) {
            return Err(Denied::invalid_token("the token is not valid yet"));
        }
        let subject = self.subject(&settings.kind);
        if subject.is_empty() || subject.len() > NAME_MAX {
            return Err(Denied::invalid_token("the token does not say whose it is"));
        }
        Ok(())
    }

    /// What tokens for a bot must say beside: that they are for it alone, and from which service.
    fn judge_of_bot(&self, kind: &IssuerKind, connector: &Connector) -> Result<(), Denied> {
        if matches!(self.aud, Audience::Several(_)) {
            let detail = "the token is for several, and a bot's are for it alone";
            return Err(Denied::invalid_token(detail));
        }
        let own = matches!(kind, IssuerKind::Bot { .. });
        if self.service_url()?.is_none() && (own || connector.require_service_url) {
            let detail = "the token does not say which service sends it";
            return Err(Denied::invalid_token(detail));
        }
        Ok(())
    }

    /// Whether a good token allows this: a scope or a role that is asked for, and an application
    /// that may ask.
    ///
    /// Where none is asked for, a token of Entra must have some all the same: any application of a
    /// tenant gets a bare one for any audience. What is for Voice Live is judged by its roles in
    /// Azure, which no token shows.
    pub(super) fn authorise(&self, settings: &Issuer) -> Result<(), Denied> {
        let (scopes, roles) = match &self.scp {
            Some(_) => (words(&self.scp), words(&self.roles)),
            None => (words(&self.scope), words(&self.roles)),
        };
        let has = |have: &[&str], wanted: &[String]| {
            have.iter()
                .any(|have| wanted.iter().any(|wanted| wanted == have))
        };
        let bare = scopes.is_empty() && roles.is_empty();
        // Whether Event Grid's tokens always carry the role is not documented; one that carries
        // others and not this was given for something else.
        let event_grid = matches!(settings.kind, IssuerKind::EventGrid { .. });
        let enough = if event_grid && settings.roles.is_empty() && settings.scopes.is_empty() {
            roles.is_empty() || roles.contains(&EVENT_GRID_ROLE)
        } else if settings.scopes.is_empty() && settings.roles.is_empty() {
            let entra = matches!(settings.kind, IssuerKind::Entra { .. });
            !(entra && bare) || self.is_for(&VOICE_LIVE_AUDIENCES)
        } else {
            has(&scopes, &settings.scopes) || has(&roles, &settings.roles)
        };
        if !enough {
            return Err(forbidden(
                "the token has no scope or role that is needed here",
            ));
        }
        let client = [&self.azp, &self.appid, &self.client_id];
        let client = client.into_iter().find(|client| client.is_some());
        let known = client
            .and_then(text)
            .is_some_and(|client| settings.clients.iter().any(|known| known == client));
        if !(settings.clients.is_empty() || known) {
            return Err(forbidden(
                "the token was given to an application that may not enter",
            ));
        }
        Ok(())
    }
}

fn text(value: &Option<Value>) -> Option<&str> {
    value.as_ref().and_then(Value::as_str)
}

/// Words of a text or of a list: issuers write either.
fn words(value: &Option<Value>) -> Vec<&str> {
    match value {
        Some(Value::String(text)) => text.split(' ').filter(|word| !word.is_empty()).collect(),
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// The end of the year 9999, for issuers that write "never" as a larger number.
const LAST: u64 = 253_402_300_799;

/// A NumericDate (RFC 7519, section 2): a number, possibly with a fraction, which is cut off.
pub(in crate::admission) fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let number = serde_json::Number::deserialize(from)?;
    let whole = number.as_u64();
    let fraction = || {
        let number = number.as_f64()?;
        // Beyond this a double is no whole number of seconds any more, nor a date.
        (0.0..9e15).contains(&number).then_some(number as u64)
    };
    whole
        .or_else(fraction)
        .map(|seconds| seconds.min(LAST))
        .ok_or(serde::de::Error::custom("not a date"))
}

pub(in crate::admission) fn some_seconds<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<u64>, D::Error> {
    seconds(from).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{KeySource, Roots, ServiceHosts};
    use crate::label::Label;
    use jsonwebtoken::Algorithm;
    use serde_json::json;
    use std::sync::Arc;
    use std::time::Duration;

    const TENANT: &str = "11111111-2222-3333-4444-555555555555";
    const NOW: u64 = 1_800_000_000;

    fn settings(kind: IssuerKind) -> Issuer {
        let url = "https://localhost/keys".to_owned();
        Issuer {
            name: Label::new("users").unwrap(),
            kind,
            audience: vec!["api://edge".to_owned()],
            algorithms: vec![Algorithm::RS256],
            keys: KeySource::Jwks(url),
            roots: Roots::System,
            scopes: Vec::new(),
            roles: Vec::new(),
            clients: Vec::new(),
            leeway: Duration::from_secs(60),
        }
    }

    fn entra() -> IssuerKind {
        IssuerKind::Entra {
            authority: "https://login.microsoftonline.com".to_owned(),
            tenants: vec![TENANT.to_owned()],
        }
    }

    fn good() -> Value {
        json!({
            "iss": format!("https://login.microsoftonline.com/{TENANT}/v2.0"),
            "aud": "api://edge", "exp": NOW + 10, "nbf": NOW - 10, "ver": "2.0",
            "tid": TENANT, "oid": "o-1", "sub": "s-1",
        })
    }

    fn with(name: &str, value: Value) -> Value {
        let mut claims = good();
        claims[name] = value;
        claims
    }

    fn without(name: &str) -> Value {
        let mut claims = good();
        claims.as_object_mut().unwrap().remove(name);
        claims
    }

    /// Whether claims are read, of the issuer, and in order.
    fn passes(claims: &Value, settings: &Issuer) -> bool {
        serde_json::from_str::<Claims>(&claims.to_string()).is_ok_and(|claims| {
            claims.are_of(&settings.kind) && claims.judge(settings, NOW).is_ok()
        })
    }

    #[test]
    fn s09_near_matches_wrong_types_and_missing_claims_do_not_pass() {
        let settings = settings(entra());
        assert!(passes(&good(), &settings));
        assert!(passes(&with("aud", json!(["x", "api://edge"])), &settings));
        assert!(passes(&with("exp", json!(NOW as f64 + 0.5)), &settings));
        assert!(passes(&without("nbf"), &settings));
        let other = "99999999-2222-3333-4444-555555555555";
        let bad = [
            without("iss"),
            without("aud"),
            without("exp"),
            without("tid"),
            without("ver"),
            with(
                "iss",
                json!(format!("https://login.microsoftonline.com/{TENANT}/v2.0/")),
            ),
            with(
                "iss",
                json!(format!("HTTPS://login.microsoftonline.com/{TENANT}/v2.0")),
            ),
            with(
                "iss",
                json!(format!("https://login.microsoftonline.com/{other}/v2.0")),
            ),
            with("iss", json!(format!("https://sts.windows.net/{TENANT}/"))),
            with(
                "iss",
                json!([format!("https://login.microsoftonline.com/{TENANT}/v2.0")]),
            ),
            with("aud", json!("api://edge/")),
            with("aud", json!("API://edge")),
            with("aud", json!("api://edge2")),
            with("aud", json!([])),
            with("aud", json!([["api://edge"]])),
            with("aud", json!({"0": "api://edge"})),
            with("aud", json!(null)),
            with("exp", json!(NOW - 60)),
            with("exp", json!((NOW + 10).to_string())),
            with("exp", json!(-1)),
            with("exp", json!(1e300)),
            with("exp", json!([NOW + 10])),
            with("exp", json!(null)),
            with("nbf", json!(NOW + 61)),
            with("nbf", json!("0")),
            with("tid", json!(other)),
            with("tid", json!(TENANT.replace('-', ""))),
            with("ver", json!("1.0")),
            with("ver", json!(2.0)),
            with("oid", json!("")),
            with("oid", json!("o".repeat(256))),
            with("oid", json!(7)),
            json!([]),
        ];
        for claims in bad {
            assert!(!passes(&claims, &settings), "{claims}");
        }
        // A claim that stands twice.
        let twice = good().to_string().replacen('{', "{\"aud\":\"x\",", 1);
        assert!(serde_json::from_str::<Claims>(&twice).is_err());
    }

    #[test]
    fn an_oidc_provider_may_write_its_own_claims_as_it_likes() {
        let kind = IssuerKind::Oidc {
            issuer: "https://id.example".to_owned(),
        };
        let mut settings = settings(kind);
        settings.scopes = vec!["voice".to_owned()];
        let claims = |scopes: Value| {
            let text = json!({
                "iss": "https://id.example", "aud": "api://edge", "exp": i64::MAX, "sub": "s-1",
                "ver": 1, "oid": 7, "tid": ["x"], "scp": scopes,
            });
            serde_json::from_str::<Claims>(&text.to_string()).unwrap()
        };
        let good = claims(json!(["other", "voice"]));
        assert!(good.are_of(&settings.kind) && good.judge(&settings, NOW).is_ok());
        assert!(good.authorise(&settings).is_ok());
        assert_eq!(
            (good.subject(&settings.kind), good.tenant(&settings.kind)),
            ("s-1", None)
        );
        assert_eq!(good.expires(), LAST);
        assert!(claims(json!(["voices"])).authorise(&settings).is_err());
    }

    #[test]
    fn a07_a_token_of_acs_names_nobody_but_its_issuer() {
        const ACS: &str = "https://acscallautomation.communication.azure.com";
        let settings = settings(IssuerKind::Acs {
            issuer: ACS.to_owned(),
        });
        let good = json!({"iss": ACS, "aud": "api://edge", "exp": NOW + 10});
        let claims = |more: Value| {
            let mut all = good.clone();
            let more = more.as_object().unwrap().clone();
            all.as_object_mut().unwrap().extend(more);
            serde_json::from_str::<Claims>(&all.to_string()).unwrap()
        };
        // Somebody whom it named all the same would be nobody that is known here.
        for more in [
            json!({}),
            json!({"sub": "s-1", "oid": "o-1", "tid": TENANT}),
        ] {
            let claims = claims(more);
            assert!(claims.are_of(&settings.kind) && claims.judge(&settings, NOW).is_ok());
            assert!(claims.authorise(&settings).is_ok());
            assert_eq!(claims.subject(&settings.kind), ACS);
            assert_eq!(claims.tenant(&settings.kind), None);
        }
        for iss in [format!("{ACS}/"), ACS.to_uppercase(), String::new()] {
            assert!(
                !claims(json!({ "iss": iss })).are_of(&settings.kind),
                "{iss}"
            );
        }
        let late = claims(json!({"exp": NOW - 60}));
        assert!(late.judge(&settings, NOW).is_err());
        let other = claims(json!({"aud": "api://edge/"}));
        assert!(other.judge(&settings, NOW).is_err());
    }

    const APP: &str = "33333333-2222-3333-4444-555555555555";
    const CONNECTOR: &str = "https://api.botframework.com";
    const SERVICE: &str = "https://smba.trafficmanager.net/amer/";

    /// The connector's issuer, or Entra's for the same bot.
    fn bot(entra: bool, require_service_url: bool) -> Issuer {
        let connector = Arc::new(Connector {
            tenants: vec![EntraId::new(TENANT).unwrap()],
            require_endorsements: false,
            require_service_url,
            services: ServiceHosts::default(),
        });
        let kind = match entra {
            false => IssuerKind::Bot {
                issuer: CONNECTOR.to_owned(),
                connector,
            },
            true => IssuerKind::BotTenant {
                authority: "https://login.microsoftonline.com".to_owned(),
                connector,
            },
        };
        Issuer {
            audience: vec![APP.to_owned()],
            leeway: Duration::from_secs(300),
            clients: Vec::from_iter(entra.then(|| "sender".to_owned())),
            ..settings(kind)
        }
    }

    fn of_connector() -> Value {
        json!({
            "iss": CONNECTOR, "aud": APP, "nbf": NOW - 10, "exp": NOW + 10, "serviceurl": SERVICE,
        })
    }

    fn of_tenant() -> Value {
        json!({
            "iss": format!("https://sts.windows.net/{TENANT}/"), "ver": "1.0", "tid": TENANT,
            "oid": "o-1", "appid": "sender", "aud": APP, "exp": NOW + 10, "serviceurl": SERVICE,
        })
    }

    fn changed(mut claims: Value, name: &str, value: Value) -> Value {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value;
        }
        claims
    }

    fn enters(claims: &Value, settings: &Issuer) -> bool {
        let claims: Claims = serde_json::from_str(&claims.to_string()).unwrap();
        claims.are_of(&settings.kind)
            && claims.judge(settings, NOW).is_ok()
            && claims.authorise(settings).is_ok()
    }

    #[test]
    fn c02_a_token_of_the_connector_is_its_own_and_for_the_bot_alone() {
        let settings = bot(false, true);
        assert!(enters(&of_connector(), &settings));
        let claims: Claims = serde_json::from_value(of_connector()).unwrap();
        assert_eq!(claims.subject(&settings.kind), CONNECTOR);
        assert_eq!(claims.tenant(&settings.kind), None);
        for (name, value) in [
            ("iss", json!("https://api.botframework.com/")),
            ("iss", json!("https://api.botframework.us")),
            ("iss", json!("https://API.botframework.com")),
            ("iss", json!(format!("https://sts.windows.net/{TENANT}/"))),
            ("aud", json!("44444444-2222-3333-4444-555555555555")),
            ("aud", json!(format!("api://{APP}"))),
            ("aud", json!([APP])),
            ("aud", json!([APP, "other"])),
            ("aud", json!([])),
            ("serviceurl", json!(null)),
            ("serviceurl", json!(7)),
            ("serviceurl", json!([SERVICE])),
            ("serviceUrl", json!("https://smba.trafficmanager.net/emea/")),
            ("serviceUrl", json!("https://smba.trafficmanager.net/Amer/")),
            ("serviceUrl", json!({})),
        ] {
            let claims = changed(of_connector(), name, value);
            assert!(!enters(&claims, &settings), "{claims}");
        }
        // No tenant makes Entra's token the connector's, nor the other way round.
        assert!(!enters(&of_tenant(), &settings));
        assert!(!enters(&of_connector(), &bot(true, false)));
    }

    #[test]
    fn c02_five_minutes_between_clocks_and_no_more() {
        for (settings, good) in [
            (bot(false, true), of_connector()),
            (bot(true, true), of_tenant()),
        ] {
            for (name, value, enters_then) in [
                ("exp", NOW - 295, true),
                ("exp", NOW - 299, true),
                ("exp", NOW - 300, false),
                ("exp", NOW - 310, false),
                ("nbf", NOW + 295, true),
                ("nbf", NOW + 300, true),
                ("nbf", NOW + 301, false),
                ("nbf", NOW + 310, false),
            ] {
                let claims = changed(good.clone(), name, json!(value));
                assert_eq!(enters(&claims, &settings), enters_then, "{claims}");
            }
        }
    }

    #[test]
    fn c03_either_spelling_of_the_service_and_both_if_they_agree() {
        let settings = bot(false, true);
        let other = changed(of_connector(), "serviceurl", Value::Null);
        let other = changed(other, "serviceUrl", json!(SERVICE));
        let both = changed(of_connector(), "serviceUrl", json!(SERVICE));
        for claims in [of_connector(), other, both] {
            assert!(enters(&claims, &settings), "{claims}");
            let claims: Claims = serde_json::from_value(claims).unwrap();
            assert_eq!(claims.service_url(), Ok(Some(SERVICE)));
        }
        let text = of_connector().to_string();
        let twice = format!("{},\"serviceurl\":\"{SERVICE}\"}}", &text[..text.len() - 1]);
        assert!(serde_json::from_str::<Claims>(&twice).is_err());
    }

    #[test]
    fn c02_a_token_of_entra_is_of_a_tenant_of_the_bot_and_given_to_a_named_application() {
        let settings = bot(true, true);
        assert!(enters(&of_tenant(), &settings));
        let other = "99999999-2222-3333-4444-555555555555";
        for (name, value) in [
            ("tid", json!(other)),
            ("tid", json!(null)),
            ("iss", json!(format!("https://sts.windows.net/{other}/"))),
            ("iss", json!(format!("https://sts.windows.net/{TENANT}"))),
            ("iss", json!(CONNECTOR)),
            // Where emulators and skills have theirs.
            (
                "iss",
                json!("https://sts.windows.net/d6d49420-f39b-4df7-a1dc-d59a935871db/"),
            ),
            ("ver", json!("2.0")),
            ("ver", json!(null)),
            ("appid", json!("other")),
            ("appid", json!(null)),
            ("azp", json!("other")),
            ("aud", json!([APP])),
            ("serviceurl", json!(null)),
        ] {
            let claims = changed(of_tenant(), name, value);
            assert!(!enters(&claims, &settings), "{claims}");
        }
        // Entra's own say nothing of services, so the settings may do without.
        let bare = changed(of_tenant(), "serviceurl", Value::Null);
        assert!(enters(&bare, &bot(true, false)));
        let two = changed(of_tenant(), "serviceUrl", json!("https://evil.example/"));
        assert!(!enters(&two, &bot(true, false)));
        let connector = changed(of_connector(), "serviceurl", Value::Null);
        assert!(!enters(&connector, &bot(false, false)));
        let v2 = changed(of_tenant(), "ver", json!("2.0"));
        let issuer = format!("https://login.microsoftonline.com/{TENANT}/v2.0");
        let v2 = changed(v2, "iss", json!(issuer));
        assert!(enters(&v2, &settings));
    }

    #[test]
    fn a04_event_grid_is_its_application_and_its_role_where_there_are_roles() {
        let IssuerKind::Entra { authority, tenants } = entra() else {
            panic!("another kind");
        };
        let mut settings = settings(IssuerKind::EventGrid { authority, tenants });
        settings.clients = vec!["grid".to_owned()];
        let allows = |settings: &Issuer, more: Value| {
            let mut all = good();
            all.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            let claims: Claims = serde_json::from_value(all).unwrap();
            assert!(claims.are_of(&settings.kind) && claims.judge(settings, NOW).is_ok());
            claims.authorise(settings).is_ok()
        };
        let role = json!(["x", EVENT_GRID_ROLE]);
        assert!(allows(&settings, json!({"azp": "grid"})));
        assert!(allows(&settings, json!({"appid": "grid", "roles": role})));
        for more in [
            json!({}),
            json!({"azp": "other"}),
            json!({"azp": "other", "roles": role}),
            json!({"azp": "grid", "roles": ["x"]}),
            json!({"azp": "grid", "roles": "AzureEventGrid"}),
        ] {
            assert!(!allows(&settings, more.clone()), "{more}");
        }
        settings.roles = vec![EVENT_GRID_ROLE.to_owned()];
        assert!(!allows(&settings, json!({"azp": "grid"})));
        assert!(allows(&settings, json!({"azp": "grid", "roles": role})));
    }

    #[test]
    fn s09_both_versions_of_entra_and_the_edges_of_time() {
        let settings = settings(entra());
        let v1 = json!({
            "iss": format!("https://sts.windows.net/{TENANT}/"), "ver": "1.0",
            "aud": "api://edge", "exp": NOW + 10, "tid": TENANT, "sub": "s-1",
        });
        assert!(passes(&v1, &settings));
        assert!(passes(&with("exp", json!(NOW - 59)), &settings));
        assert!(passes(&with("nbf", json!(NOW + 60)), &settings));
        let mut none = settings.clone();
        none.leeway = Duration::ZERO;
        assert!(!passes(&with("exp", json!(NOW)), &none));
        assert!(passes(&with("exp", json!(NOW + 1)), &none));
    }

    #[test]
    fn a_scope_or_a_role_and_the_application_are_asked_for_where_the_settings_say() {
        let mut settings = settings(entra());
        let bare: Claims = serde_json::from_value(good()).unwrap();
        let some: Claims = serde_json::from_value(with("roles", json!(["x"]))).unwrap();
        assert!(bare.authorise(&settings).is_err() && some.authorise(&settings).is_ok());
        settings.scopes = vec!["voice".to_owned()];
        settings.roles = vec!["Caller".to_owned()];
        settings.clients = vec!["app-1".to_owned()];
        let allows = |claims: Value| {
            let claims: Claims = serde_json::from_value(claims).unwrap();
            claims.authorise(&settings).is_ok()
        };
        let app = |mut claims: Value| {
            claims["azp"] = json!("app-1");
            claims
        };
        assert!(allows(app(with("scp", json!("other voice")))));
        assert!(allows(app(with("roles", json!(["x", "Caller"])))));
        for claims in [
            app(good()),
            app(with("scp", json!("voice2 xvoice"))),
            app(with("scp", json!("Voice"))),
            app(with("scp", json!("Caller"))),
            app(with("roles", json!(["voice"]))),
            with("scp", json!("voice")),
        ] {
            assert!(!allows(claims.clone()), "{claims}");
        }
        let mut old = with("scp", json!("voice"));
        old["appid"] = json!("app-1");
        assert!(allows(old));
        let mut foreign = with("scp", json!("voice"));
        foreign["azp"] = json!("app-2");
        foreign["appid"] = json!("app-1");
        assert!(!allows(foreign));
    }
}
