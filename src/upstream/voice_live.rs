//! The URL of Azure Voice Live, from validated values only.

use http::Uri;

use crate::config::Model;
use crate::label::Label;

/// Path and query of the standard mode: `api-version` and `model`, each once.
///
/// Both are [`Label`]s, whose grammar needs no percent-encoding, so nothing can be injected.
pub fn target(api_version: &Label, model: &Model) -> Uri {
    format!("/voice-live/realtime?api-version={api_version}&model={model}")
        .parse()
        .expect("labels hold unreserved characters only")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b08_names_each_parameter_once_and_holds_no_credential() {
        let version = Label::new("2026-07-15").unwrap();
        let model = Label::new("gpt-realtime").unwrap();
        assert_eq!(
            target(&version, &model).to_string(),
            "/voice-live/realtime?api-version=2026-07-15&model=gpt-realtime"
        );
    }
}
