//! The names of keys: session keys, which others write, and the edge's own.
//!
//! Parts are canonical before they come here (see [`crate::ids`]), templates were judged with the
//! settings; so no two sets of parts build one key, and nothing that a call brings can be read as
//! more than a part.

use std::hash::{Hash, Hasher};

use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use super::people::About;
use super::running::Whose;
use crate::config::{KeyForms, Piece, Template};
use crate::ids::{CallId, ContactId, ForeignId, PhoneNumber, SessionId};
use crate::label::Label;
use crate::secret::Digest;

/// No code is longer: 50 digits is what Amazon Connect can dial after an answer.
const CODE_MAX: usize = 50;

/// The name of a session key. It holds a caller's number and a code, so it is not printed, and its memory is
/// wiped when it goes.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionKey(Zeroizing<Box<str>>);

impl SessionKey {
    /// The name itself: for the store, not for logs.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Hash for SessionKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.expose().hash(state);
    }
}

impl std::fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionKey(_)")
    }
}

/// These behind each other, in memory that is taken once and wiped: text that grows leaves what it was
/// behind.
fn joined<'a, I: Iterator<Item = &'a str>>(parts: impl Fn() -> I) -> Zeroizing<String> {
    let mut whole = Zeroizing::new(String::with_capacity(parts().map(str::len).sum()));
    parts().for_each(|part| whole.push_str(part));
    whole
}

/// Builds the names of keys.
pub struct Keys {
    prefix: String,
    pstn: Template,
    sip: Template,
    api: Template,
    hmac: Option<hmac::Key>,
}

