//! The few words that the edge itself obeys: that somebody wants no more messages which the bot sends
//! of its own accord, or wants them again (C23). Pure.

use crate::config::BotRoute;

/// What somebody wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Nothing that they did not ask for.
    Quiet,
    /// To hear from the bot again.
    Speak,
}

impl Wish {
    /// What a text asks for, if it is one of the route's and nothing else: in any case, with white
    /// space and mentions around it, which channels put before what is said to a bot among others.
    pub(super) fn of(route: &BotRoute, text: &str) -> Option<Wish> {
        let said = without_mentions(text).trim().to_lowercase();
        let is = |words: &[String]| words.contains(&said);
        if is(&route.quiet) {
            return Some(Wish::Quiet);
        }
        is(&route.speak).then_some(Wish::Speak)
    }
}

/// A text without `<at>…</at>`; one that does not end is no mention.
fn without_mentions(text: &str) -> String {
    let mut left = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("<at") {
        let opened = behind.starts_with('>') || behind.starts_with(' ');
        let ended = behind.split_once("</at>").filter(|_| opened);
        let Some((_, behind)) = ended else {
            break;
        };
        left.push_str(before);
        rest = behind;
    }
    left.push_str(rest);
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c23_only_the_very_words_are_a_wish() {
        let route = BotRoute {
            pass: Vec::new(),
            pii: None,
            scope: false,
            assert: None,
            refusal: None,
            quiet: vec!["stop notifications".to_owned(), "détente".to_owned()],
            speak: vec!["start notifications".to_owned()],
        };
        for (text, wish) in [
            ("stop notifications", Some(Wish::Quiet)),
            ("Stop Notifications", Some(Wish::Quiet)),
            (" \n stop notifications\u{a0}\r\n", Some(Wish::Quiet)),
            ("<at>Guardian</at> stop notifications", Some(Wish::Quiet)),
            ("<at id=\"0\">A bot</at>&stop", None),
            (
                "<at id=\"0\">A bot</at>\u{a0}START NOTIFICATIONS",
                Some(Wish::Speak),
            ),
            ("stop notifications <at>a</at><at>b</at>", Some(Wish::Quiet)),
            ("DÉTENTE", Some(Wish::Quiet)),
            ("start notifications", Some(Wish::Speak)),
            ("please stop notifications", None),
            ("stop notifications.", None),
            ("stop  notifications", None),
            ("stop", None),
            ("", None),
            ("<at>stop notifications</at>", None),
            ("<at>stop notifications", None),
            ("<att>x</at>stop notifications", None),
            ("</at>stop notifications", None),
        ] {
            assert_eq!(Wish::of(&route, text), wish, "{text:?}");
        }
    }
}
