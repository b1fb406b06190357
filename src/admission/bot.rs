//! Whom the Bot Connector speaks for: what its token proves, held against the activity that came
//! with it (PROTOCOLS 7.1, 7.2).
//!
//! Nobody signs an activity. It may be believed as far as the token proves that the connector sent
//! it, for this bot, from the service that the activity itself names, over a channel that the signing
//! key is endorsed for. Then its tenant is the tenant, and its `aadObjectId` is the person.
//!
//! The token is judged with the head of the request, before any body is read; [`Grant::bind`] does
//! the rest when the body is there.
//!
//! Not here: reading bodies (`wire::activity`), answering, what becomes of the activity.

use std::fmt;
use std::sync::Arc;

use super::jwks::Key;
use super::{Denied, Grant};
use crate::config::{Connector, Developer, ServiceOrigin};
use crate::error::Reason;
use crate::ids::EntraId;
use crate::wire::activity::{Activity, Kind};

/// What a good token proves of the activity that comes with it.
#[derive(Debug)]
pub(super) struct Vouched {
    rules: Arc<Connector>,
    /// What the token says; `None`: it is Entra's, and need not say it.
    service_url: Option<String>,
    /// Of the very key that signed it.
    endorsements: Option<Arc<[String]>>,
    /// Entra's tenant, where Entra signed it.
    tenant: Option<EntraId>,
    /// There is no token: a developer's machine says what it likes of itself.
    developer: Option<Developer>,
}

impl Vouched {
    pub(super) fn new(
        rules: Arc<Connector>,
        service_url: Option<&str>,
        tenant: Option<&str>,
        key: &Key,
    ) -> Vouched {
        Vouched {
            rules,
            service_url: service_url.map(str::to_owned),
            endorsements: key.endorsements(),
            tenant: tenant.and_then(EntraId::new),
            developer: None,
        }
    }

    /// Nothing is proved, and none is needed of services of this machine.
    pub(super) fn by_developer(rules: &Arc<Connector>, developer: &Developer) -> Vouched {
        Vouched {
            rules: rules.clone(),
            service_url: None,
            endorsements: None,
            tenant: None,
            developer: Some(developer.clone()),
        }
    }

    /// What somebody on this machine says in place of the connector; what it does not say of who
    /// speaks is the developer.
    fn bind_local(
        &self,
        developer: &Developer,
        activity: &Activity<'_>,
    ) -> Result<BotCaller, Unbound> {
        let service = ServiceOrigin::of(&activity.service_url);
        if !service.is_some_and(|(service, _)| service.is_loopback()) {
            return Err(forbidden(
                "without a token the service must be on this machine",
            ));
        }
        let named = activity.conversation_tenant.is_some() || activity.channel_tenant.is_some();
        let tenant = match named {
            true => tenant(activity)?,
            false => &developer.tenant,
        };
        let speaks = matches!(activity.kind, Kind::Message | Kind::Invoke);
        let itself = || speaks.then(|| developer.user.clone());
        let caller = BotCaller {
            kind: activity.kind,
            tenant: tenant.clone(),
            user: activity.user.clone().or_else(itself),
            reference: Reference::of(activity, tenant),
        };
        let known = self.rules.tenants.contains(tenant) || *tenant == developer.tenant;
        match known {
            true => Ok(caller),
            false => Err(Unbound::OtherTenant(Box::new(Outsider(caller)))),
        }
    }

    fn bind(&self, activity: &Activity<'_>) -> Result<BotCaller, Unbound> {
        if let Some(developer) = &self.developer {
            return self.bind_local(developer, activity);
        }
        let service = &activity.service_url;
        if self
            .service_url
            .as_ref()
            .is_some_and(|said| said != service)
        {
            return Err(forbidden("the token is for another service's activities"));
        }
        if !self.rules.services.have(service) {
            return Err(forbidden("the service is none that may speak for people"));
        }
        self.endorsed(&activity.channel)?;
        let tenant = tenant(activity)?;
        if self.tenant.as_ref().is_some_and(|signed| signed != tenant) {
            return Err(forbidden("the token is for another tenant's activities"));
        }
        let caller = BotCaller {
            kind: activity.kind,
            tenant: tenant.clone(),
            user: activity.user.clone(),
            reference: Reference::of(activity, tenant),
        };
        if !self.rules.tenants.contains(tenant) {
            return Err(Unbound::OtherTenant(Box::new(Outsider(caller))));
        }
        let speaks = matches!(activity.kind, Kind::Message | Kind::Invoke);
        if speaks && caller.user.is_none() {
            return Err(forbidden("the activity does not say who of Entra speaks"));
        }
        Ok(caller)
    }

