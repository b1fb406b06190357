//! `[telemetry]`: whose word on traces is believed, and who is told of them.

use http::Uri;
use http::uri::Scheme;

use super::Problems;
use crate::config::file::File;
use crate::config::{Believes, Otlp, Telemetry};

pub(super) fn telemetry(file: &File, problems: &mut Problems) -> Telemetry {
    let written = &file.telemetry;
    let believes = match written.traceparent.as_deref() {
        None | Some("hops") => Believes::Hops,
        Some("anyone") => Believes::Anyone,
        Some(_) => {
            let what = "must be \"hops\" or \"anyone\"";
            problems.add("telemetry.traceparent", what);
            Believes::Hops
        }
    };
    let sample = written.sample.unwrap_or(1.0);
    if !(0.0..=1.0).contains(&sample) {
        problems.add("telemetry.sample", "must be a number from 0 to 1");
    }
    if written.sample.is_some() && written.otlp.is_none() {
        problems.add("telemetry.sample", "has no use without telemetry.otlp");
    }
    let otlp = written.otlp.as_deref();
    Telemetry {
        believes,
        otlp: otlp.and_then(|url| collector(url, sample, problems)),
    }
}

fn collector(url: &str, sample: f64, problems: &mut Problems) -> Option<Otlp> {
    const AT: &str = "telemetry.otlp";
    if !cfg!(feature = "otlp") {
        let what =
            "this build tells nobody of spans: build with `--features otlp`, or leave it out";
        problems.add(AT, what);
        return None;
    }
    let uri = url.parse::<Uri>().ok();
    // Spans name calls and sessions; a collector is beside the edge, and passes them on as it should.
    let is_fine = |uri: &Uri| {
        uri.scheme() == Some(&Scheme::HTTP)
            && uri.query().is_none()
            && uri
                .authority()
                .is_some_and(|authority| !authority.as_str().contains('@'))
    };
    if !uri.as_ref().is_some_and(is_fine) {
        let what = "must be the http:// URL of a collector without a query, such as \
                    \"http://127.0.0.1:4318\"";
        problems.add(AT, what);
        return None;
    }
    Some(Otlp {
        url: url.trim_end_matches('/').to_owned(),
        sample,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    fn read(telemetry: &str) -> Result<Telemetry, String> {
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n[telemetry]\n{telemetry}\n\
             [upstreams.voice]\nkind = \"voice-live\"\nresource = \"resource\"\n\
             credential = {{ key = \"k\" }}\n[[routes]]\nname = \"a\"\nkind = \"voice-live\"\n\
             paths = [\"/ws\"]\nadmit = [\"anyone\"]\nmodels = [\"m\"]\nupstreams = [\"voice\"]\n"
        );
        let settings = Settings::read_text("edge.toml", &text);
        settings
            .map(|settings| settings.boot.telemetry)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a40_nobody_is_believed_but_hops_unless_it_is_written_out() {
        assert_eq!(read("").unwrap(), Telemetry::default());
        let anyone = read("traceparent = \"anyone\"").unwrap();
        assert_eq!(anyone.believes, Believes::Anyone);
        for (bad, at) in [
            ("traceparent = \"all\"", "telemetry.traceparent"),
            ("sample = 0.5", "telemetry.sample"),
            ("sampled = 0.5", "sampled"),
        ] {
            let error = read(bad).unwrap_err();
            assert!(error.contains(at), "{bad}: {error}");
        }
    }

    #[cfg(not(feature = "otlp"))]
    #[test]
    fn a40_a_build_without_otlp_says_which_feature_it_lacks() {
        let error = read("otlp = \"http://127.0.0.1:4318\"").unwrap_err();
        assert!(error.contains("telemetry.otlp"), "{error}");
        assert!(error.contains("--features otlp"), "{error}");
    }

    #[cfg(feature = "otlp")]
    #[test]
    fn a40_a_collector_is_a_plain_url() {
        let otlp = |url: &str| read(&format!("otlp = \"{url}\"\nsample = 0.25"));
        let told = otlp("http://127.0.0.1:4318/").unwrap().otlp.unwrap();
        assert_eq!(told.url, "http://127.0.0.1:4318");
        assert!((told.sample - 0.25).abs() < 1e-9);
        for bad in [
            "https://collector",
            "grpc://x:4317",
            "127.0.0.1:4318",
            "http://a:b@c",
            "http://c/?x=1",
            "",
        ] {
            let error = otlp(bad).unwrap_err();
            assert!(error.contains("telemetry.otlp"), "{bad}: {error}");
        }
        assert!(read("otlp = \"http://c\"\nsample = 1.5").is_err());
    }
}
