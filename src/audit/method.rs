//! Methods of requests.

/// The word of a method; one that no route takes is `OTHER`.
pub fn method(method: &http::Method) -> &'static str {
    const WORDS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    let known = WORDS.iter().find(|word| method == **word);
    known.copied().unwrap_or("OTHER")
}
