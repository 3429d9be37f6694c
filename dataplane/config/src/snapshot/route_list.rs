//! The routes of a virtual host, and which of them a path leads to.

use std::ops::Deref;
use std::sync::Arc;

use hashbrown::HashMap;

use super::{PathMatch, Route};

/// Up to so many routes are compared one by one: that is faster than any index.
const COMPARED_MAX: usize = 8;

/// Routes in their order, of which the first that matches wins. Many of them have an index by path,
/// so that a request is compared with few.
#[derive(Debug, Default)]
pub struct RouteList {
    routes: Vec<Arc<Route>>,
    index: Option<Box<Index>>,
}

/// Numbers of routes, lowest first.
type Numbers = Vec<u32>;

/// Where a path may find its routes. What stands at any of these places may still not match.
#[derive(Debug, Default)]
struct Index {
    /// Those that ask for one path.
    exact: HashMap<Box<[u8]>, Numbers>,
    /// Those that ask for a beginning, sorted by it.
    prefixes: Vec<Prefix>,
    /// Those that may match any path: by regular expressions, or where case does not matter.
    others: Numbers,
}

#[derive(Debug)]
struct Prefix {
    text: Box<[u8]>,
    routes: Numbers,
    /// The longest other one that this one begins with.
    parent: Option<usize>,
}

impl RouteList {
    /// The number of the first route that `matches`, for a path without its query. `matches` is
    /// asked about routes in their order, though not about those that ask for another path.
    pub fn find(&self, path: &[u8], mut matches: impl FnMut(&Route) -> bool) -> Option<usize> {
        match &self.index {
            None => self.routes.iter().position(|route| matches(route)),
            Some(index) => {
                index.find(path, |at| self.routes.get(at).is_some_and(|route| matches(route)))
            }
        }
    }
}

/// All routes in their order.
impl Deref for RouteList {
    type Target = [Arc<Route>];

    fn deref(&self) -> &[Arc<Route>] {
        &self.routes
    }
}

impl From<Vec<Arc<Route>>> for RouteList {
    fn from(routes: Vec<Arc<Route>>) -> Self {
        let index = (routes.len() > COMPARED_MAX).then(|| Box::new(Index::new(&routes)));
        Self { routes, index }
    }
}

impl FromIterator<Arc<Route>> for RouteList {
    fn from_iter<I: IntoIterator<Item = Arc<Route>>>(routes: I) -> Self {
        Self::from(Vec::from_iter(routes))
    }
}

impl Index {
    fn new(routes: &[Arc<Route>]) -> Self {
        let mut index = Self::default();
        let mut prefixes: HashMap<&[u8], Numbers> = HashMap::new();
        for (number, route) in (0..).zip(routes) {
            let asked = &route.matches;
            let numbers = match &asked.path {
                _ if !asked.case_sensitive => &mut index.others,
                PathMatch::Regex(_) | PathMatch::Connect => &mut index.others,
                PathMatch::Exact(text) => index.exact.entry(text.clone()).or_default(),
                PathMatch::Prefix(text) | PathMatch::SeparatedPrefix(text) => {
                    prefixes.entry(text).or_default()
                }
            };
            numbers.push(number);
        }
        let mut sorted: Vec<(&[u8], Numbers)> = prefixes.into_iter().collect();
        sorted.sort_unstable_by_key(|(text, _)| *text);
        for (text, routes) in sorted {
            let parent = index.prefix_of(index.prefixes.len().checked_sub(1), text);
            index.prefixes.push(Prefix { text: text.into(), routes, parent });
        }
        index
    }

    /// The longest beginning of `text` among the prefix of this number and its ancestors.
    fn prefix_of(&self, mut at: Option<usize>, text: &[u8]) -> Option<usize> {
        while let Some(prefix) = at.and_then(|at| self.prefixes.get(at)) {
            if text.starts_with(&prefix.text) {
                return at;
            }
            at = prefix.parent;
        }
        None
    }

    fn find(&self, path: &[u8], mut matches: impl FnMut(usize) -> bool) -> Option<usize> {
        let exact = self.exact.get(path);
        // Whatever stands between a beginning of the path and the path begins with it too: the last
        // one that is not behind the path has all of the path's beginnings among its ancestors.
        let last = self.prefixes.partition_point(|prefix| *prefix.text <= *path).checked_sub(1);
        let nearest = self.prefix_of(last, path);
        let mut from = 0;
        loop {
            let mut next = exact.and_then(|numbers| first(numbers, from));
            let mut least = |found: Option<u32>| next = [next, found].into_iter().flatten().min();
            least(first(&self.others, from));
            let mut at = nearest;
            while let Some(prefix) = at.and_then(|at| self.prefixes.get(at)) {
                least(first(&prefix.routes, from));
                at = prefix.parent;
            }
            let number = next?;
            if matches(number as usize) {
                return Some(number as usize);
            }
            from = number + 1;
        }
    }
}

/// The first number that is not below `from`.
fn first(numbers: &Numbers, from: u32) -> Option<u32> {
    numbers.get(numbers.partition_point(|number| *number < from)).copied()
}

#[cfg(test)]
mod tests;
