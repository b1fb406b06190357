//! What cannot change while the process lives.

use super::{Boot, Settings};

impl Settings {
    /// Keys of what `new` would have otherwise and cannot have while the process lives.
    pub fn needs_restart(&self, new: &Settings) -> Vec<&'static str> {
        // Whoever adds a field must say here what it is called.
        let Boot {
            listen,
            admin,
            workers,
            batch,
            drain_delay,
            grace,
            handover,
            store,
            audit,
            log_pii,
            telemetry,
        } = &self.boot;
        let speaks_tls = |settings: &Settings| settings.live.identity.is_some();
        let differs = [
            ("server.listen", *listen != new.boot.listen),
            ("server.admin", *admin != new.boot.admin),
            ("server.workers", *workers != new.boot.workers),
            ("server.batch", *batch != new.boot.batch),
            ("server.tls", speaks_tls(self) != speaks_tls(new)),
            ("server.drain_delay", *drain_delay != new.boot.drain_delay),
            ("server.grace", *grace != new.boot.grace),
            ("server.handover", *handover != new.boot.handover),
            ("store", *store != new.boot.store),
            ("audit", *audit != new.boot.audit),
            ("log.pii", *log_pii != new.boot.log_pii),
            ("telemetry", *telemetry != new.boot.telemetry),
        ];
        let differs = differs.into_iter().filter(|(_, differs)| *differs);
        differs.map(|(key, _)| key).collect()
    }
}
