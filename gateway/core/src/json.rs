//! Just enough JSON to tell what happens here: one flat object.

use std::fmt::Write as _;

/// An object that is being written.
#[derive(Debug)]
pub(crate) struct Object(String);

impl Object {
    pub(crate) fn new() -> Self {
        Self("{".to_owned())
    }

    pub(crate) fn text(mut self, name: &'static str, value: &str) -> Self {
        self.name(name);
        self.0.push('"');
        for character in value.chars() {
            match character {
                '"' | '\\' => self.0.extend(['\\', character]),
                '\0'..='\x1f' => {
                    let _ = write!(self.0, "\\u{:04x}", u32::from(character));
                }
                plain => self.0.push(plain),
            }
        }
        self.0.push('"');
        self
    }

    pub(crate) fn number(mut self, name: &'static str, value: u64) -> Self {
        self.name(name);
        let _ = write!(self.0, "{value}");
        self
    }

    pub(crate) fn flag(mut self, name: &'static str, value: bool) -> Self {
        self.name(name);
        let _ = write!(self.0, "{value}");
        self
    }

    pub(crate) fn finish(mut self) -> String {
        self.0.push('}');
        self.0
    }

    fn name(&mut self, name: &'static str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        let _ = write!(self.0, "\"{name}\":");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_text_a_reader_finds_it_again() {
        let text = "quote \" backslash \\ line\n tab\t bell\u{7} é 🙂 \u{7f}";
        let written = Object::new().text("text", text).number("n", u64::MAX).flag("f", true).finish();
        let read: serde_json::Value = serde_json::from_str(&written).unwrap();
        assert_eq!(read, serde_json::json!({ "text": text, "n": u64::MAX, "f": true }));
        assert_eq!(Object::new().finish(), "{}");
    }
}
