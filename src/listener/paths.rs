//! Which route a path belongs to: whole paths, and those of calls, whose last segment is the
//! call's id. The settings let no path be of two routes, so the order of looking does not matter.

use std::collections::HashMap;

use crate::config::CALL;
use crate::ids::CallId;

/// Indices of routes by path.
#[derive(Default)]
pub struct Paths {
    whole: HashMap<String, usize>,
    /// By what stands before the last slash.
    calls: HashMap<String, usize>,
}

impl Paths {
    /// `path` leads to `route` from now on; with `/{call}` at its end, all paths that have the id of
    /// a call there.
    pub fn add(&mut self, path: &str, route: usize) {
        match path.strip_suffix(CALL) {
            Some(folder) => self.calls.insert(folder.to_owned(), route),
            None => self.whole.insert(path.to_owned(), route),
        };
    }

    /// So do the paths below `path` that end in an id of that grammar.
    pub fn add_items(&mut self, path: &str, route: usize) {
        self.calls.insert(path.to_owned(), route);
    }

    /// The route that has this path, of a request: to the letter, nothing is decoded.
    pub fn find(&self, path: &str) -> Option<usize> {
        if let Some(route) = self.whole.get(path) {
            return Some(*route);
        }
        let (folder, call) = path.rsplit_once('/')?;
        let route = self.calls.get(folder)?;
        CallId::fits(call).then_some(*route)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_one_whole_segment_in_its_grammar() {
        let mut paths = Paths::default();
        paths.add("/ws", 0);
        paths.add("/acs/media/{call}", 1);
        paths.add("/acs/{call}", 2);
        for (path, route) in [
            ("/ws", Some(0)),
            ("/acs/media/7f0c-A_9", Some(1)),
            ("/acs/7f0c", Some(2)),
            ("/acs/media", Some(2)),
            ("/ws/7f0c", None),
            ("/acs/media/", None),
            ("/acs/media/a/b", None),
            ("/acs/media/a.b", None),
            ("/acs/media/%61", None),
            ("/acs/media/{call}", None),
            ("/acs//media/a", None),
            ("/ACS/media/a", None),
            ("/7f0c", None),
            ("*", None),
            ("", None),
        ] {
            assert_eq!(paths.find(path), route, "{path}");
        }
        let long = "x".repeat(64);
        assert_eq!(paths.find(&format!("/acs/media/{long}")), Some(1));
        assert_eq!(paths.find(&format!("/acs/media/{long}x")), None);
    }
}
