//! Who was admitted, as logs show it.

use std::fmt;

use crate::audit::{Credential, Rule, Who};
use crate::ids::CallId;
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
    /// A call, streamed by whoever signed its token.
    Call { issuer: Label, call: CallId },
    /// Whoever asked, on a route that says so.
    Anyone,
}

impl Subject {
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
            Subject::Call { issuer, call } => format!("call\0{issuer}\0{call}"),
            Subject::Anyone => "anyone".to_owned(),
        };
        Digest::of(&text)
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
            } => Digest::of(&format!("tenant\0{issuer}\0{tenant}")),
            Subject::EasyAuth { tenant, .. } if !tenant.is_empty() => {
                Digest::of(&format!("tenant\0easyauth\0{tenant}"))
            }
            Subject::Call { issuer, .. } => Digest::of(&format!("calls\0{issuer}")),
            Subject::Token { .. }
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
            Subject::Call { issuer, .. } => {
                Who::new(Credential::Call, subject, Rule::Issuer(issuer.clone()))
            }
            Subject::Anyone => Who::new(Credential::Anyone, subject, Rule::Way("anyone")),
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
            Subject::Call { issuer, call } => write!(f, "{issuer}:{call}"),
            Subject::Anyone => f.write_str("anyone"),
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
            Subject::Anyone,
        ];
        for (i, one) in subjects.iter().enumerate() {
            for (j, other) in subjects.iter().enumerate() {
                let same = one.digest().is(&other.digest());
                assert_eq!(same, i == j, "{one} {other}");
            }
        }
    }
}
