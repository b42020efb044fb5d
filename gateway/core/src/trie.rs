//! The pattern trie: which values belong to the patterns that match a topic.
//!
//! It holds subscriptions, interest and registrations alike, as pairs of a [`Pattern`] and a small value, and knows
//! nothing of what the values stand for. Patterns without wildcards, most of them in practice, are found by one look-up
//! of the whole topic. The others form a trie over their segments:
//!
//! - nodes lie in an arena; one hash table holds all edges, keyed by node and segment, so a node costs 20 bytes;
//! - segments are interned, with a count of the edges that bear them: a segment that no pattern names cannot lead
//!   along an edge, and the walk knows so before it starts;
//! - the wildcards `+`, `*` and `#` are slots of a node instead of edges.
//!
//! A match allocates nothing. Its cost grows with the nodes on the topic's way, of which wildcards at every level may
//! make many, and hardly with the number of patterns. Removal prunes what is no longer used. Freed places are used
//! again, tables shrink, and an empty trie holds no memory.

mod arena;
mod names;
mod values;

use core::fmt;
use core::hash::BuildHasher;

use crate::hash::Hashes;
use hashbrown::HashTable;
use macula_proto::limits::TOPIC_SEGMENTS;
use macula_proto::pattern::Segment;
use macula_proto::{Pattern, Topic};

use arena::Arena;
use names::Names;
use values::{List, Values};

/// Pairs of a pattern and a value, searched by topic.
///
/// The trie is a bag: a pair inserted twice is told twice and has to be removed twice. Patterns are known by their
/// segments, so `a.*.b` and `a.+.b` are the same.
pub struct Trie<T> {
    literals: HashTable<Literal>,
    /// Bytes of all texts in `literals`.
    literal_bytes: usize,
    /// The first node is the root, made with the first wildcard pattern.
    nodes: Arena<Node>,
    edges: HashTable<Edge>,
    names: Names,
    values: Values<T>,
    hasher: Hashes,
    len: usize,
}

/// A pattern without wildcards.
struct Literal {
    text: Box<[u8]>,
    values: List,
}

/// A row of segments that wildcard patterns begin with.
#[derive(Clone, Copy)]
struct Node {
    /// Of the pattern that ends here.
    here: List,
    /// Of the pattern that goes on with a last `*`.
    one_or_more: List,
    /// Of the pattern that goes on with `#`.
    zero_or_more: List,
    /// The child along `+`, or `*` that is not last.
    one: u32,
    /// How many edges leave.
    edges: u32,
}

struct Edge {
    from: u32,
    name: u32,
    to: u32,
}

impl<T: Copy + Eq> Trie<T> {
    /// An empty trie, which holds no memory yet.
    pub fn new() -> Self {
        Self {
            literals: HashTable::new(),
            literal_bytes: 0,
            nodes: Arena::new(),
            edges: HashTable::new(),
            names: Names::new(),
            values: Values::new(),
            hasher: Hashes::default(),
            len: 0,
        }
    }

    /// How many pairs the trie holds.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the trie holds no pair.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What the trie has allocated, in bytes, its own size and the allocator's overhead not counted.
    pub fn memory(&self) -> usize {
        self.literals.allocation_size()
            + self.literal_bytes
            + self.nodes.memory()
            + self.edges.allocation_size()
            + self.names.memory()
            + self.values.memory()
    }

    /// Adds a pair.
    pub fn insert(&mut self, pattern: &Pattern, value: T) {
        self.len += 1;
        if pattern.is_literal() {
            self.insert_literal(pattern.as_str().as_bytes(), value);
        } else {
            self.insert_wild(pattern, value);
        }
    }

    /// Removes a pair. False when it was not there. Takes time in proportion to the values of that very pattern.
    pub fn remove(&mut self, pattern: &Pattern, value: T) -> bool {
        let removed = if pattern.is_literal() {
            self.remove_literal(pattern.as_str().as_bytes(), value)
        } else {
            self.remove_wild(pattern, value)
        };
        if removed {
            self.len -= 1;
            if self.len == 0 {
                *self = Self::new();
            }
        }
        removed
    }

