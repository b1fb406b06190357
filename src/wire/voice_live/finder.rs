//! Finds the audio and the session inside a message that comes in pieces.
//!
//! The finder is shown a message piece by piece, however it is cut, and hands back what is of use
//! as it comes: the text of the string `audio`, the object `session`. Only what stands at depth one
//! counts. What the message is, is known for sure when it is whole: SDKs write `type` first or last,
//! so audio is handed out before it is known whose it is, and the caller waits with its judgement.
//! Once `type` says that nothing is of use, the rest is passed over without a look.
//!
//! It keeps no more than one word. It does not judge JSON as a parser does: what is broken beyond
//! what it looks at, it may take for whole.

/// Messages that say something about the audio of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// `input_audio_buffer.append`, `input_audio.turn.append`.
    Append,
    /// `session.update`: what the client asks for.
    Update,
    /// `session.created`.
    Created,
    /// `session.updated`: what an update came to.
    Updated,
    /// `error`: what the client asked for, an update maybe, was refused.
    Error,
}

impl Message {
    fn of(kind: &[u8]) -> Option<Message> {
        Some(match kind {
            b"input_audio_buffer.append" | b"input_audio.turn.append" => Message::Append,
            b"session.update" => Message::Update,
            b"session.created" => Message::Created,
            b"session.updated" => Message::Updated,
            b"error" => Message::Error,
            _ => return None,
        })
    }
}

/// Something of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// More of the text of `audio`, escapes undone.
    Audio(&'a [u8]),
    /// More of the object `session`, as it stands.
    Session(&'a [u8]),
}

/// The longest word that has to be known: a `type`.
const WORD: usize = 25;

/// Follows one message.
#[derive(Clone, Copy, Debug)]
pub struct Finder {
    at: At,
    /// The key or the `type` at hand; longer ones are none of ours.
    word: [u8; WORD],
    length: usize,
    /// What `type` said.
    message: Option<Message>,
    had_audio: bool,
    had_session: bool,
}

/// Where in the message the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Between words.
    Gap(Gap),
    Text(Text, Escape),
    Scalar,
    Nested(Nested),
    /// Nothing more is of use.
    Over,
}

/// What comes next between words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gap {
    Start,
    /// A key, or the end of an empty object.
    First,
    Key,
    Colon,
    Value,
    /// A comma, or the end of the object.
    Next,
    /// Nothing: the object is whole.
    Whole,
}

/// Which string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Text {
    Key,
    Type,
    Audio,
    Other,
}

/// How much of an escape has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escape {
    No,
    Backslash,
    /// Digits of `\uXXXX`, and their value so far.
    Digits(u8, u16),
}

/// An object or a list below depth one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Nested {
    session: bool,
    depth: u64,
    quoted: bool,
    escaped: bool,
}

/// Every ASCII character, to have a slice of any of them.
static ASCII: [u8; 128] = {
    let mut table = [0; 128];
    let mut at = 0;
    while at < 128 {
        table[at] = at as u8;
        at += 1;
    }
    table
};

/// Stands for a character that no key, no `type` and no base64 has.
static FOREIGN: [u8; 1] = [0xff];

