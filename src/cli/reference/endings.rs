//! The table of endings.

use super::cell;
use crate::error::Reason;

pub(super) fn text() -> String {
    let mut text = "# Endings\n\n\
        Every refusal and every end of a session has one of these words: in the log, in the audit, in\n\
        metrics, in problem documents (`application/problem+json`) and in the text of close frames. Before the\n\
        `101` it is a status, after it a close code. The README says [when](../../README.md#endings) each comes.\n\n\
        | reason | status | close | what it says | later |\n\
        | --- | --- | --- | --- | --- |\n"
        .to_owned();
    let code = |code: Option<u16>| code.map_or("–".to_owned(), |code| code.to_string());
    for reason in Reason::ALL {
        let row = reason.row();
        let later = if reason.is_later() { "yes" } else { "no" };
        text += &format!(
            "| `{}` | {} | {} | {} | {later} |\n",
            row.word,
            code(row.status),
            code(row.close),
            cell(row.title)
        );
    }
    text += "\n*Later*: the same request may succeed after a while; the status comes with `Retry-After`. Of the close\n\
        codes 1001, 1011 and 1013 make the public clients of Voice Live try again, 1008 and 1009 do not. Codes\n\
        1000–1003, 1007–1014 and 3000–4999 of either peer cross as they are.";
    text
}