    /// Tells the value of every pair whose pattern matches the topic. The order is the same wherever the same inserts
    /// and removals were made, and says nothing else.
    pub fn for_each_match(&self, topic: &Topic, mut visit: impl FnMut(T)) {
        let text = topic.as_bytes();
        if let Some(literal) = self.find_literal(text) {
            self.values.for_each(literal.values, &mut visit);
        }
        if self.nodes.is_empty() {
            return;
        }
        let mut names = [None; TOPIC_SEGMENTS];
        let mut depth = 0;
        for segment in text.split(|&byte| byte == b'.') {
            names[depth] = self.names.find(segment, &self.hasher);
            depth += 1;
        }
        self.walk(&names[..depth], topic.is_system(), &mut visit);
    }

    /// Visits every node that the segments can lead to. A node leads to two others at most, so that no more than one
    /// node a level is ever put off, and the last.
    fn walk(&self, names: &[Option<u32>], is_system: bool, visit: &mut impl FnMut(T)) {
        let mut pending = [(ROOT, 0); TOPIC_SEGMENTS + 1];
        let mut count = 1;
        while count > 0 {
            count -= 1;
            let (id, depth) = pending[count];
            let node = &self.nodes[id];
            // A wildcard in first place does not match the system's topics.
            let wild = depth > 0 || !is_system;
            if wild {
                self.values.for_each(node.zero_or_more, visit);
            }
            let Some(&name) = names.get(depth) else {
                self.values.for_each(node.here, visit);
                continue;
            };
            if wild {
                self.values.for_each(node.one_or_more, visit);
                if node.one != NONE {
                    pending[count] = (node.one, depth + 1);
                    count += 1;
                }
            }
            if let Some(name) = name
                && node.edges > 0
                && let Some(child) = self.find_edge(id, name)
            {
                pending[count] = (child, depth + 1);
                count += 1;
            }
        }
    }
}

impl<T: Copy + Eq> Trie<T> {
    fn find_literal(&self, text: &[u8]) -> Option<&Literal> {
        self.literals.find(self.hasher.hash_one(text), |literal| *literal.text == *text)
    }

    fn insert_literal(&mut self, text: &[u8], value: T) {
        let Self { literals, hasher, values, .. } = self;
        let hash = hasher.hash_one(text);
        if let Some(literal) = literals.find_mut(hash, |literal| *literal.text == *text) {
            values.push(&mut literal.values, value);
            return;
        }
        let mut literal = Literal { text: text.into(), values: List::EMPTY };
        values.push(&mut literal.values, value);
        literals.insert_unique(hash, literal, |literal| hasher.hash_one(&*literal.text));
        self.literal_bytes += text.len();
    }

    fn remove_literal(&mut self, text: &[u8], value: T) -> bool {
        let Self { literals, hasher, values, .. } = self;
        let Ok(mut entry) = literals.find_entry(hasher.hash_one(text), |literal| *literal.text == *text)
        else {
            return false;
        };
        let removed = values.remove(&mut entry.get_mut().values, value);
        if entry.get().values.is_empty() {
            entry.remove();
            self.literal_bytes -= text.len();
            shrink_sparse(literals, |literal| hasher.hash_one(&*literal.text));
        }
        removed
    }

    fn insert_wild(&mut self, pattern: &Pattern, value: T) {
        if self.nodes.is_empty() {
            self.nodes.insert(Node::EMPTY);
        }
        let mut id = ROOT;
        for segment in pattern.segments() {
            match segment {
                Segment::Literal(text) => id = self.child_or_insert(id, text.as_bytes()),
                Segment::One if self.nodes[id].one != NONE => id = self.nodes[id].one,
                Segment::One => {
                    let child = self.nodes.insert(Node::EMPTY);
                    self.nodes[id].one = child;
                    id = child;
                }
                Segment::OneOrMore => return self.values.push(&mut self.nodes[id].one_or_more, value),
                Segment::ZeroOrMore => return self.values.push(&mut self.nodes[id].zero_or_more, value),
            }
        }
        self.values.push(&mut self.nodes[id].here, value);
    }

