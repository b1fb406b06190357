//! Numbers by which states know people: those that have check digits, or a form that little else has.
//!
//! Not here: numbers that are digits only and check nothing.

use super::Kinds;
use super::scan::{Found, Sign, Word, is_among_numbers, is_joined_after, is_joined_before};
use crate::config::pii::PiiKind;

/// How a number is written.
struct Form {
    kind: PiiKind,
    /// Lengths of the words that it is written in.
    groups: &'static [&'static [usize]],
    /// What may stand between them.
    signs: &'static [Sign],
    /// Judges its characters, in upper case.
    check: fn(&[u8]) -> bool,
}

/// Characters of the longest one.
const LONGEST: usize = 16;

const FORMS: [Form; 9] = [
    Form {
        kind: PiiKind::Ssn,
        groups: &[&[3, 2, 4]],
        signs: &[Sign::Dash, Sign::Blank],
        check: is_ssn,
    },
    Form {
        kind: PiiKind::Nino,
        groups: &[&[9], &[2, 2, 2, 2, 1], &[2, 6, 1]],
        signs: &[Sign::Blank, Sign::Dash],
        check: is_nino,
    },
    Form {
        kind: PiiKind::SteuerId,
        groups: &[&[11], &[2, 3, 3, 3]],
        signs: &[Sign::Blank],
        check: is_steuer_id,
    },
    Form {
        kind: PiiKind::Nir,
        groups: &[&[15], &[13, 2], &[1, 2, 2, 2, 3, 3, 2]],
        signs: &[Sign::Blank, Sign::Dash],
        check: is_nir,
    },
    Form {
        kind: PiiKind::Dni,
        groups: &[&[9], &[8, 1]],
        signs: &[Sign::Dash, Sign::Blank],
        check: is_dni,
    },
    Form {
        kind: PiiKind::Dni,
        groups: &[&[1, 7, 1], &[2, 3, 3, 1]],
        signs: &[Sign::Dash, Sign::Dot],
        check: is_dni,
    },
    Form {
        kind: PiiKind::CodiceFiscale,
        groups: &[&[16], &[3, 3, 5, 5]],
        signs: &[Sign::Blank],
        check: is_codice_fiscale,
    },
    Form {
        kind: PiiKind::Aadhaar,
        groups: &[&[12], &[4, 4, 4]],
        signs: &[Sign::Blank, Sign::Dash],
        check: is_aadhaar,
    },
    Form {
        kind: PiiKind::Cpf,
        groups: &[&[11], &[3, 3, 3, 2]],
        signs: &[Sign::Dot, Sign::Dash],
        check: is_cpf,
    },
];

pub(super) fn find(cells: &[u8], words: &[Word], kinds: Kinds) -> Option<Found> {
    let length = words.first()?.len();
    let mut found: Option<Found> = None;
    for form in FORMS.iter().filter(|form| kinds.has(form.kind)) {
        for groups in form.groups.iter().filter(|groups| groups[0] == length) {
            let one = words
                .get(..groups.len())
                .and_then(|words| fit(cells, words, form, groups));
            if let Some(one) = one
                && found.is_none_or(|found| found.to < one.to)
            {
                found = Some(one);
            }
        }
    }
    found
}

fn fit(cells: &[u8], words: &[Word], form: &Form, groups: &[usize]) -> Option<Found> {
    let fits = |(word, &length): (&Word, &usize)| word.len() == length;
    if !words.iter().zip(groups).all(fits) || !parted(form, words) {
        return None;
    }
    let (from, to) = (words[0].from, words[words.len() - 1].to);
    let blanks = words.len() > 1 && words[0].gap.sign == Sign::Blank;
    let joined = is_joined_before(cells, from)
        || is_joined_after(cells, to)
        || blanks && is_among_numbers(cells, from, to);
    let mut text = [0; LONGEST];
    let mut length = 0;
    for word in words {
        let place = text.get_mut(length..length + word.len())?;
        place.copy_from_slice(&cells[word.from..word.to]);
        length += word.len();
    }
    text.make_ascii_uppercase();
    (!joined && (form.check)(&text[..length])).then_some(Found {
        from,
        to,
        kind: form.kind,
    })
}

