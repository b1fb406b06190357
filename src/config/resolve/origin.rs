//! Web pages whose scripts may connect.

use super::route::At;

/// Origins as RFC 6454, section 6.2 serialises them, which is how browsers send them. Upper case,
/// a default port and a slash at the end are forgiven in the settings; in a request they are not.
pub(super) fn origins(at: &mut At<'_>) -> Vec<String> {
    let mut origins = Vec::new();
    for origin in &at.written.origins {
        match serialise(origin) {
            Some(origin) => origins.push(origin),
            None => at.add(
                "origins",
                format!(
                    "{origin:?} must be an origin such as \"https://app.example.com\", without \
                     a path"
                ),
            ),
        }
    }
    origins
}

fn serialise(origin: &str) -> Option<String> {
    let origin = origin
        .strip_suffix('/')
        .unwrap_or(origin)
        .to_ascii_lowercase();
    let (scheme, rest) = origin.split_once("://")?;
    let default = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return None,
    };
    let rest = rest.strip_suffix(default).unwrap_or(rest);
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.:[]".contains(&b);
    let fits = !rest.is_empty() && rest.bytes().all(plain);
    fits.then(|| format!("{scheme}://{rest}"))
}