/// How most clients begin an append, those that write `type` first and those that write it last; what of the
/// message is known behind that, and what follows.
const HEADS: [(&[u8], Option<Message>, At); 3] = [
    (
        br#"{"type":"input_audio_buffer.append","#,
        Some(Message::Append),
        At::Gap(Gap::Key),
    ),
    (br#"{"audio": ""#, None, At::Text(Text::Audio, Escape::No)),
    (br#"{"audio":""#, None, At::Text(Text::Audio, Escape::No)),
];

impl Default for Finder {
    fn default() -> Finder {
        Finder {
            at: At::Gap(Gap::Start),
            word: [0; WORD],
            length: 0,
            message: None,
            had_audio: false,
            had_session: false,
        }
    }
}

impl Finder {
    /// Whether nothing of use can follow.
    pub fn is_over(&self) -> bool {
        self.at == At::Over
    }

    /// What the message was, if it is whole and says something about audio.
    pub fn end(&self) -> Option<Message> {
        self.message.filter(|_| self.at == At::Gap(Gap::Whole))
    }

    /// The next thing of use in `input`, which is left with what lies behind it. `None`: all of
    /// `input` has been looked at.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Option<Part<'a>> {
        if self.at == At::Gap(Gap::Start) {
            self.begin(input);
        }
        while let Some(&byte) = input.first() {
            match self.at {
                At::Over => *input = &[],
                At::Text(text, escape) => {
                    if let Some(part) = self.text(text, escape, input) {
                        return Some(part);
                    }
                }
                At::Nested(nested) => {
                    if let Some(part) = self.nested(nested, input) {
                        return Some(part);
                    }
                }
                At::Scalar => {
                    let ends = |b: &u8| matches!(b, b',' | b'}' | b' ' | b'\t' | b'\r' | b'\n');
                    match input.iter().position(ends) {
                        Some(end) => {
                            *input = &input[end..];
                            self.at = At::Gap(Gap::Next);
                        }
                        None => *input = &[],
                    }
                }
                // The brace belongs to what is handed out.
                At::Gap(Gap::Value) if byte == b'{' || byte == b'[' => self.at = self.open(byte),
                At::Gap(gap) => {
                    *input = &input[1..];
                    if !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
                        self.at = self.token(gap, byte);
                    }
                }
            }
        }
        None
    }

    /// Passes over one of the [`HEADS`] at once, if the message begins with one: word by word it costs as much
    /// as to decode the audio behind it.
    fn begin(&mut self, input: &mut &[u8]) {
        for (head, message, at) in HEADS {
            if let Some(rest) = input.strip_prefix(head) {
                *input = rest;
                (self.message, self.at) = (message, at);
                self.had_audio = message.is_none();
                return;
            }
        }
    }

    /// What follows a byte between words.
    fn token(&mut self, gap: Gap, byte: u8) -> At {
        match (gap, byte) {
            (Gap::Start, b'{') => At::Gap(Gap::First),
            (Gap::First | Gap::Key, b'"') => {
                self.length = 0;
                At::Text(Text::Key, Escape::No)
            }
            (Gap::Colon, b':') => At::Gap(Gap::Value),
            (Gap::Value, _) => self.value(byte),
            (Gap::Next, b',') => At::Gap(Gap::Key),
            (Gap::First | Gap::Next, b'}') => At::Gap(Gap::Whole),
            _ => At::Over,
        }
    }

    /// A value begins that is neither an object nor a list.
    fn value(&mut self, byte: u8) -> At {
        let text = match (self.word(), byte) {
            (b"type", b'"') if self.message.is_none() => {
                self.length = 0;
                Text::Type
            }
            // Not a string, or a second one: readers do not agree what that is.
            (b"type", _) => return At::Over,
            (b"audio", b'"') if self.had_audio => return At::Over,
            (b"audio", b'"') => {
                self.had_audio = true;
                if self.may_be(&[Message::Append]) {
                    Text::Audio
                } else {
                    Text::Other
                }
            }
            (_, b'"') => Text::Other,
            _ => return At::Scalar,
        };
        At::Text(text, Escape::No)
    }

    /// An object or a list begins.
    fn open(&mut self, byte: u8) -> At {
        let is_session = self.word() == b"session" && byte == b'{';
        if self.word() == b"type" || (is_session && self.had_session) {
            return At::Over;
        }
        self.had_session |= is_session;
        let told = [Message::Update, Message::Created, Message::Updated];
        At::Nested(Nested {
            session: is_session && self.may_be(&told),
            depth: 0,
            quoted: false,
            escaped: false,
        })
    }

    fn may_be(&self, messages: &[Message]) -> bool {
        self.message.is_none_or(|known| messages.contains(&known))
    }

    /// The next run of a string.
    fn text<'a>(&mut self, text: Text, escape: Escape, input: &mut &'a [u8]) -> Option<Part<'a>> {
        let (run, escape) = unescape(escape, input);
        self.at = escape.map_or(At::Gap(Gap::Next), |escape| At::Text(text, escape));
        match text {
            Text::Audio if !run.is_empty() => return Some(Part::Audio(run)),
            Text::Audio | Text::Other => {}
            Text::Key => {
                self.spell(run);
                if escape.is_none() {
                    self.at = At::Gap(Gap::Colon);
                }
            }
            Text::Type => {
                self.spell(run);
                if escape.is_none() {
                    self.message = Message::of(self.word());
                    if self.message.is_none() {
                        self.at = At::Over;
                    }
                }
            }
        }
        None
    }

    /// Adds to the word at hand.
    fn spell(&mut self, run: &[u8]) {
        let end = self.length + run.len();
        if let Some(room) = self.word.get_mut(self.length..end) {
            room.copy_from_slice(run);
        }
        self.length = end;
    }

    /// The word at hand; empty if it is too long to be one of ours.
    fn word(&self) -> &[u8] {
        self.word.get(..self.length).unwrap_or_default()
    }

    /// The next run of an object or a list.
    fn nested<'a>(&mut self, mut nested: Nested, input: &mut &'a [u8]) -> Option<Part<'a>> {
        let bytes = *input;
        let mut at = 0;
        let mut ended = false;
        while at < bytes.len() && !ended {
            if std::mem::take(&mut nested.escaped) {
                at += 1;
            } else if nested.quoted {
                match memchr::memchr2(b'"', b'\\', &bytes[at..]) {
                    Some(found) => {
                        let closes = bytes[at + found] == b'"';
                        (nested.quoted, nested.escaped) = (!closes, !closes);
                        at += found + 1;
                    }
                    None => at = bytes.len(),
                }
            } else {
                match bytes[at] {
                    b'"' => nested.quoted = true,
                    b'{' | b'[' => nested.depth += 1,
                    b'}' | b']' => {
                        nested.depth -= 1;
                        ended = nested.depth == 0;
                    }
                    _ => {}
                }
                at += 1;
            }
        }
        let (run, rest) = bytes.split_at(at);
        *input = rest;
        self.at = if ended {
            At::Gap(Gap::Next)
        } else {
            At::Nested(nested)
        };
        nested.session.then_some(Part::Session(run))
    }
}

