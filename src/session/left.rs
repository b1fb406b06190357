//! What is left to do when a session has given everything back.

use super::contact::Telling;
use super::hang_up::HangUp;

/// Nobody waits for it, and neither of the two for the other.
#[derive(Default)]
pub struct Left {
    pub(super) hang_up: Option<HangUp>,
    pub(super) telling: Option<Telling>,
}

impl Left {
    /// Does it. Boxed: hardly any session comes to either, and all would have room for them.
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
