//! A published set of keys, which is somebody else's document: only keys count that may verify.

use serde_json::Value;
use tonegate::admission::usable_keys;

pub fn run(data: &[u8]) {
    let usable = usable_keys(data);
    let document: Option<Value> = serde_json::from_slice(data).ok();
    let keys = document
        .as_ref()
        .and_then(|document| document["keys"].as_array());
    let most = keys.map_or(0, |keys| keys.iter().filter(|key| may_verify(key)).count());
    assert!(usable <= most, "{usable} of {most}");
    assert!(usable <= 500, "more than are taken of one document");
}

/// What every key that counts says of itself.
fn may_verify(key: &Value) -> bool {
    let text = |name: &str| key[name].as_str();
    let named = text("kid").is_some_and(|kid| !kid.is_empty() && kid.len() <= 256);
    let signs = key["use"].is_null() || text("use") == Some("sig");
    let of_kind = match text("kty") {
        // 2048 bits are 342 letters, but for leading zeros, which are none of the number.
        Some("RSA") => text("n").is_some_and(|n| n.len() >= 342) && text("e").is_some(),
        Some("EC") => text("x").is_some() && text("y").is_some(),
        Some("OKP") => text("x").is_some(),
        _ => false,
    };
    named && signs && of_kind
}
