//! A23: what is dialled, and which codes come out of it.

use super::*;

/// What comes of `keys`: codes that are asked for and `x` for a failed attempt that is not. `_` is a
/// second, `~` a pause that ends an entry.
fn entries(mut settings: config::Gate, keys: &str) -> Vec<String> {
    settings.attempts = 100;
    settings.deadline = Duration::from_secs(1000);
    let mut gate = Gate::new(&settings);
    let mut at = ms(100);
    assert_eq!(wants(&mut gate, at), ["prompt"]);
    let mut entries = Vec::new();
    for key in keys.chars() {
        match key {
            '_' => at += Duration::from_secs(1),
            '~' => at += BETWEEN,
            key => {
                at += PACE;
                assert_eq!(gate.press(Feed::Message, digit(key), at), Press::New);
            }
        }
        for want in wants(&mut gate, at) {
            if let Some(tried) = want.strip_prefix("try ") {
                let (number, code) = tried.split_once(' ').expect("number and code");
                entries.push(code.to_owned());
                gate.answer(number.parse().expect("a number"), Answer::Wrong, at);
                assert_eq!(wants(&mut gate, at), ["retry"]);
            } else {
                assert_eq!(want, "retry");
                entries.push("x".to_owned());
            }
        }
    }
    assert_eq!(gate.failed() as usize, entries.len());
    entries
}

#[test]
fn a23_a_code_of_fixed_length() {
    let table: &[(&str, &[&str])] = &[
        ("823", &["823"]),
        ("8_2_3", &["823"]),
        ("823#", &["823"]),
        ("823#824", &["823", "824"]),
        ("823824", &["823", "824"]),
        ("333333", &["333", "333"]),
        ("000", &["000"]),
        // `*` clears, wherever.
        ("82*823", &["823"]),
        ("*823", &["823"]),
        ("8***823", &["823"]),
        ("8A*823", &["823"]),
        // Nothing dialled is no attempt.
        ("#", &[]),
        ("*#*##", &[]),
        ("##823", &["823"]),
        ("82*#", &[]),
        ("~~", &[]),
        // Too few.
        ("82#", &["x"]),
        ("82~", &["x"]),
        ("82~823", &["x", "823"]),
        ("8#2#3#", &["x", "x", "x"]),
        // Letters take a place and spoil the entry.
        ("8A3", &["x"]),
        ("82A*823", &["x", "823"]),
        ("8A#", &["x"]),
        ("D~", &["x"]),
        ("ABC823", &["x", "823"]),
        // Not over yet.
        ("82", &[]),
        ("82_____", &["x"]),
        ("82____", &[]),
    ];
    for (keys, expected) in table {
        assert_eq!(entries(pstn(), keys), *expected, "{keys}");
    }
}

#[test]
fn a23_a_code_up_to_a_length() {
    let table: &[(&str, &[&str])] = &[
        ("823#", &["823"]),
        ("8#", &["8"]),
        ("8234#", &["8234"]),
        ("823~", &["823"]),
        ("8234~", &["8234"]),
        ("823#824#", &["823", "824"]),
        ("823~824~", &["823", "824"]),
        ("8***23#", &["23"]),
        // Too long, and nothing of it passes for the next entry.
        ("82345#", &["x"]),
        ("82345~", &["x"]),
        ("823456789012345678901234567890#", &["x"]),
        ("82345*823#", &["823"]),
        ("8D#", &["x"]),
        ("#*#", &[]),
        ("8*#", &[]),
        ("8234", &[]),
    ];
    let up_to = settings(Dialled::SipAlias, CodeLength::UpTo(4));
    for (keys, expected) in table {
        assert_eq!(entries(up_to.clone(), keys), *expected, "{keys}");
    }
}

#[test]
fn a12_a23_the_number_is_dialled_too() {
    let number = "15551234567";
    let table: &[(&str, &[&str])] = &[
        ("N#823", &["+15551234567823"]),
        ("N#823#", &["+15551234567823"]),
        ("N##823", &["+15551234567823"]),
        ("#N#823", &["+15551234567823"]),
        ("N#823N#824", &["+15551234567823", "+15551234567824"]),
        // `*` clears the number too.
        ("N#82*823", &[]),
        ("N#82*N#823", &["+15551234567823"]),
        ("1*N#823", &["+15551234567823"]),
        // No number, which shows at the end of the code.
        ("05551234#823", &["x"]),
        ("1#823", &["x"]),
        ("1234567890123456#823", &["x"]),
        ("1234567890123456789#823N#824", &["x", "+15551234567824"]),
        ("N#8A3", &["x"]),
        ("1A#823", &["x"]),
        // Only half.
        ("N~", &["x"]),
        ("N#~", &["x"]),
        ("N#82~", &["x"]),
        ("N#82#", &["x"]),
        ("N#", &[]),
        ("123456789012345#823", &["+123456789012345823"]),
        ("49#823", &["+49823"]),
    ];
    let dialled = Dialled::Pstn { ani: Ani::Digits };
    for (keys, expected) in table {
        let keys = keys.replace('N', number);
        let fixed = settings(dialled, CodeLength::Fixed(3));
        assert_eq!(entries(fixed, &keys), *expected, "{keys}");
    }
    let open = || settings(dialled, CodeLength::UpTo(3));
    assert_eq!(entries(open(), "49#82#"), ["+4982"]);
    assert_eq!(entries(open(), "49#82~"), ["+4982"]);
    assert_eq!(entries(open(), "49#8234#"), ["x"]);
    assert_eq!(entries(open(), "49#~"), ["x"]);
}

#[test]
fn a13_the_alias_of_a_sip_call() {
    let alias = settings(Dialled::SipAlias, CodeLength::Fixed(8));
    assert_eq!(entries(alias.clone(), "12345678"), ["12345678"]);
    assert_eq!(entries(alias, "1234567#"), ["x"]);
    // The longest that the settings can say.
    let long = "7".repeat(255);
    let alias = settings(Dialled::SipAlias, CodeLength::Fixed(255));
    assert_eq!(entries(alias, &long), [long]);
}

#[test]
fn an_empty_length_of_the_settings_opens_nothing() {
    let none = settings(Dialled::SipAlias, CodeLength::Fixed(0));
    assert_eq!(entries(none, "##"), Vec::<String>::new());
    let none = settings(Dialled::SipAlias, CodeLength::UpTo(0));
    assert_eq!(entries(none, "12#"), ["x"]);
}