/// Whether the signs between the words are those of the form.
fn parted(form: &Form, words: &[Word]) -> bool {
    let gaps = &words[..words.len() - 1];
    let mixed = form.signs.contains(&Sign::Dot);
    gaps.iter().all(|word| {
        let gap = word.gap;
        let fits = form.signs.contains(&gap.sign) && (gap.tight || gap.sign == Sign::Blank);
        fits && (mixed || gap.sign == words[0].gap.sign)
    })
}

fn value(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0u64, |value, digit| {
        digit
            .is_ascii_digit()
            .then(|| value * 10 + u64::from(digit - b'0'))
    })
}

/// Social Security Administration: no area 000, 666 or above 899, no group 00, no serial 0000.
fn is_ssn(text: &[u8]) -> bool {
    let (area, rest) = text.split_at(3);
    let (group, serial) = rest.split_at(2);
    let area = value(area).is_some_and(|area| area != 0 && area != 666 && area < 900);
    let some = |part| value(part).is_some_and(|part| part != 0);
    area && some(group) && some(serial)
}

/// HMRC, NIM39110: prefixes that are not given out, six digits, A to D.
fn is_nino(text: &[u8]) -> bool {
    let [first, second, digits @ .., suffix] = text else {
        return false;
    };
    let of_prefix = |b: &u8| b.is_ascii_uppercase() && !b"DFIQUV".contains(b);
    let prefix = [*first, *second];
    let given = ![*b"BG", *b"GB", *b"KN", *b"NK", *b"NT", *b"TN", *b"ZZ"].contains(&prefix);
    of_prefix(first)
        && of_prefix(second)
        && *second != b'O'
        && given
        && digits.iter().all(u8::is_ascii_digit)
        && (b'A'..=b'D').contains(suffix)
}

/// Of the first ten digits one stands twice or three times, the others once at the most; the last one
/// checks (ISO/IEC 7064, MOD 11,10). §139b AO, BZSt.
fn is_steuer_id(text: &[u8]) -> bool {
    if value(text).is_none() || text[0] == b'0' {
        return false;
    }
    let mut counts = [0; 10];
    for digit in &text[..10] {
        counts[usize::from(digit - b'0')] += 1;
    }
    let several: Vec<_> = counts.iter().filter(|&&count| count > 1).collect();
    if !matches!(several[..], [2 | 3]) {
        return false;
    }
    let mut product = 10;
    for digit in &text[..10] {
        let sum = (u32::from(digit - b'0') + product) % 10;
        product = if sum == 0 { 10 } else { sum } * 2 % 11;
    }
    (11 - product) % 10 == u32::from(text[10] - b'0')
}

/// Sex, year, month, department, commune, order, and a key of 97 less the number modulo 97; Corsica's
/// 2A and 2B count as 19 and 18 (INSEE).
fn is_nir(text: &[u8]) -> bool {
    let mut digits = [0; 15];
    digits.copy_from_slice(text);
    match &text[5..7] {
        b"2A" => digits[5..7].copy_from_slice(b"19"),
        b"2B" => digits[5..7].copy_from_slice(b"18"),
        _ => {}
    }
    let (Some(number), Some(key)) = (value(&digits[..13]), value(&digits[13..])) else {
        return false;
    };
    let month = value(&digits[3..5]);
    let month = month.is_some_and(|month| matches!(month, 1..=12 | 20..=42 | 50..=99));
    let sex = matches!(text[0], b'1'..=b'4' | b'7' | b'8');
    let department = &digits[5..7] != b"00";
    sex && month && department && key == 97 - number % 97
}

/// Eight digits, or X, Y or Z (0, 1, 2) and seven, and the letter of their rest modulo 23.
fn is_dni(text: &[u8]) -> bool {
    const LETTERS: &[u8; 23] = b"TRWAGMYFPDXBNJZSQVHLCKE";
    let mut digits = [0; 9];
    digits.copy_from_slice(text);
    if let b'X'..=b'Z' = digits[0] {
        digits[0] = digits[0] - b'X' + b'0';
    }
    let number = value(&digits[..8]);
    number.is_some_and(|number| text[8] == LETTERS[(number % 23) as usize])
}

