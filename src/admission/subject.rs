//! Who was admitted, as logs show it.

use std::fmt;

use crate::audit::{Credential, Rule, Who};
use crate::ids::{CallId, EntraId};
use crate::label::Label;
use crate::secret::Digest;

/// Who was admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The holder of the key of this name.
    Key(Label),
    /// The holder of a token: who signed it, and whom it names.
    Token {
        issuer: Label,
        tenant: Option<String>,
        name: String,
    },
    /// The holder of the certificate of this name.
    Certificate(Label),
    /// Whom the platform in front signed in.
    EasyAuth { tenant: String, name: String },
    /// Whom the signer of a ticket names, if it names anybody.
    Ticket {
        issuer: Label,
        tenant: Option<String>,
        name: Option<String>,
    },
    /// The same one as the edge had admitted before, by a ticket that it gave them.
    Holder(Box<Subject>),
    /// A call, streamed by whoever signed its token.
    Call { issuer: Label, call: CallId },
    /// Whoever asked, on a route that says so.
    Anyone,
    /// A developer who showed nothing, where `--insecure-dev` lets them in.
    Developer { tenant: EntraId, user: EntraId },
}

impl Subject {
    /// The tenant of a token or a principal, where it has one.
    pub fn tenant(&self) -> Option<&str> {
        match self {
            Subject::Token { tenant, .. } => tenant.as_deref(),
            Subject::EasyAuth { tenant, .. } => Some(tenant),
            Subject::Ticket { tenant, .. } => tenant.as_deref(),
            Subject::Holder(subject) => subject.tenant(),
            Subject::Developer { tenant, .. } => Some(tenant.as_str()),
            Subject::Key(_) | Subject::Certificate(_) | Subject::Call { .. } | Subject::Anyone => {
                None
            }
        }
    }

    /// One subject, however often it comes and by whatever credential of its kind: no two have one.
    pub fn digest(&self) -> Digest {
        // What may hold any character stands last.
        let text = match self {
            Subject::Key(name) => format!("key\0{name}"),
            Subject::Certificate(name) => format!("certificate\0{name}"),
            Subject::Token {
                issuer,
                tenant,
                name,
            } => {
                let tenant = tenant.as_deref().unwrap_or_default();
                format!("token\0{issuer}\0{tenant}\0{name}")
            }
            Subject::EasyAuth { tenant, name } => format!("easyauth\0{tenant}\0{name}"),
            Subject::Ticket {
                issuer,
                tenant,
                name,
            } => {
                let tenant = tenant.as_deref().unwrap_or_default();
                let name = name.as_deref().unwrap_or_default();
                format!("ticket\0{issuer}\0{tenant}\0{name}")
            }
            Subject::Holder(subject) => return subject.digest(),
            Subject::Call { issuer, call } => format!("call\0{issuer}\0{call}"),
            Subject::Anyone => "anyone".to_owned(),
            Subject::Developer { tenant, user } => format!("insecure-dev\0{tenant}\0{user}"),
        };
        Digest::of(&text)
    }

    /// The tenant, and whom that or nobody else names.
    pub fn names(&self) -> (Option<&str>, Option<&str>) {
        match self {
            Subject::Key(name) | Subject::Certificate(name) => (None, Some(name.as_str())),
            Subject::Token { tenant, name, .. } => (tenant.as_deref(), Some(name.as_str())),
            Subject::EasyAuth { tenant, name } => (Some(tenant.as_str()), Some(name.as_str())),
            Subject::Ticket { tenant, name, .. } => (tenant.as_deref(), name.as_deref()),
            Subject::Holder(subject) => subject.names(),
            Subject::Call { call, .. } => (None, Some(call.as_str())),
            Subject::Developer { tenant, user } => (Some(tenant.as_str()), Some(user.as_str())),
            Subject::Anyone => (None, None),
        }
    }
}

impl Subject {
    /// The party that what is scarce is shared among: the tenant where there is one, else whoever it is.
    /// All calls that one issuer vouches for are one party.
    pub fn party(&self) -> Digest {
        match self {
            Subject::Token {
                issuer,
                tenant: Some(tenant),
                ..
            }
            | Subject::Ticket {
                issuer,
                tenant: Some(tenant),
                ..
            } => Digest::of(&format!("tenant\0{issuer}\0{tenant}")),
            Subject::EasyAuth { tenant, .. } if !tenant.is_empty() => {
                Digest::of(&format!("tenant\0easyauth\0{tenant}"))
            }
            Subject::Call { issuer, .. } => Digest::of(&format!("calls\0{issuer}")),
            Subject::Holder(subject) => subject.party(),
            Subject::Token { .. }
            | Subject::Ticket { .. }
            | Subject::Developer { .. }
            | Subject::EasyAuth { .. }
            | Subject::Key(_)
            | Subject::Certificate(_)
            | Subject::Anyone => self.digest(),
        }
    }
}

