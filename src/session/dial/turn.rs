//! One turn, from its asking to what became of it, whoever is dropped in between.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::runtime::Handle;

use super::pacer::Pacer;
use crate::error::Reason;
use crate::store::{self, Became};
use crate::upstream::Failure;

/// For so long nobody connects to an upstream that says 429 and not for how long: its count is not
/// ours, and until it is one dial in ten seconds is wasted at the most.
const SHUT: Duration = Duration::from_secs(10);
/// Longer than that nobody is kept away by one header.
const SHUT_MAX: Duration = Duration::from_secs(3600);

/// How far a turn has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    /// It is nobody's.
    Free,
    /// The store was asked, and may have given it.
    Asked,
    Taken,
    /// The upstream may be counting by now.
    Dialling,
}

/// Leave to connect once. What becomes of it is told in the background: nobody waits for that, and
/// there are no more of these than there are turns.
pub(super) struct Turn {
    id: store::Turn,
    pacer: Arc<Pacer>,
    course: Course,
}

impl Turn {
    pub(super) fn new(pacer: &Arc<Pacer>) -> Turn {
        Turn {
            id: store::Turn::random(),
            pacer: pacer.clone(),
            course: Course::Free,
        }
    }

    pub(super) fn id(&self) -> store::Turn {
        self.id
    }

    pub(super) fn asked(&mut self) {
        self.course = Course::Asked;
    }

    pub(super) fn taken(&mut self) {
        self.course = Course::Taken;
    }

    pub(super) fn refused(&mut self) {
        self.course = Course::Free;
    }

    pub(super) fn dialling(&mut self) {
        self.course = Course::Dialling;
    }

    /// One more, for whoever has this one and connects again.
    pub(super) async fn another(&self) -> Option<Turn> {
        self.pacer.another().await
    }

    /// The dial has come to this.
    pub(super) fn dialled(mut self, failure: Option<&Failure>) {
        let counts = self.pacer.window();
        let became = match failure {
            // No request went out.
            Some(failure) if is_unasked(failure) => Became::Nothing,
            Some(failure) if failure.status == Some(StatusCode::TOO_MANY_REQUESTS) => {
                self.pacer.throttled();
                let shut = failure.retry_after.unwrap_or(SHUT);
                let shut = shut.clamp(Duration::from_secs(1), SHUT_MAX);
                Became::Throttled { counts, shut }
            }
            Some(_) | None => Became::Counted(counts),
        };
        self.tell(became);
    }

    fn tell(&mut self, became: Became) {
        self.course = Course::Free;
        let (pacer, id) = (self.pacer.clone(), self.id);
        pacer.note(id, became);
        // At the end of a runtime there is nobody to tell it any more: it counts until its own end.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move { pacer.tell_apart(id, became).await });
        }
    }
}

/// Whether nothing was asked of the upstream, for certain.
fn is_unasked(failure: &Failure) -> bool {
    failure.status.is_none() && failure.reason == Reason::UpstreamUnreachable
}

impl Drop for Turn {
    fn drop(&mut self) {
        match self.course {
            Course::Free => {}
            Course::Asked | Course::Taken => self.tell(Became::Nothing),
            Course::Dialling => self.tell(Became::Counted(self.pacer.window())),
        }
    }
}
