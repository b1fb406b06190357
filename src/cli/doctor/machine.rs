//! What needs nobody else: the settings, the limit of open files, the edge's own certificate.

use std::time::SystemTime;

use rustix::process::{Resource, getrlimit};

use super::reach::{ends_soon, until};
use super::report::{Finding, Group};
use crate::app;
use crate::cli::serve::descriptors_needed;
use crate::config::{Identity, Roots, ServerCertificate, Settings};
use crate::listener::tls;
use crate::upstream::chain::{self, Flaw};

/// What `tonegate check` says.
pub(super) fn settings(settings: &Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    match app::check(settings) {
        Ok(()) => {
            let live = &settings.live;
            let (routes, upstreams) = (live.routes.len(), live.upstreams.len());
            let text = format!("can be used; routes: {routes}, upstreams: {upstreams}");
            findings.push(Finding::ok(Group::Settings, "settings", text));
        }
        Err(error) => {
            let text = format!("They cannot be used: {error}.");
            let fix = "Correct them until `tonegate check` says ok.";
            findings.push(Finding::fail(Group::Settings, "settings", (text, fix)));
        }
    }
    for notice in &settings.notices {
        let told = (
            format!("Note: {notice}."),
            "See what `tonegate check` prints.",
        );
        findings.push(Finding::warn(Group::Settings, "settings", told));
    }
    findings
}

/// Whether as many files may be open as the limits need; the soft limit the edge raises itself.
pub(super) fn descriptors(settings: &Settings) -> Finding {
    let about = "open files";
    let needed = descriptors_needed(settings);
    match getrlimit(Resource::Nofile).maximum {
        Some(allowed) if allowed < needed => {
            let text =
                format!("[limits] need {needed} open files, and a process may have {allowed}.");
            let fix = "Raise the hard limit (LimitNOFILE= of the unit, --ulimit nofile= of the \
                       container), or lower connections and sessions in [limits].";
            Finding::fail(Group::Machine, about, (text, fix))
        }
        Some(allowed) => {
            let text = format!("{allowed} may be open here, the limits need {needed}");
            Finding::ok(Group::Machine, about, text)
        }
        None => {
            let text = format!("no limit here, the limits need {needed}");
            Finding::ok(Group::Machine, about, text)
        }
    }
}

/// The certificate that the edge shows, as a client would judge it that dials `public` and trusts
/// `roots`.
pub(super) fn certificate(
    (identity, named): (Option<&Identity>, &[ServerCertificate]),
    public: Option<&str>,
    roots: &Roots,
) -> Vec<Finding> {
    let about = "server.tls";
    let Some(identity) = identity else {
        let why = "the listener speaks plain text: the certificate is that of what stands in front";
        return vec![Finding::skipped(Group::Certificate, about, why)];
    };
    if let Err(error) = tls::Acceptor::new(identity, named) {
        let text = format!("Certificate and key cannot be used together: {error}.");
        let fix = "Set certificate and key of server.tls to the two files of one certificate, and those of [[server.certificates]], too.";
        return vec![Finding::fail(Group::Certificate, about, (text, fix))];
    }
    // A chain is judged before a name is looked for in it.
    let name = public.unwrap_or("tonegate.invalid");
    let Some(judged) = chain::judge(&identity.chain_pem, name, roots) else {
        let told = ("It holds no certificate.", "Set it to a file in PEM form.");
        return vec![Finding::fail(Group::Certificate, about, told)];
    };
    let good = format!(
        "key and chain of {} fit, {}",
        judged.length,
        until(judged.ends, SystemTime::now())
    );
    let told = match (judged.flaw, public) {
        (None, _) | (Some(Flaw::Name), None) => None,
        (Some(flaw), _) => Some(of_flaw(&flaw, name)),
    };
    let mut findings = vec![match told {
        Some(told) => Finding::fail(Group::Certificate, about, told),
        None if ends_soon(judged.ends) => {
            let fix = "Renew it; a running edge takes a new file without a restart.";
            let text = format!("The certificate ends soon: {good}.");
            Finding::warn(Group::Certificate, about, (text, fix))
        }
        None => Finding::ok(Group::Certificate, about, good),
    }];
    if public.is_none() {
        let why = "give --public-url: then its host is looked for in the certificate";
        findings.push(Finding::skipped(Group::Certificate, "name", why));
    }
    findings
}

fn of_flaw(flaw: &Flaw, name: &str) -> (String, String) {
    let (text, fix) = match flaw {
        Flaw::SelfSigned => (
            "The certificate vouches for itself: ACS and browsers refuse it.".to_owned(),
            "Get one of a public authority, or give --public-roots if all clients are your own.",
        ),
        Flaw::Alone => (
            "The file has no intermediate, and the certificate leads to no root without one."
                .to_owned(),
            "Put the intermediates behind the certificate in that file (fullchain.pem), or give \
             --public-roots if its authority is your own.",
        ),
        Flaw::Issuer => (
            "The chain leads to no authority that clients trust.".to_owned(),
            "Put the right intermediates behind the certificate, or give --public-roots if its \
             authority is your own.",
        ),
        Flaw::Ended(_) => (
            "The certificate has ended.".to_owned(),
            "Renew it; a running edge takes a new file without a restart.",
        ),
        Flaw::NotYet => (
            "The certificate is not good yet.".to_owned(),
            "Set this machine's clock, or wait until the certificate begins.",
        ),
        Flaw::Name => (
            format!("The certificate is not for {name}, the name of the public URL."),
            "Get one for that name, or correct --public-url.",
        ),
        Flaw::Other => (
            "The certificate is not one that clients can trust.".to_owned(),
            "Get another: it may be for another purpose, or malformed.",
        ),
    };
    (text, fix.to_owned())
}
