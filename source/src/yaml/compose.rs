//! Parser events → values and places, without recursion: anchors, aliases, merge keys and the limits on them.

use super::{
    ALIAS_BYTES_MAX, DEPTH_MAX, Fault, NODES_MAX, UNSEPARATED_DOCUMENTS_MAX, position,
    scalar::{self, Forced},
};
use crate::places::{Places, Position};
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Tag};
use serde_json::{Map, Value};
use std::{borrow::Cow, collections::HashMap};

type Composed = (Vec<(Value, Places)>, Option<Fault>);

/// The documents of the text, up to the first fault.
pub(super) fn compose(text: &str) -> Composed {
    let mut parser = Parser::new_from_str(text);
    let mut composer = Composer::default();
    while let Some(next) = parser.next_event() {
        let done = match next {
            Ok((event, span)) => composer.take(event, place(&span.start)),
            Err(error) => Err(explain(&error, text)),
        };
        if let Err(fault) = done {
            return (composer.documents, Some(fault));
        }
    }
    (composer.documents, None)
}

fn place(marker: &Marker) -> Position {
    position(marker.line().saturating_sub(1), marker.col())
}

/// The parser's error in words that name the usual cause.
fn explain(error: &ScanError, text: &str) -> Fault {
    let at = within(place(error.marker()), text);
    let info = error.info();
    if let Some(at) = tab_indentation(text, at.line) {
        let message = format!("cannot read the YAML: {info} (the line is indented by a tab: YAML allows spaces alone)");
        return Fault { at, message };
    }
    let any = |parts: &[&str]| parts.iter().any(|part| info.contains(part));
    let hint = if any(&["mapping values are not allowed", "simple key expect"]) {
        " (is a line indented wrongly, or a text with `: ` not quoted?)"
    } else if any(&["invalid indentation", "block mapping", "block collection"]) {
        " (is a line indented wrongly?)"
    } else if any(&["end of stream", "document indicator", "unexpected eof", "flow mapping", "flow sequence"]) {
        " (is a quote or a bracket not closed?)"
    } else {
        ""
    };
    Fault { at, message: format!("cannot read the YAML: {info}{hint}") }
}

/// The parser counts a line beyond a text that does not end in a line break.
fn within(at: Position, text: &str) -> Position {
    let breaks = text.matches(['\n', '\r']).count();
    let last = text.rsplit(['\n', '\r']).next().unwrap_or_default();
    let end = position(breaks, last.chars().count());
    if at.line > end.line { end } else { at }
}

/// The tab in the indentation of that line, or of the next, which the parser may have read ahead.
fn tab_indentation(text: &str, line: u32) -> Option<Position> {
    let from = usize::try_from(line).ok()?.saturating_sub(1);
    text.lines().enumerate().skip(from).take(2).find_map(|(number, line)| {
        let indentation = line.chars().take_while(|c| c.is_whitespace());
        let column = indentation.into_iter().position(|c| c == '\t')?;
        Some(position(number, column))
    })
}

/// A finished value, with what it costs to copy it.
#[derive(Clone)]
struct Node {
    value: Value,
    places: Places,
    size: Size,
}

#[derive(Clone, Copy, Default)]
struct Size {
    nodes: usize,
    bytes: usize,
    height: usize,
}

/// A collection that is still open.
struct Frame {
    at: Position,
    anchor: usize,
    size: Size,
    content: Content,
}

enum Content {
    List { items: Vec<Value>, places: Vec<Places> },
    Map(Box<OpenMap>),
}

#[derive(Default)]
struct OpenMap {
    fields: Map<String, Value>,
    places: Vec<(String, Places)>,
    key: Option<Key>,
    merged: Option<Node>,
}

enum Key {
    Field(String, Position),
    Merge(Position),
}

#[derive(Default)]
struct Composer {
    documents: Vec<(Value, Places)>,
    frames: Vec<Frame>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    copied_bytes: usize,
}

