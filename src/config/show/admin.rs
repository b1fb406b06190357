//! How the operator's listener is asked.

use crate::config::Settings;

pub(super) fn access(settings: &Settings) -> String {
    let speaks = match settings.admin_speaks_tls() {
        true => "TLS 1.2 and 1.3",
        false => "plain text",
    };
    let token = match (settings.live.admin_token, settings.live.scrape_token) {
        (None, _) => "",
        (Some(_), None) => ", with a token",
        (Some(_), Some(_)) => ", with a token, another one for metrics",
    };
    format!("{speaks}{token}")
}