/// D.M. 23/12/1976: letters and digits in their places, letters for digits where two people would
/// have one code, and a check letter.
fn is_codice_fiscale(text: &[u8]) -> bool {
    /// What digits and letters count at odd places.
    const ODD: [u32; 26] = [
        1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24,
        23,
    ];
    const FOR_DIGITS: &[u8] = b"LMNPQRSTUV";
    let fits = text.iter().enumerate().all(|(at, b)| match at {
        0..=5 | 11 | 15 => b.is_ascii_uppercase(),
        8 => b"ABCDEHLMPRST".contains(b),
        _ => b.is_ascii_digit() || FOR_DIGITS.contains(b),
    });
    if !fits {
        return false;
    }
    let sum = text[..15].iter().enumerate().map(|(at, b)| {
        let index = if b.is_ascii_digit() {
            b - b'0'
        } else {
            b - b'A'
        };
        // The first place is 1, which is odd.
        if at % 2 == 0 {
            ODD[usize::from(index)]
        } else {
            u32::from(index)
        }
    });
    sum.sum::<u32>() % 26 == u32::from(text[15] - b'A')
}

/// Twelve digits, the first one 2 to 9, the last one Verhoeff's (UIDAI).
fn is_aadhaar(text: &[u8]) -> bool {
    /// Multiplication in the dihedral group of ten elements: turns 0 to 4, turned over 5 to 9.
    fn times(a: u8, b: u8) -> u8 {
        match (a < 5, b < 5) {
            (true, true) => (a + b) % 5,
            (true, false) => 5 + (a + b - 5) % 5,
            (false, true) => 5 + (a - 5 + 5 - b) % 5,
            (false, false) => (a + 5 - b) % 5,
        }
    }
    /// Verhoeff's permutation, which each place applies once more.
    const TURN: [u8; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];
    if value(text).is_none() || text[0] < b'2' {
        return false;
    }
    let mut check = 0;
    for (at, digit) in text.iter().rev().enumerate() {
        let mut digit = digit - b'0';
        for _ in 0..at % 8 {
            digit = TURN[usize::from(digit)];
        }
        check = times(check, digit);
    }
    check == 0
}

/// Nine digits and two that check, each modulo 11 (Receita Federal); not eleven times the same.
fn is_cpf(text: &[u8]) -> bool {
    if value(text).is_none() || text.iter().all(|digit| *digit == text[0]) {
        return false;
    }
    let checks = |count: usize| {
        let weights = (2..=count as u32 + 1).rev();
        let sum = text
            .iter()
            .zip(weights)
            .map(|(digit, weight)| u32::from(digit - b'0') * weight);
        sum.sum::<u32>() * 10 % 11 % 10 == u32::from(text[count] - b'0')
    };
    checks(9) && checks(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that differ from a good number in one digit.
    fn neighbours(good: &str) -> Vec<String> {
        let mut out = Vec::new();
        for (at, digit) in good.char_indices().filter(|(_, c)| c.is_ascii_digit()) {
            for other in '0'..='9' {
                if other != digit {
                    let mut text = good.to_owned();
                    text.replace_range(at..at + 1, &other.to_string());
                    out.push(text);
                }
            }
        }
        out
    }

    #[test]
    fn c21_check_digits_see_every_wrong_digit() {
        type Check = fn(&[u8]) -> bool;
        let checks: [(Check, &[&str]); 6] = [
            (is_steuer_id, &["86095742719", "47036892816", "65929970489"]),
            (
                is_nir,
                &["255081416802538", "180122A00100143", "184127645108946"],
            ),
            (
                is_dni,
                &["12345678Z", "00000000T", "X1234567L", "Y0000000Z"],
            ),
            (
                is_codice_fiscale,
                &["RSSMRA85T10A562S", "MRTMTT25D09F205Z", "VRNGNY07D68C351V"],
            ),
            (is_aadhaar, &["234123412346", "999999990019"]),
            (is_cpf, &["52998224725", "11144477735"]),
        ];
        for (check, good) in checks {
            for good in good {
                assert!(check(good.as_bytes()), "{good}");
                let wrong = neighbours(good);
                assert!(wrong.len() >= 63);
                for wrong in wrong {
                    assert!(!check(wrong.as_bytes()), "{good} {wrong}");
                }
            }
        }
    }
}