impl Composer {
    fn take(&mut self, event: Event<'_>, at: Position) -> Result<(), Fault> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.count(1, at)?;
                self.scalar(&text, style, anchor, tag.as_deref(), at)
            }
            Event::Alias(anchor) => self.alias(anchor, at),
            Event::SequenceStart(anchor, tag) => {
                check_collection_tag(tag, "seq", at)?;
                self.open(anchor, Content::List { items: Vec::new(), places: Vec::new() }, at)
            }
            Event::MappingStart(anchor, tag) => {
                check_collection_tag(tag, "map", at)?;
                self.open(anchor, Content::Map(Box::default()), at)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::DocumentStart(_) => self.start_document(at),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn start_document(&mut self, at: Position) -> Result<(), Fault> {
        self.anchors.clear();
        if self.documents.len() < UNSEPARATED_DOCUMENTS_MAX {
            return Ok(());
        }
        let message = format!("more than {UNSEPARATED_DOCUMENTS_MAX} documents without a line `---` between them");
        Err(Fault { at, message })
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        at: Position,
    ) -> Result<(), Fault> {
        let fault = |message| Fault { at, message };
        let plain = style == ScalarStyle::Plain;
        if plain && tag.is_none() && text == "<<" && self.expects_key() {
            return self.merge_key(at);
        }
        let forced = tag.map(|tag| scalar_tag(tag, at)).transpose()?;
        let value = match forced {
            Some(forced) => scalar::tagged(text, forced).map_err(fault)?,
            None if plain => scalar::plain(text).map_err(fault)?,
            None => Value::String(text.to_owned()),
        };
        let size = Size { nodes: 1, bytes: 1 + text.len(), height: 1 };
        self.finish(Node { value, places: Places::leaf(at), size }, anchor, at)
    }

    fn expects_key(&self) -> bool {
        matches!(self.frames.last(), Some(Frame { content: Content::Map(map), .. }) if map.key.is_none())
    }

    fn merge_key(&mut self, at: Position) -> Result<(), Fault> {
        if let Some(Frame { content: Content::Map(map), .. }) = self.frames.last_mut() {
            if map.merged.is_some() {
                return Err(Fault { at, message: "duplicate key `<<`: give it a list of mappings instead".to_owned() });
            }
            map.key = Some(Key::Merge(at));
        }
        Ok(())
    }

    fn alias(&mut self, anchor: usize, at: Position) -> Result<(), Fault> {
        let Some(node) = self.anchors.get(&anchor) else {
            return Err(Fault { at, message: "an alias stands inside the very value that it names".to_owned() });
        };
        let size = node.size;
        self.count_copy(size, at)?;
        if self.frames.len() + size.height > DEPTH_MAX {
            return Err(too_deep(at));
        }
        let Some(mut node) = self.anchors.get(&anchor).cloned() else { return Ok(()) };
        node.places = node.places.moved_to(at);
        self.finish(node, 0, at)
    }

    fn open(&mut self, anchor: usize, content: Content, at: Position) -> Result<(), Fault> {
        self.count(1, at)?;
        if self.frames.len() >= DEPTH_MAX {
            return Err(too_deep(at));
        }
        self.frames.push(Frame { at, anchor, size: Size { nodes: 1, bytes: 1, height: 0 }, content });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Fault> {
        let Some(Frame { at, anchor, mut size, content }) = self.frames.pop() else { return Ok(()) };
        size.height += 1;
        let (value, places) = match content {
            Content::List { items, places } => (Value::Array(items), Places::list(at, places)),
            Content::Map(map) => map.close(at),
        };
        self.finish(Node { value, places, size }, anchor, at)
    }

    /// Hands a finished value to what contains it.
    fn finish(&mut self, node: Node, anchor: usize, at: Position) -> Result<(), Fault> {
        if anchor != 0 {
            self.count_copy(node.size, at)?;
            self.anchors.insert(anchor, node.clone());
        }
        let Some(frame) = self.frames.last_mut() else {
            if !node.value.is_null() {
                self.documents.push((node.value, node.places));
            }
            return Ok(());
        };
        frame.size.nodes += node.size.nodes;
        frame.size.bytes += node.size.bytes;
        frame.size.height = frame.size.height.max(node.size.height);
        match &mut frame.content {
            Content::List { items, places } => {
                items.push(node.value);
                places.push(node.places);
                Ok(())
            }
            Content::Map(map) => map.take(node, at),
        }
    }

    fn count(&mut self, nodes: usize, at: Position) -> Result<(), Fault> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes <= NODES_MAX {
            return Ok(());
        }
        Err(Fault { at, message: format!("the document has more than {NODES_MAX} values: split it") })
    }

    fn count_copy(&mut self, size: Size, at: Position) -> Result<(), Fault> {
        self.count(size.nodes, at)?;
        self.copied_bytes = self.copied_bytes.saturating_add(size.bytes);
        if self.copied_bytes <= ALIAS_BYTES_MAX {
            return Ok(());
        }
        let message = format!("anchors and aliases expand to more than {ALIAS_BYTES_MAX} bytes");
        Err(Fault { at, message })
    }
}

fn too_deep(at: Position) -> Fault {
    Fault { at, message: format!("nested more than {DEPTH_MAX} levels deep") }
}

// === impl OpenMap ===

impl OpenMap {
    fn take(&mut self, node: Node, at: Position) -> Result<(), Fault> {
        match self.key.take() {
            None => {
                let Some(name) = scalar::key(&node.value) else {
                    return Err(Fault { at, message: "a key must be a text, a number or a boolean".to_owned() });
                };
                if self.fields.contains_key(&name) {
                    return Err(Fault { at, message: format!("duplicate key {name:?}") });
                }
                self.key = Some(Key::Field(name, at));
                Ok(())
            }
            Some(Key::Field(name, key_at)) => {
                self.places.push((name.clone(), node.places.moved_to(key_at)));
                self.fields.insert(name, node.value);
                Ok(())
            }
            Some(Key::Merge(key_at)) => {
                let items_are_mappings = |items: &[Value]| items.iter().all(Value::is_object);
                if !node.value.is_object() && !node.value.as_array().is_some_and(|items| items_are_mappings(items)) {
                    return Err(Fault {
                        at: key_at,
                        message: "`<<` takes a mapping, or a list of mappings".to_owned(),
                    });
                }
                self.merged = Some(node);
                Ok(())
            }
        }
    }

