//! The one form of a date in requests: `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, IMF-fixdate).
//!
//! Written by hand and strict, so that a date that only a lenient reader takes is seen.

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// Seconds since 1970, or nothing where the text has another form or there is no such day.
pub(super) fn read(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    if bytes.len() != 29 || !text.is_ascii() {
        return None;
    }
    let fixed = [
        (3, b','),
        (4, b' '),
        (7, b' '),
        (11, b' '),
        (16, b' '),
        (19, b':'),
        (22, b':'),
    ];
    if fixed.iter().any(|&(at, byte)| bytes[at] != byte) || &text[25..] != " GMT" {
        return None;
    }
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = &text[from..to];
        let sound = digits.bytes().all(|byte| byte.is_ascii_digit());
        sound.then(|| digits.parse().ok()).flatten()
    };
    let month = MONTHS.iter().position(|&name| name == &text[8..11])? as i64 + 1;
    let (year, day) = (number(12, 16)?, number(5, 7)?);
    let (hour, minute, second) = (number(17, 19)?, number(20, 22)?, number(23, 25)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if !(1..=length).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = days_before(year, month) + day - 1;
    let name = DAYS[days.rem_euclid(7) as usize];
    (name == &text[..3]).then_some(days * 86_400 + hour * 3_600 + minute * 60 + second)
}

/// Days from 1970-01-01 to the first of a month.
fn days_before(year: i64, month: i64) -> i64 {
    let to_march = i64::from(month <= 2);
    let (year, month) = (year - to_march, month + 12 * to_march - 3);
    // 719,468 days lie between 0000-03-01 and 1970-01-01.
    year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 - 719_468
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn dates_are_read_in_one_form_only() {
        for (text, seconds) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
            ("Tue, 29 Feb 2000 23:59:59 GMT", 951_868_799),
            ("Thu, 26 Nov 2026 04:31:18 GMT", 1_795_667_478),
        ] {
            assert_eq!(read(text), Some(seconds), "{text}");
        }
        for text in [
            "",
            "Mon, 06 Nov 1994 08:49:37 GMT",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 08:49:37 +000",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun, 31 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 06 Nov 1994 +8:49:37 GMT",
            "1994-11-06T08:49:37Z         ",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
