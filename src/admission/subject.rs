//! Who was admitted, as logs show it.

use std::fmt;

use crate::audit::{Credential, Rule, Who};
use crate::ids::CallId;
use crate::label::Label;

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
    /// Whom the platform in front signed in.
    EasyAuth { tenant: String, name: String },
    /// A call, streamed by whoever signed its token.
    Call { issuer: Label, call: CallId },
    /// Whoever asked, on a route that says so.
    Anyone,
}

impl From<&Subject> for Who {
    fn from(subject: &Subject) -> Who {
        match subject {
            Subject::Key(_) => Who::new(Credential::Key, subject, Rule::Way("key")),
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
            Subject::EasyAuth { tenant, name } => write!(f, "easyauth:{tenant}/{name}"),
            Subject::Call { issuer, call } => write!(f, "{issuer}:{call}"),
            Subject::Anyone => f.write_str("anyone"),
        }
    }
}
