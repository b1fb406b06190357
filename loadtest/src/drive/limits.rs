//! Thresholds that several modes have: what fails a run beyond a lost or a changed byte.

use clap::Args;

use crate::report::{Report, Times};

/// What messages may take and cost.
#[derive(Args, Clone)]
pub struct Messages {
    /// The run fails if one time in a hundred was longer, in microseconds
    #[arg(long, value_name = "US", help_heading = "Thresholds")]
    max_p99_us: Option<f64>,
    /// The run fails if a relayed message cost the watched processes more; an echo is two
    #[arg(
        long,
        value_name = "US",
        requires = "pids",
        help_heading = "Thresholds"
    )]
    max_cpu_us_per_message: Option<f64>,
}

impl Messages {
    pub fn judge(&self, report: &mut Report, times: &Times, cpu: f64) {
        report.at_most(
            "round trip, p99 in us",
            times.p99(),
            "max-p99-us",
            self.max_p99_us,
        );
        report.at_most(
            "CPU per relayed message in us",
            cpu,
            "max-cpu-us-per-message",
            self.max_cpu_us_per_message,
        );
    }
}

/// How late the callers themselves may be before a run says more of them than of what they called.
#[derive(Args, Clone)]
pub struct Lateness {
    /// The run fails if more of its own messages in a thousand left late: it then measured itself
    #[arg(
        long,
        value_name = "N",
        default_value_t = 10,
        help_heading = "Thresholds"
    )]
    max_late_per_mille: u64,
    /// Lateness is told, and fails nothing
    #[arg(long, help_heading = "Thresholds")]
    pub allow_late: bool,
}

impl Lateness {
    pub fn judge(&self, report: &mut Report, late: u64, of: u64) {
        let most = self.max_late_per_mille;
        report.demand(
            self.allow_late || late * 1000 <= of * most,
            format!(
                "the callers themselves were late: {late} of {of}, more than --max-late-per-mille {most}"
            ),
        );
    }
}