    fn endorsed(&self, channel: &str) -> Result<(), Unbound> {
        match &self.endorsements {
            Some(list) if list.iter().any(|endorsed| endorsed == channel) => Ok(()),
            Some(_) => Err(forbidden("the token's key is not endorsed for the channel")),
            None if self.rules.require_endorsements => {
                Err(forbidden("the token's key is not endorsed for any channel"))
            }
            None => Ok(()),
        }
    }
}

/// The one tenant that the activity names.
fn tenant<'a>(activity: &'a Activity<'_>) -> Result<&'a EntraId, Unbound> {
    match (&activity.conversation_tenant, &activity.channel_tenant) {
        (Some(one), Some(other)) if one != other => {
            Err(forbidden("the activity names two tenants"))
        }
        (Some(tenant), _) | (None, Some(tenant)) => Ok(tenant),
        (None, None) => Err(forbidden("the activity names no tenant")),
    }
}

fn forbidden(detail: &'static str) -> Unbound {
    Unbound::Denied(Denied::new(Reason::Forbidden, detail))
}

/// Why an activity is not one of the bot's.
#[derive(Debug)]
pub enum Unbound {
    /// It is not what the token is for: 403, and nobody is answered through the connector.
    Denied(Denied),
    /// The connector does speak for somebody, of a tenant that is not listed.
    OtherTenant(Box<Outsider>),
}

/// Who speaks to a bot, in a tenant that may. Only [`Grant::bind`] makes one.
#[derive(Clone, Debug)]
pub struct BotCaller {
    kind: Kind,
    tenant: EntraId,
    user: Option<EntraId>,
    reference: Reference,
}

impl BotCaller {
    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub fn tenant(&self) -> &EntraId {
        &self.tenant
    }

    /// The person. Always there with messages and invokes; what else happens may be nobody's doing.
    pub fn user(&self) -> Option<&EntraId> {
        self.user.as_ref()
    }

    pub fn reference(&self) -> &Reference {
        &self.reference
    }
}

/// The same of a tenant that is not listed: for the audit, and for a refusal in the conversation.
#[derive(Clone, Debug)]
pub struct Outsider(BotCaller);

impl Outsider {
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    pub fn tenant(&self) -> &EntraId {
        &self.0.tenant
    }

    pub fn user(&self) -> Option<&EntraId> {
        self.0.user.as_ref()
    }

    pub fn reference(&self) -> &Reference {
        &self.0.reference
    }
}

/// What it takes to write into a conversation (a conversation reference, as the Bot Framework calls
/// it). Its URL was on the list of services when this was made; whoever stores it must look again
/// ([`ServiceHosts::have`](crate::config::ServiceHosts::have)). Ids of people are in it, so
/// nothing of it is printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Reference {
    pub service_url: String,
    pub channel: String,
    pub tenant: EntraId,
    pub conversation: String,
    /// `personal`, `groupChat`, `channel`.
    pub conversation_type: Option<String>,
    /// The activity that an answer would be to.
    pub activity: Option<String>,
    /// The person and the bot, in the words of the channel.
    pub user: Option<String>,
    pub bot: Option<String>,
    pub locale: Option<String>,
}

impl Reference {
    fn of(activity: &Activity<'_>, tenant: &EntraId) -> Reference {
        let text = |text: &Option<std::borrow::Cow<'_, str>>| text.as_deref().map(str::to_owned);
        Reference {
            service_url: activity.service_url.to_string(),
            channel: activity.channel.to_string(),
            tenant: tenant.clone(),
            conversation: activity.conversation.to_string(),
            conversation_type: text(&activity.conversation_type),
            activity: text(&activity.id),
            user: text(&activity.from),
            bot: text(&activity.bot),
            locale: text(&activity.locale),
        }
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reference(_)")
    }
}

