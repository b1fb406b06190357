//! Who was admitted, as logs show it.

use std::fmt;

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
    /// The holder of the certificate of this name.
    Certificate(Label),
    /// Whom the platform in front signed in.
    EasyAuth { tenant: String, name: String },
    /// A call, streamed by whoever signed its token.
    Call { issuer: Label, call: CallId },
    /// Whoever asked, on a route that says so.
    Anyone,
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