/// The next run of a string, which is empty within an escape, and how much of an escape has passed
/// behind it; `None` behind the closing quote. What is no escape at all is a foreign character.
fn unescape<'a>(escape: Escape, input: &mut &'a [u8]) -> (&'a [u8], Option<Escape>) {
    if escape == Escape::No {
        let end = memchr::memchr2(b'"', b'\\', input).unwrap_or(input.len());
        let (run, rest) = input.split_at(end);
        *input = rest.get(1..).unwrap_or_default();
        return match rest.first() {
            Some(b'"') => (run, None),
            Some(_) => (run, Some(Escape::Backslash)),
            None => (run, Some(Escape::No)),
        };
    }
    let (one, rest) = input.split_at(1);
    *input = rest;
    let digit = char::from(one[0]).to_digit(16);
    match (escape, one[0], digit) {
        (Escape::Backslash, b'u', _) => (&[], Some(Escape::Digits(0, 0))),
        (Escape::Backslash, b'"' | b'\\' | b'/', _) => (one, Some(Escape::No)),
        (Escape::Digits(count @ 0..3, value), _, Some(digit)) => (
            &[],
            Some(Escape::Digits(count + 1, value << 4 | digit as u16)),
        ),
        (Escape::Digits(_, value), _, Some(digit)) => {
            let at = usize::from(value << 4 | digit as u16);
            (ASCII.get(at..=at).unwrap_or(&FOREIGN), Some(Escape::No))
        }
        _ => (&FOREIGN, Some(Escape::No)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a message gives when it comes in these pieces: audio, session, what it was.
    fn find(pieces: &[&[u8]]) -> (Vec<u8>, Vec<u8>, Option<Message>) {
        let (mut finder, mut audio, mut session) = (Finder::default(), Vec::new(), Vec::new());
        for piece in pieces {
            let mut rest = *piece;
            while let Some(part) = finder.next(&mut rest) {
                match part {
                    Part::Audio(text) => audio.extend(text),
                    Part::Session(text) => session.extend(text),
                }
            }
            assert!(rest.is_empty());
        }
        (audio, session, finder.end())
    }

    fn whole(message: &str) -> (String, String, Option<Message>) {
        let (audio, session, end) = find(&[message.as_bytes()]);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(audio), text(session), end)
    }

    /// As the SDKs write it and as they might, each with its audio and session.
    const MESSAGES: &[(&str, &str, &str, Message)] = &[
        (
            r#"{"type":"input_audio_buffer.append","audio":"AbC+/9=="}"#,
            "AbC+/9==",
            "",
            Message::Append,
        ),
        (
            r#"{"audio":"AbC+/9==","type":"input_audio_buffer.append"}"#,
            "AbC+/9==",
            "",
            Message::Append,
        ),
        (
            r#"{"type":"input_audio_buffer.append","event_id":"e1","audio":"AbC+/9=="}"#,
            "AbC+/9==",
            "",
            Message::Append,
        ),
        (
            r#"{"audio": "AbC+/9==", "type": "input_audio_buffer.append"}"#,
            "AbC+/9==",
            "",
            Message::Append,
        ),
        (
            "\t{ \"\\u0061udio\" :\r\n\"\\u002b\\/\\u002F\\u0041A=\",\"n\":-1.5e3 ,\"t\":true,\
             \"type\":\"input_audio\\u002eturn.append\"}\n",
            "+//AA=",
            "",
            Message::Append,
        ),
        (
            r#"{"item":{"audio":"no","type":"x"},"list":["audio","no",{"audio":"no"}],"s":"\"audio\":\"no\"","type":"input_audio_buffer.append","audio":"yes"}"#,
            "yes",
            "",
            Message::Append,
        ),
        (
            r#"{"session":{"a":"}\"]\\","b":[{}]},"type":"session.update"}"#,
            "",
            r#"{"a":"}\"]\\","b":[{}]}"#,
            Message::Update,
        ),
        (
            r#"{"type":"session.updated","audio":"no","session": {} }"#,
            "",
            "{}",
            Message::Updated,
        ),
        (
            r#"{"type":"error","error":{"audio":"no","session":{}},"session":{"no":1}}"#,
            "",
            "",
            Message::Error,
        ),
        (r#"{"type":"session.created"}"#, "", "", Message::Created),
    ];

    #[test]
    fn finds_what_stands_at_depth_one_in_every_key_order_and_however_it_is_cut() {
        let mut cuts = 0;
        for (message, audio, session, kind) in MESSAGES {
            let expected = ((*audio).into(), (*session).into(), Some(*kind));
            assert_eq!(whole(message), expected, "{message}");
            let expected = find(&[message.as_bytes()]);
            let bytes = message.as_bytes();
            for first in 0..=bytes.len() {
                for second in first..=bytes.len() {
                    let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                    assert_eq!(find(&pieces), expected, "{message} at {first} and {second}");
                    cuts += 1;
                }
            }
        }
        assert!(cuts > 10_000);
    }

    #[test]
    fn what_is_not_whole_not_ours_or_said_twice_is_nothing() {
        for message in [
            "",
            "{}",
            "[]",
            "hello",
            r#"["audio","AA"]"#,
            r#"{"type":"input_audio_buffer.append","audio":"AA""#,
            r#"{"type":"input_audio_buffer.append","audio":"AA\"}"#,
            r#"{"type":"input_audio_buffer.append","audio":"AA",}"#,
            r#"{"type":"input_audio_buffer.append","audio":"AA"}{}"#,
            r#"{"type":"input_audio_buffer.append","audio":"AA","audio":"AA"}"#,
            r#"{"type":"input_audio_buffer.append","type":"error","audio":"AA"}"#,
            r#"{"type":{"type":"error"},"audio":"AA"}"#,
            r#"{"session":{},"session":{},"type":"session.update"}"#,
            r#"{"audio":"AA"}"#,
            r#"{"audio":"AA","type":"input_audio_buffer.commit"}"#,
            r#"{"audio":"AA","type":"input_audio_buffer.append.and.then.some"}"#,
            r#"{"audio":"AA","type":7}"#,
            r#"{"audio" "AA"}"#,
        ] {
            assert_eq!(whole(message).2, None, "{message}");
        }
        let other = r#"{"type":"response.audio.delta","audio":"no","session":{}}"#;
        assert_eq!(whole(other), (String::new(), String::new(), None));
        // No escape, and one that stands for no base64: whoever decodes this sees that.
        for escape in [r"\x", r"\n", r"\u00e9", r"\u00zz", r"\ud83d"] {
            let message = format!(r#"{{"audio":"{escape}","type":"input_audio_buffer.append"}}"#);
            assert!(find(&[message.as_bytes()]).0.contains(&0xff), "{escape}");
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_never_depends_on_the_cuts(
            bytes in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..200),
                "[{}\\[\\]\",:\\\\ auditypesonu0]{0,80}".prop_map(String::into_bytes),
            ],
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..9),
            start in proptest::sample::select(vec![
                "", "{\"", "{\"audio\":\"", "{\"session\":{\"", "{\"audio\": \"",
                "{\"type\":\"input_audio_buffer.append\",\"audio\":\"",
            ]),
        ) {
            let bytes = [start.as_bytes(), &bytes].concat();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts {
                pieces.push(&bytes[from..cut]);
                from = cut;
            }
            pieces.push(&bytes[from..]);
            prop_assert_eq!(find(&pieces), find(&[&bytes]));
        }

        #[test]
        fn finds_what_a_real_writer_wrote(audio in "[ -~\u{e9}]{0,40}", other in "\\PC{0,30}") {
            let message = serde_json::json!({
                "a": other, "audio": audio, "session": {"s": other}, "other": [other],
                "type": "input_audio_buffer.append",
            });
            let (found, session, end) = find(&[message.to_string().as_bytes()]);
            prop_assert_eq!(end, Some(Message::Append));
            // Handed out before it was known whose it is.
            prop_assert_eq!(session, serde_json::json!({"s": other}).to_string().into_bytes());
            let plain = audio.is_ascii().then(|| audio.into_bytes());
            prop_assert!(plain.is_none_or(|plain| plain == found));
        }
    }
}