impl Grant {
    /// Holds an activity against the token that came with it.
    ///
    /// # Errors
    /// [`Unbound::Denied`] is always `forbidden`, also where the token is no connector's.
    pub fn bind(&self, activity: &Activity<'_>) -> Result<BotCaller, Unbound> {
        match &self.vouched {
            Some(vouched) => vouched.bind(activity),
            None => Err(forbidden("the credential is not the Bot Connector's")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ServiceHosts;
    use crate::wire::activity;
    use serde_json::{Value, json};

    const TENANT: &str = "00000000-0000-4000-8000-0000000000aa";
    const OTHER: &str = "00000000-0000-4000-8000-0000000000bb";
    const USER: &str = "00000000-0000-4000-8000-000000000001";
    const SERVICE: &str = "https://smba.trafficmanager.net/amer/";

    fn rules() -> Connector {
        let hosts = ["smba.trafficmanager.net".to_owned()];
        Connector {
            tenants: vec![EntraId::new(TENANT).unwrap()],
            require_endorsements: false,
            require_service_url: true,
            services: ServiceHosts::new(&hosts).unwrap(),
        }
    }

    fn vouched() -> Vouched {
        Vouched {
            rules: Arc::new(rules()),
            service_url: Some(SERVICE.to_owned()),
            endorsements: Some(["skype", "msteams"].map(str::to_owned).into()),
            tenant: None,
            developer: None,
        }
    }

    fn message() -> Value {
        json!({
            "type": "message", "id": "17", "channelId": "msteams", "serviceUrl": SERVICE,
            "from": {"id": "29:1abc", "aadObjectId": USER.to_uppercase()},
            "conversation": {"id": "a:1xyz", "conversationType": "personal", "tenantId": TENANT},
            "recipient": {"id": "28:bot"}, "channelData": {"tenant": {"id": TENANT.to_uppercase()}},
            "locale": "en-US", "text": "hello",
        })
    }

    fn with(pointer: &str, value: Value) -> Value {
        let mut body = message();
        *body.pointer_mut(pointer).unwrap() = value;
        body
    }

    fn bind(vouched: &Vouched, body: &Value) -> Result<BotCaller, Unbound> {
        let body = body.to_string();
        vouched.bind(&activity::read(body.as_bytes()).unwrap())
    }

    /// Why it is refused; it must be `forbidden`.
    fn refused(vouched: &Vouched, body: &Value) -> &'static str {
        match bind(vouched, body) {
            Err(Unbound::Denied(denied)) => {
                assert_eq!(denied.reason, Reason::Forbidden);
                assert_eq!(denied.status, None);
                denied.detail
            }
            Err(Unbound::OtherTenant(_)) => panic!("another tenant: {body}"),
            Ok(_) => panic!("let in: {body}"),
        }
    }

    #[test]
    fn c01_a_caller_is_the_person_and_the_tenant_that_the_activity_names() {
        let caller = bind(&vouched(), &message()).unwrap();
        assert_eq!(caller.tenant().as_str(), TENANT);
        assert_eq!(caller.user().unwrap().as_str(), USER);
        assert_eq!(caller.kind(), Kind::Message);
        let some = |text: &str| Some(text.to_owned());
        let reference = Reference {
            service_url: SERVICE.to_owned(),
            channel: "msteams".to_owned(),
            tenant: EntraId::new(TENANT).unwrap(),
            conversation: "a:1xyz".to_owned(),
            conversation_type: some("personal"),
            activity: some("17"),
            user: some("29:1abc"),
            bot: some("28:bot"),
            locale: some("en-US"),
        };
        assert!(*caller.reference() == reference);
        assert!(!format!("{caller:?}").contains("29:1abc"));
    }

    #[test]
    fn c03_the_activity_comes_from_the_service_of_the_token_to_the_letter() {
        for other in [
            "https://smba.trafficmanager.net/amer",
            "https://smba.trafficmanager.net/Amer/",
            "https://smba.trafficmanager.net/emea/",
            "https://SMBA.trafficmanager.net/amer/",
            "https://evil.example/amer/",
        ] {
            let detail = refused(&vouched(), &with("/serviceUrl", json!(other)));
            assert_eq!(detail, "the token is for another service's activities");
        }
    }

    #[test]
    fn c03_a_service_that_the_token_names_is_on_the_list_or_nobody() {
        for other in [
            "https://smba.trafficmanager.net.evil.example/amer/",
            "https://smba.trafficmanager.net@evil.example/",
            "https://SMBA.trafficmanager.net/amer/",
            "https://smba.trafficmanager.net./amer/",
            "http://smba.trafficmanager.net/amer/",
            "https://smba.trafficmanager.net:8443/amer/",
        ] {
            let signed = Vouched {
                service_url: Some(other.to_owned()),
                ..vouched()
            };
            let unsigned = Vouched {
                service_url: None,
                ..vouched()
            };
            for vouched in [signed, unsigned] {
                let detail = refused(&vouched, &with("/serviceUrl", json!(other)));
                assert_eq!(detail, "the service is none that may speak for people");
            }
        }
    }

    #[test]
    fn c04_the_key_is_endorsed_for_the_channel_if_it_is_endorsed_at_all() {
        let endorsed = |list: Option<&[&str]>, required: bool| Vouched {
            rules: Arc::new(Connector {
                require_endorsements: required,
                ..rules()
            }),
            endorsements: list.map(|list| list.iter().map(|&name| name.to_owned()).collect()),
            ..vouched()
        };
        for required in [false, true] {
            assert!(bind(&endorsed(Some(&["msteams"]), required), &message()).is_ok());
            for list in [
                &["skype"][..],
                &["MSTeams"],
                &["msteams "],
                &["msteamsx"],
                &[],
            ] {
                let detail = refused(&endorsed(Some(list), required), &message());
                assert_eq!(detail, "the token's key is not endorsed for the channel");
            }
            let other = with("/channelId", json!("webchat"));
            refused(&endorsed(Some(&["msteams"]), required), &other);
        }
        assert!(bind(&endorsed(None, false), &message()).is_ok());
        let detail = refused(&endorsed(None, true), &message());
        assert_eq!(detail, "the token's key is not endorsed for any channel");
    }

    #[test]
    fn c06_both_words_on_the_tenant_agree_and_it_is_on_the_list() {
        let (conversation, channel) = ("/conversation/tenantId", "/channelData/tenant/id");
        for one in [conversation, channel] {
            assert!(bind(&vouched(), &with(one, Value::Null)).is_ok());
            let detail = refused(&vouched(), &with(one, json!(OTHER)));
            assert_eq!(detail, "the activity names two tenants");
        }
        let mut none = with(conversation, Value::Null);
        none["channelData"] = Value::Null;
        assert_eq!(refused(&vouched(), &none), "the activity names no tenant");
        let mut other = with(conversation, json!(OTHER));
        other["channelData"]["tenant"]["id"] = json!(OTHER);
        let Err(Unbound::OtherTenant(outsider)) = bind(&vouched(), &other) else {
            panic!("another tenant is told apart");
        };
        assert_eq!(outsider.tenant().as_str(), OTHER);
        assert_eq!(outsider.user().unwrap().as_str(), USER);
        assert_eq!(outsider.reference().conversation, "a:1xyz");
        // Whoever is not vouched for is not answered, whatever tenant is named.
        other["serviceUrl"] = json!("https://smba.trafficmanager.net/emea/");
        refused(&vouched(), &other);
    }

    #[test]
    fn c06_a_token_of_entra_is_for_activities_of_its_own_tenant() {
        let mut rules = rules();
        rules.tenants.push(EntraId::new(OTHER).unwrap());
        let signed = |tenant| Vouched {
            rules: Arc::new(rules.clone()),
            tenant: EntraId::new(tenant),
            ..vouched()
        };
        assert!(bind(&signed(TENANT), &message()).is_ok());
        let detail = refused(&signed(OTHER), &message());
        assert_eq!(detail, "the token is for another tenant's activities");
    }

    #[test]
    fn c01_messages_and_invokes_need_a_person_and_updates_do_not() {
        for (kind, needed) in [
            ("message", true),
            ("Message", true),
            ("invoke", true),
            ("conversationUpdate", false),
            ("installationUpdate", false),
            ("messageReaction", false),
        ] {
            for without in ["/from/aadObjectId", "/from"] {
                let mut body = with(without, Value::Null);
                body["type"] = json!(kind);
                if needed {
                    let detail = refused(&vouched(), &body);
                    assert_eq!(detail, "the activity does not say who of Entra speaks");
                } else {
                    let caller = bind(&vouched(), &body).unwrap();
                    assert_eq!(caller.user(), None);
                }
            }
        }
    }
}