impl Keys {
    pub(super) fn new(forms: &KeyForms) -> Keys {
        let key = |secret: &crate::secret::Secret| {
            hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes())
        };
        Keys {
            prefix: forms.prefix.clone(),
            pstn: forms.pstn.clone(),
            sip: forms.sip.clone(),
            api: forms.api.clone(),
            hmac: forms.hmac.as_ref().map(key),
        }
    }

    /// The key that a caller's code opens with: `pstn:+15551234567:823`. `None` if `code` is not 1
    /// to 50 decimal digits.
    pub fn pstn(&self, ani: &PhoneNumber, code: &str) -> Option<SessionKey> {
        let fits = (1..=CODE_MAX).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_digit());
        fits.then(|| self.session(&self.pstn, ani.expose(), code, ""))
    }

    /// The key of a SIP call: `sip:abc-xyz-123`.
    pub fn sip(&self, id: &ForeignId) -> SessionKey {
        self.session(&self.sip, "", "", id.as_str())
    }

    /// The key of a call that was made by an API: `acs:call_connection_id:abc123`.
    pub fn api(&self, connection: &ForeignId) -> SessionKey {
        self.session(&self.api, "", "", connection.as_str())
    }

    fn session(&self, template: &Template, ani: &str, code: &str, id: &str) -> SessionKey {
        let parts = || {
            template.0.iter().map(|piece| match piece {
                Piece::Text(text) => text,
                Piece::Ani => ani,
                Piece::Code => code,
                Piece::Id => id,
            })
        };
        let key = match &self.hmac {
            None => joined(parts),
            Some(key) => {
                let plain = joined(parts);
                Zeroizing::new(hex(hmac::sign(key, plain.as_bytes()).as_ref()))
            }
        };
        let whole = joined(|| [self.prefix.as_str(), &key].into_iter());
        SessionKey(Zeroizing::new(Box::from(whole.as_str())))
    }

    /// What is known of a call. All records of one call are in one slot of a cluster, which the
    /// braces say.
    pub(super) fn call(&self, call: &CallId) -> String {
        format!("{}call:{{{call}}}", self.prefix)
    }

    /// That a call may go through.
    pub(super) fn live(&self, call: &CallId) -> String {
        format!("{}live:{{{call}}}", self.prefix)
    }

    /// The codes that a call tried.
    pub(super) fn tries(&self, call: &CallId) -> String {
        format!("{}tries:{{{call}}}", self.prefix)
    }

    /// That a token was used.
    pub(super) fn spent(&self, token: &Digest) -> String {
        format!("{}spent:{}", self.prefix, token.to_hex())
    }

    /// That an event was taken.
    pub(super) fn event(&self, event: &Digest) -> String {
        format!("{}event:{}", self.prefix, event.to_hex())
    }

    /// The keys that callbacks told of.
    pub(super) fn tones(&self, call: &CallId) -> String {
        format!("{}tones:{{{call}}}", self.prefix)
    }

    /// What is known of a session that another cloud hands over.
    pub(super) fn handoff(&self, contact: &ContactId) -> String {
        format!("{}handoff:{{{contact}}}", self.prefix)
    }

    /// The turns of a quota, and that it is shut.
    pub(super) fn pace(&self, quota: &str) -> [String; 2] {
        let turns = format!("{}pace:{{{quota}}}", self.prefix);
        let shut = format!("{turns}:shut");
        [turns, shut]
    }

    /// A code as it is kept beside the session key that it is in: where keys are hashed it must not
    /// be legible there either. `key` is the name of that key, so no two codes are veiled alike.
    pub(super) fn veil(&self, key: &str, code: &str) -> String {
        self.turned(key, code, |digit, by| digit + by)
    }

    /// What was veiled.
    pub(super) fn unveil(&self, key: &str, veiled: &str) -> String {
        self.turned(key, veiled, |digit, by| digit + 10 - by)
    }

    /// Each digit turned by one that only the secret of the keys gives for its place: no code has
    /// more digits than the pad has bytes.
    fn turned(&self, key: &str, digits: &str, turn: impl Fn(u8, u8) -> u8) -> String {
        let Some(secret) = &self.hmac else {
            return digits.to_owned();
        };
        let pad = hmac::sign(secret, format!("code:{key}").as_bytes());
        let turned = digits.bytes().zip(pad.as_ref());
        turned
            .map(|(digit, pad)| {
                char::from(b'0' + turn(digit.wrapping_sub(b'0') % 10, pad % 10) % 10)
            })
            .collect()
    }

    /// What a caller's failures are counted by: the number, or where callers cannot be told apart
    /// by it the key that was tried, which is not legible there.
    pub(super) fn fails(&self, ani: Option<&PhoneNumber>, key: &SessionKey) -> String {
        let prefix = &self.prefix;
        match ani {
            Some(ani) => format!("{prefix}fails:ani:{}", ani.expose()),
            None => format!("{prefix}fails:key:{}", Digest::of(key.expose()).to_hex()),
        }
    }

    /// What the failures of a route are counted by.
    pub(super) fn fails_of_route(&self, route: &Label) -> String {
        format!("{}fails:route:{route}", self.prefix)
    }

    /// A note about a person. Ids of Entra hold no separator.
    pub(super) fn note(&self, about: About<'_>) -> String {
        let About {
            note,
            tenant,
            person,
        } = about;
        format!("{}{}:{tenant}:{person}", self.prefix, note.word())
    }

    /// The log of orders to all edges.
    pub(super) fn orders(&self) -> String {
        format!("{}orders:log", self.prefix)
    }

    /// What is told of a session that runs.
    pub(super) fn running(&self, session: SessionId) -> String {
        format!("{}running:{{{session}}}", self.prefix)
    }

    /// Sessions of somebody that run.
    pub(super) fn running_of(&self, whose: Whose<'_>) -> String {
        let prefix = &self.prefix;
        match whose {
            Whose::Subject(digest) => format!("{prefix}running-of:subject:{{{}}}", digest.to_hex()),
            Whose::Person(tenant, person) => {
                format!("{prefix}running-of:person:{{{tenant}:{person}}}")
            }
            Whose::Tenant(tenant) => format!("{prefix}running-of:tenant:{{{tenant}}}"),
            Whose::Route(route) => format!("{prefix}running-of:route:{{{route}}}"),
        }
    }

    /// What edges count together.
    pub(super) fn limit(&self, name: &str) -> String {
        format!("{}limit:{name}", self.prefix)
    }

    /// By whom a session key was used, in a cluster only: in the slot of the key itself.
    pub(super) fn used(&self, key: &str) -> String {
        format!("{}used:{{{key}}}", self.prefix)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;
    use proptest::prelude::*;

    fn keys() -> Keys {
        Keys::new(&KeyForms::default())
    }

    fn hashed() -> Keys {
        Keys::new(&KeyForms {
            prefix: "env1:".to_owned(),
            hmac: Some(Secret::new("0123456789abcdef0123456789abcdef".to_owned())),
            ..KeyForms::default()
        })
    }

    /// The examples of the guide, to the byte.
    #[test]
    fn a15_the_guides_examples_are_built() {
        let ani = PhoneNumber::new("+15551234567").unwrap();
        let id = |text| ForeignId::new(text).unwrap();
        let built = [
            keys().pstn(&ani, "823").unwrap(),
            keys().sip(&id("abc-xyz-123")),
            keys().api(&id("abc123")),
        ];
        let wanted = [
            "pstn:+15551234567:823",
            "sip:abc-xyz-123",
            "acs:call_connection_id:abc123",
        ];
        assert_eq!(built.each_ref().map(SessionKey::expose), wanted);
        assert_eq!(format!("{:?}", built[0]), "SessionKey(_)");
    }

    #[test]
    fn a16_a_code_that_is_kept_is_legible_where_keys_are() {
        for (keys, legible) in [(keys(), true), (hashed(), false)] {
            for code in ["482913", "000000", "823", &"9".repeat(24)] {
                let veiled = keys.veil("some key", code);
                assert_eq!(veiled == code, legible, "{code}");
                assert_eq!(veiled.len(), code.len());
                assert!(veiled.bytes().all(|digit| digit.is_ascii_digit()));
                assert_eq!(keys.unveil("some key", &veiled), code);
                assert_eq!(keys.veil("another", code) == veiled, legible);
            }
        }
    }

    /// `printf %s pstn:+15551234567:823 | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef`
    #[test]
    fn a16_a_hashed_key_is_what_openssl_makes_of_the_legible_one() {
        let ani = PhoneNumber::new("+15551234567").unwrap();
        let key = hashed().pstn(&ani, "823").unwrap();
        assert_eq!(key.expose(), VECTOR);
    }

    const VECTOR: &str = "env1:67818b0d6b3821eb9230cbc62586dc40f8e63110f4e97173781185b99aa12c18";

    #[test]
    fn a16_a_code_is_digits_and_nothing_else() {
        let ani = PhoneNumber::new("+15551234567").unwrap();
        assert!(keys().pstn(&ani, "0").is_some());
        assert!(keys().pstn(&ani, &"1".repeat(50)).is_some());
        for bad in [
            "",
            "8:23",
            "82*",
            "823#",
            "8 23",
            "823\r\n",
            "٣",
            "+1",
            &"1".repeat(51),
        ] {
            assert!(keys().pstn(&ani, bad).is_none(), "{bad:?}");
        }
    }

    /// Everything that a call can bring, for each kind of key.
    fn parts() -> impl Strategy<Value = (u8, String, String)> {
        let ani = "\\+[1-9][0-9]{1,14}";
        let id = "[a-zA-Z0-9_.@~-]{1,128}";
        prop_oneof![
            (ani, "[0-9]{1,50}").prop_map(|(ani, code)| (0, ani, code)),
            id.prop_map(|id| (1, id, String::new())),
            id.prop_map(|id| (2, id, String::new())),
        ]
    }

    fn build(keys: &Keys, (kind, first, second): &(u8, String, String)) -> String {
        let key = match kind {
            0 => keys
                .pstn(&PhoneNumber::new(first).unwrap(), second)
                .unwrap(),
            1 => keys.sip(&ForeignId::new(first).unwrap()),
            _ => keys.api(&ForeignId::new(first).unwrap()),
        };
        key.expose().to_owned()
    }

    fn forms() -> Vec<Keys> {
        let text = |text: &str| Piece::Text(text.to_owned());
        let odd = KeyForms {
            pstn: Template(vec![
                text("p"),
                Piece::Code,
                text("1x"),
                Piece::Ani,
                text("9"),
            ]),
            sip: Template(vec![text("s:"), Piece::Id, text(":s")]),
            ..KeyForms::default()
        };
        vec![keys(), hashed(), Keys::new(&odd)]
    }

    proptest! {
        /// Whatever differs in its parts differs as a key, also across kinds; and no session key is
        /// one of the edge's own or breaks out of what Redis takes for a key.
        #[test]
        fn a16_no_two_inputs_build_one_key(a in parts(), b in parts()) {
            for keys in forms() {
                let (one, other) = (build(&keys, &a), build(&keys, &b));
                prop_assert_eq!(one == other, a == b);
                let safe = !one.contains(['{', '}', '*', '?', '[', '\r', '\n', ' ']);
                prop_assert!(safe, "it has what Redis reads as more than a name");
                let own = ["call:", "live:", "tries:", "spent:", "fails:", "used:", "event:", "tones:",
                    "handoff:", "reference:", "quiet:", "scope:", "person:", "orders:", "running:",
                    "running-of:", "pace:", "limit:"];
                let foreign = !own.iter().any(|own| one.starts_with(own));
                prop_assert!(foreign, "it is one of our own");
            }
        }

        /// The same digits cut elsewhere: what a key without a separator would mix up.
        #[test]
        fn a16_digits_do_not_wander_between_number_and_code(
            digits in "[1-9][0-9]{4,14}", first in 2..4usize, second in 2..4usize,
        ) {
            let cut = |at: usize| (0, format!("+{}", &digits[..at]), digits[at..].to_owned());
            for keys in forms() {
                let same = build(&keys, &cut(first)) == build(&keys, &cut(second));
                prop_assert_eq!(same, first == second);
            }
        }
    }
}
