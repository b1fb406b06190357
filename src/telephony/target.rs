//! Where ACS is told to go for a call: its media URL, and where what becomes of it is posted.

use std::time::{Duration, SystemTime};

use crate::admission::media_url::{LIFE_MAX, Signed, Signer};
use crate::config::{CALL, CALL_SECRET, Live, Route};
use crate::ids::CallId;
use crate::label::Label;
use crate::secret::Secret;

/// For ringing, which comes before the session that bounds a call.
const RINGING: Duration = Duration::from_secs(120);

/// The routes that calls are given.
pub struct Targets {
    /// That of their media, and what stands before a call's id in its paths.
    media: Label,
    media_folder: String,
    callback_folder: String,
    /// How long a media URL is good for: as long as a call.
    life: Duration,
}

impl Targets {
    /// `None`: there are no such routes.
    pub(super) fn of(live: &Live, media: &Label, callbacks: &Label) -> Option<Targets> {
        let named = |name: &Label| live.routes.iter().find(|route| route.name == *name);
        let folder = |route: &Route| route.paths.first()?.strip_suffix(CALL).map(str::to_owned);
        let (media, callbacks) = (named(media)?, named(callbacks)?);
        let session = media.limits.session.unwrap_or(live.limits.session);
        Some(Targets {
            media: media.name.clone(),
            media_folder: folder(media)?,
            callback_folder: folder(callbacks)?,
            life: (session + RINGING).min(LIFE_MAX),
        })
    }

    /// The media URL of a call, for this route and no other; `None`: it cannot be signed.
    pub(super) fn media_url(&self, base: &str, signer: &Signer, signed: Signed) -> Option<Secret> {
        let signed = Signed {
            route: Some(self.media.clone()),
            ..signed
        };
        let token = signer.token(&signed, SystemTime::now(), self.life).ok()?;
        let (folder, call, token) = (&self.media_folder, &signed.call, token.expose());
        Some(Secret::new(format!(
            "{base}{folder}/{call}?{CALL_SECRET}={token}"
        )))
    }

    pub(super) fn callback_url(&self, base: &str, call: &CallId) -> String {
        format!("{base}{}/{call}", self.callback_folder)
    }
}
