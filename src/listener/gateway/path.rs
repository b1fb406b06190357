//! Whether a path may go on to an application: only if everybody reads it alike.
//!
//! Routes are found by a path's letters; an application that decodes it, folds its case or walks
//! up its dots could take it for one of another route, with another admission. What can be read in
//! two ways is refused; nothing is mended.

use crate::listener::paths::trim;

/// Why a path may not go on.
pub(super) fn judge(path: &str) -> Result<(), &'static str> {
    if path.contains('\\') {
        return Err("the path holds a backslash");
    }
    let mut segments = path.split('/');
    // What stands before the first slash.
    segments.next();
    let mut segments = segments.peekable();
    while let Some(segment) = segments.next() {
        if segment.is_empty() && segments.peek().is_some() {
            return Err("the path holds an empty segment");
        }
        // Some servers cut parameters off before they walk, and others dots and blanks.
        let name = segment.split(';').next().unwrap_or_default();
        if name.is_empty() && !segment.is_empty() {
            return Err("the path holds an empty segment");
        }
        if !name.is_empty() && trim(name).is_empty() {
            return Err("the path walks");
        }
    }
    let bytes = path.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] != b'%' {
            at += 1;
            continue;
        }
        let digits = bytes.get(at + 1..at + 3);
        let value = digits
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match value {
            None => return Err("the path holds a percent sign that encodes nothing"),
            Some(0..=0x1f | 0x7f) => return Err("the path encodes a control character"),
            Some(b'/' | b'\\' | b'.' | b'%' | b';') => {
                return Err("the path encodes what paths are made of");
            }
            // RFC 3986, 2.3: never to be encoded, so that it has one spelling.
            Some(b'-' | b'_' | b'~') => return Err("the path encodes what needs no encoding"),
            Some(plain) if plain.is_ascii_alphanumeric() => {
                return Err("the path encodes what needs no encoding");
            }
            Some(_) => at += 3,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c14_a_path_has_one_reading() {
        for good in [
            "/",
            "/api/chat",
            "/api/chat/",
            "/a/..b/c.d",
            "/caf%C3%A9/x%20y",
            "/v1/items;size=2",
            "/%E2%82%AC",
        ] {
            assert_eq!(judge(good), Ok(()), "{good}");
        }
        for bad in [
            "//",
            "/api//chat",
            "/api/./chat",
            "/api/../admin",
            "/api/..",
            "/api/..;/admin",
            "/api/.;a=b/admin",
            "/api/.../admin",
            "/api/..%20/admin",
            "/api/..%20.;x/admin",
            "/api/%20/admin",
            "/api/;x/admin",
            "/api/;x",
            "/api/%2e%2e/admin",
            "/api/%2E./admin",
            "/api%2fadmin",
            "/api%5Cadmin",
            "/api\\admin",
            "/api/%61dmin",
            "/api/%252e",
            "/api/%00",
            "/api/%0d%0a",
            "/api/%7f",
            "/api/%",
            "/api/%4",
            "/api/%zz",
            "/api/a%3bb",
            "/api/%2d",
        ] {
            assert!(judge(bad).is_err(), "{bad}");
        }
    }
}
