//! What is left to do when a session has given everything back.

use super::contact::Telling;
use super::hang_up::HangUp;

/// Nobody waits for it, and neither of the two for the other. Hardly any session comes to either.
#[derive(Default)]
pub struct Left {
    pub(super) hang_up: Option<Box<HangUp>>,
    pub(super) telling: Option<Box<Telling>>,
}

impl Left {
    /// Whether there is anything.
    pub fn is_anything(&self) -> bool {
        self.hang_up.is_some() || self.telling.is_some()
    }

    /// Does it.
    pub async fn run(self) {
        let hang_up = async {
            if let Some(hang_up) = self.hang_up {
                Box::pin(hang_up.run()).await;
            }
        };
        let telling = async {
            if let Some(telling) = self.telling {
                Box::pin(telling.run()).await;
            }
        };
        tokio::join!(hang_up, telling);
    }
}