    fn remove_wild(&mut self, pattern: &Pattern, value: T) -> bool {
        if self.nodes.is_empty() {
            return false;
        }
        let mut id = ROOT;
        let mut end = End::Here;
        let mut path = [(ROOT, None); TOPIC_SEGMENTS];
        let mut depth = 0;
        for segment in pattern.segments() {
            let (child, name) = match segment {
                Segment::Literal(text) => (self.find_child(id, text.as_bytes()), Some(text)),
                Segment::One => (Some(self.nodes[id].one).filter(|&child| child != NONE), None),
                Segment::OneOrMore => {
                    end = End::OneOrMore;
                    break;
                }
                Segment::ZeroOrMore => {
                    end = End::ZeroOrMore;
                    break;
                }
            };
            let Some(child) = child else { return false };
            path[depth] = (id, name);
            depth += 1;
            id = child;
        }
        let node = &mut self.nodes[id];
        let list = match end {
            End::Here => &mut node.here,
            End::OneOrMore => &mut node.one_or_more,
            End::ZeroOrMore => &mut node.zero_or_more,
        };
        let removed = self.values.remove(list, value);
        if removed {
            self.prune(id, &path[..depth]);
        }
        removed
    }

    /// Removes the node, and those on the path to it, as far as nothing uses them.
    fn prune(&mut self, mut id: u32, path: &[(u32, Option<&str>)]) {
        for &(parent, name) in path.iter().rev() {
            if !self.nodes[id].is_unused() {
                return;
            }
            self.nodes.remove(id);
            match name {
                Some(text) => self.remove_edge(parent, text.as_bytes()),
                None => self.nodes[parent].one = NONE,
            }
            id = parent;
        }
    }

    fn find_child(&self, from: u32, text: &[u8]) -> Option<u32> {
        let name = self.names.find(text, &self.hasher)?;
        self.find_edge(from, name)
    }

    fn find_edge(&self, from: u32, name: u32) -> Option<u32> {
        let hash = hash_edge(&self.hasher, from, name);
        self.edges.find(hash, |edge| edge.is(from, name)).map(|edge| edge.to)
    }

    fn child_or_insert(&mut self, from: u32, text: &[u8]) -> u32 {
        if let Some(child) = self.find_child(from, text) {
            return child;
        }
        let name = self.names.acquire(text, &self.hasher);
        let to = self.nodes.insert(Node::EMPTY);
        self.nodes[from].edges += 1;
        let hasher = &self.hasher;
        let hash = hash_edge(hasher, from, name);
        self.edges
            .insert_unique(hash, Edge { from, name, to }, |edge| hash_edge(hasher, edge.from, edge.name));
        to
    }

    fn remove_edge(&mut self, from: u32, text: &[u8]) {
        let hasher = &self.hasher;
        let name = self.names.release(text, hasher);
        let hash = hash_edge(hasher, from, name);
        let edge = self.edges.find_entry(hash, |edge| edge.is(from, name));
        edge.ok().expect("the path was walked along this edge").remove();
        self.nodes[from].edges -= 1;
        shrink_sparse(&mut self.edges, |edge| hash_edge(hasher, edge.from, edge.name));
    }
}

/// Where on its last node a pattern keeps its values.
enum End {
    Here,
    OneOrMore,
    ZeroOrMore,
}

impl Node {
    const EMPTY: Self =
        Self { here: List::EMPTY, one_or_more: List::EMPTY, zero_or_more: List::EMPTY, one: NONE, edges: 0 };

    fn is_unused(&self) -> bool {
        let lists = [self.here, self.one_or_more, self.zero_or_more];
        self.edges == 0 && self.one == NONE && lists.iter().all(|list| list.is_empty())
    }
}

impl Edge {
    fn is(&self, from: u32, name: u32) -> bool {
        self.from == from && self.name == name
    }
}

fn hash_edge(hasher: &Hashes, from: u32, name: u32) -> u64 {
    hasher.hash_one(u64::from(from) << 32 | u64::from(name))
}

/// Gives memory back once a large table is mostly empty. Rare enough that its cost spreads over the removals.
fn shrink_sparse<E>(table: &mut HashTable<E>, hash: impl Fn(&E) -> u64) {
    if table.capacity() > SMALL_TABLE && table.len() < table.capacity() / 8 {
        table.shrink_to(table.len() * 2, hash);
    }
}

const ROOT: u32 = 0;
/// No node.
const NONE: u32 = u32::MAX;
/// Tables of up to this capacity stay as they are. A guess, not measured: some 30 KB.
const SMALL_TABLE: usize = 1024;

impl<T: Copy + Eq> Default for Trie<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Trie<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trie").field("len", &self.len).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