impl From<&Subject> for Who {
    fn from(subject: &Subject) -> Who {
        match subject {
            Subject::Key(_) => Who::new(Credential::Key, subject, Rule::Way("key")),
            Subject::Certificate(_) => {
                Who::new(Credential::Certificate, subject, Rule::Way("certificate"))
            }
            Subject::Token {
                issuer,
                tenant,
                name,
            } => {
                let who = Who::new(Credential::Token, subject, Rule::Issuer(issuer.clone()));
                match tenant {
                    Some(tenant) => who.of_tenant(tenant, name),
                    None => who,
                }
            }
            Subject::EasyAuth { tenant, name } => {
                let who = Who::new(Credential::EasyAuth, subject, Rule::Way("easyauth"));
                who.of_tenant(tenant, name)
            }
            Subject::Ticket { tenant, name, .. } => {
                let who = Who::new(Credential::Ticket, subject, Rule::Way("ticket"));
                match (tenant, name) {
                    (Some(tenant), Some(name)) => who.of_tenant(tenant, name),
                    (Some(_) | None, _) => who,
                }
            }
            Subject::Holder(subject) => Who::from(&**subject).by_ticket(),
            Subject::Call { issuer, .. } => {
                Who::new(Credential::Call, subject, Rule::Issuer(issuer.clone()))
            }
            Subject::Anyone => Who::new(Credential::Anyone, subject, Rule::Way("anyone")),
            Subject::Developer { tenant, user } => {
                let rule = Rule::Way("insecure-dev");
                let who = Who::new(Credential::Developer, subject, rule);
                who.of_tenant(tenant.as_str(), user.as_str())
            }
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Key(name) => write!(f, "{name}"),
            Subject::Token {
                issuer,
                tenant,
                name,
            } => match tenant {
                Some(tenant) => write!(f, "{issuer}:{tenant}/{name}"),
                None => write!(f, "{issuer}:{name}"),
            },
            Subject::Certificate(name) => write!(f, "certificate:{name}"),
            Subject::EasyAuth { tenant, name } => write!(f, "easyauth:{tenant}/{name}"),
            Subject::Ticket {
                issuer,
                tenant,
                name,
            } => {
                write!(f, "ticket:{issuer}")?;
                match (tenant, name) {
                    (Some(tenant), Some(name)) => write!(f, ":{tenant}/{name}"),
                    (None, Some(name)) => write!(f, ":{name}"),
                    (_, None) => Ok(()),
                }
            }
            Subject::Holder(subject) => write!(f, "{subject}"),
            Subject::Call { issuer, call } => write!(f, "{issuer}:{call}"),
            Subject::Anyone => f.write_str("anyone"),
            Subject::Developer { tenant, user } => write!(f, "insecure-dev:{tenant}/{user}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn u8_people_of_a_tenant_and_calls_of_an_issuer_are_one_party() {
        let label = |name| Label::new(name).unwrap();
        let token = |tenant: Option<&str>, name: &str| Subject::Token {
            issuer: label("users"),
            tenant: tenant.map(str::to_owned),
            name: name.to_owned(),
        };
        let call = |call| Subject::Call {
            issuer: label("users"),
            call: CallId::new(call).unwrap(),
        };
        let same = |one: Subject, other: Subject| one.party() == other.party();
        assert!(same(token(Some("t"), "a"), token(Some("t"), "b")));
        assert!(!same(token(Some("t"), "a"), token(Some("u"), "a")));
        assert!(!same(token(None, "a"), token(None, "b")));
        assert!(same(call("a"), call("b")));
        assert!(!same(call("a"), token(Some("a"), "a")));
        assert!(!same(Subject::Key(label("a")), Subject::Key(label("b"))));
    }

    #[test]
    fn a26_two_subjects_have_two_digests() {
        let label = |name| Label::new(name).unwrap();
        let token = |issuer, tenant: Option<&str>, name: &str| Subject::Token {
            issuer: label(issuer),
            tenant: tenant.map(str::to_owned),
            name: name.to_owned(),
        };
        let subjects = [
            Subject::Key(label("a")),
            Subject::Key(label("b")),
            token("users", Some("t"), "a"),
            token("users", Some("t"), "b"),
            token("users", Some("u"), "a"),
            token("users", None, "a"),
            token("users", None, "t\0a"),
            token("others", Some("t"), "a"),
            Subject::EasyAuth {
                tenant: "t".to_owned(),
                name: "a".to_owned(),
            },
            Subject::Call {
                issuer: label("users"),
                call: CallId::new("a").unwrap(),
            },
            Subject::Ticket {
                issuer: label("users"),
                tenant: Some("t".to_owned()),
                name: Some("a".to_owned()),
            },
            Subject::Anyone,
        ];
        let one = &subjects[0];
        assert!(
            Subject::Holder(Box::new(one.clone()))
                .digest()
                .is(&one.digest())
        );
        for (i, one) in subjects.iter().enumerate() {
            for (j, other) in subjects.iter().enumerate() {
                let same = one.digest().is(&other.digest());
                assert_eq!(same, i == j, "{one} {other}");
            }
        }
    }
}
