//! Which route a path belongs to: whole paths, and those of calls, whose last segment is the
//! call's id. The settings let no path be of two routes, so the order of looking does not matter.

use std::collections::HashMap;

use crate::config::{BELOW, CALL, REFRESH, TAIL};
use crate::ids::CallId;

/// Indices of routes by path.
#[derive(Default)]
pub struct Paths {
    whole: HashMap<String, usize>,
    /// By what stands before the last slash.
    calls: HashMap<String, usize>,
    /// Of paths that have a session last longer, or tell of it as it goes on, by what stands before its
    /// id.
    sessions: HashMap<String, usize>,
    /// Of all paths below, by what stands before the slash.
    below: HashMap<String, usize>,
    /// All of them as a lax application may read them (`fold`).
    folded: HashMap<String, usize>,
}

impl Paths {
    /// `path` leads to `route` from now on; with `/{call}` at its end, all paths that have the id of
    /// a call there.
    pub fn add(&mut self, path: &str, route: usize) {
        if let Some(folder) = path.strip_suffix(BELOW) {
            self.below.insert(folder.to_owned(), route);
            self.folded.insert(fold(path), route);
        } else if let Some(folder) = path.strip_suffix(CALL) {
            self.calls.insert(folder.to_owned(), route);
        } else {
            self.whole.insert(path.to_owned(), route);
            self.folded.insert(fold(path), route);
        }
    }

    /// So do the paths below `path` that end in an id of that grammar.
    pub fn add_items(&mut self, path: &str, route: usize) {
        self.calls.insert(path.to_owned(), route);
    }

    /// So do those that have what has that id last longer, or tell of it as it goes on.
    pub fn add_sessions(&mut self, path: &str, route: usize) {
        self.sessions.insert(path.to_owned(), route);
    }

    /// The route that has this path, of a request: to the letter, nothing is decoded.
    pub fn find(&self, path: &str) -> Option<usize> {
        if let Some(route) = self.whole.get(path) {
            return Some(*route);
        }
        if let Some((folder, call)) = path.rsplit_once('/')
            && let Some(route) = self.calls.get(folder)
        {
            return CallId::fits(call).then_some(*route);
        }
        if let Some((folder, id)) = path
            .strip_suffix(REFRESH)
            .or_else(|| path.strip_suffix(TAIL))
            .and_then(|item| item.rsplit_once('/'))
            && let Some(route) = self.sessions.get(folder)
        {
            return CallId::fits(id).then_some(*route);
        }
        self.below(path)
    }

    /// The route of all paths below the nearest folder that has one. A path that an application could
    /// read as one of another route is of none: it would be let in by the wrong admission.
    fn below(&self, path: &str) -> Option<usize> {
        if self.below.is_empty() {
            return None;
        }
        let nearest = |map: &HashMap<String, usize>, path: &str, end: &str| {
            path.rmatch_indices('/')
                .find_map(|(at, _)| map.get(&format!("{}{end}", &path[..at])).copied())
        };
        let route = nearest(&self.below, path, "")?;
        let folded = fold(path);
        let likely = self.folded.get(&folded).copied();
        // What stands for a folder, some take for the folder itself.
        let likely = likely.or_else(|| nearest(&self.folded, &format!("{folded}/"), BELOW));
        (likely == Some(route)).then_some(route)
    }
}

/// As an application may read a path: case is folded, parameters of a segment are cut off, so are dots
/// and blanks at its end, and segments that are empty then are none.
fn fold(path: &str) -> String {
    let mut folded = String::with_capacity(path.len());
    for segment in path.trim_end_matches('/').split('/').skip(1) {
        let mut name = segment.split(';').next().unwrap_or_default();
        // Those that walk or are empty are left, for whoever refuses them by name.
        if !matches!(name, "." | "..") {
            name = trim(name);
        }
        if segment.is_empty() || !name.is_empty() {
            folded.push('/');
            folded.push_str(&name.to_ascii_lowercase());
        }
    }
    folded
}

/// Without dots and blanks at its end, as Windows has it.
pub(super) fn trim(mut segment: &str) -> &str {
    while let Some(shorter) = segment
        .strip_suffix('.')
        .or_else(|| segment.strip_suffix("%20"))
    {
        segment = shorter;
    }
    segment
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

    #[test]
    fn c14_no_spelling_of_a_path_leads_past_its_own_route() {
        let mut paths = Paths::default();
        paths.add("/api/*", 0);
        paths.add("/api/admin/*", 1);
        paths.add("/api/seed", 2);
        for (path, route) in [
            ("/api/chat", Some(0)),
            ("/api/Chat/x", Some(0)),
            ("/api/", Some(0)),
            ("/api", None),
            ("/apix", None),
            ("/other/api/chat", None),
            ("/api/admin/users", Some(1)),
            ("/api/seed", Some(2)),
            ("/api/Admin/users", None),
            ("/api/ADMIN/users/7", None),
            ("/API/chat", None),
            ("/api/Seed", None),
            ("/api/seed/", None),
            ("/api/seed/x", Some(0)),
            ("/api/administrators", Some(0)),
            ("/api/chat;v=1/x.", Some(0)),
            ("/api/;x", Some(0)),
            ("/api/seed;x", None),
            ("/api/seed;x=1;y", None),
            ("/api/seed.", None),
            ("/api/seed..", None),
            ("/api/seed%20", None),
            ("/api/SEED%20.;x/", None),
            ("/api/;x/seed", None),
            ("/api/%20/seed", None),
            ("/api/.../seed", None),
            ("/api/./seed", Some(0)),
            ("/api//seed", Some(0)),
            ("/api/admin;x/users", None),
            ("/api/admin./users", None),
            ("/api/Admin%20/users", None),
            ("/api/;x/admin/users", None),
            ("/api/admin", None),
            ("/api/admin;x", None),
            ("/api/admin/", Some(1)),
        ] {
            assert_eq!(paths.find(path), route, "{path}");
        }
        let mut all = Paths::default();
        all.add("/*", 3);
        all.add("/ws", 4);
        for (path, route) in [
            ("/", Some(3)),
            ("/x/y", Some(3)),
            ("/ws", Some(4)),
            ("/WS", None),
        ] {
            assert_eq!(all.find(path), route, "{path}");
        }
    }
}