    /// The mapping with what it merges: its own keys win, then those of earlier mappings.
    fn close(mut self, at: Position) -> (Value, Places) {
        if let Some(Node { value, places, .. }) = self.merged.take() {
            match value {
                Value::Object(fields) => self.merge(fields, places),
                Value::Array(items) => {
                    for (index, item) in items.into_iter().enumerate() {
                        let item_places = places.item(index).cloned().unwrap_or(Places::leaf(at));
                        if let Value::Object(fields) = item {
                            self.merge(fields, item_places);
                        }
                    }
                }
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
        (Value::Object(self.fields), Places::map(at, self.places))
    }

    fn merge(&mut self, fields: Map<String, Value>, places: Places) {
        for (name, place) in places.into_fields() {
            if !self.fields.contains_key(&name) {
                self.places.push((name, place));
            }
        }
        for (name, value) in fields {
            self.fields.entry(name).or_insert(value);
        }
    }
}

// === tags ===

fn core_suffix(tag: &Tag) -> Option<&str> {
    if tag.is_yaml_core_schema() {
        return Some(&tag.suffix);
    }
    let whole = tag.handle.is_empty().then_some(tag.suffix.as_str())?;
    whole.strip_prefix("tag:yaml.org,2002:")
}

fn scalar_tag(tag: &Tag, at: Position) -> Result<Forced, Fault> {
    match core_suffix(tag) {
        Some("str") => Ok(Forced::Str),
        Some("bool") => Ok(Forced::Bool),
        Some("int") => Ok(Forced::Int),
        Some("float") => Ok(Forced::Float),
        Some("null") => Ok(Forced::Null),
        // The tag `!` alone says "not resolved": a text.
        None if tag.handle == "!" && tag.suffix.is_empty() || tag.handle.is_empty() && tag.suffix == "!" => {
            Ok(Forced::Str)
        }
        Some(_) | None => Err(unknown_tag(tag, at)),
    }
}

fn check_collection_tag(tag: Option<Cow<'_, Tag>>, expected: &str, at: Position) -> Result<(), Fault> {
    match tag {
        Some(tag) if core_suffix(&tag) != Some(expected) => Err(unknown_tag(&tag, at)),
        Some(_) | None => Ok(()),
    }
}

fn unknown_tag(tag: &Tag, at: Position) -> Fault {
    Fault { at, message: format!("the tag {tag} is not supported: Kubernetes objects need none") }
}
