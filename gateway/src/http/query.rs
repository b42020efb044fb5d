//! The query of a URL.

use super::problem::Problem;
use macula_proto::v1::Code;
use std::str::FromStr;

/// Query parameters, checked to be known.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads `a=1&b=2`. A name that is not in `names` is an error: misspelt, it would be ignored silently.
    pub(super) fn parse(query: &str, names: &[&str]) -> Result<Self, Problem> {
        let decoded = |text: &str| {
            let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
            decoded
                .map(String::from)
                .map_err(|_| Problem::invalid("the query is no UTF-8 after percent-decoding"))
        };
        let mut pairs = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, "true"));
            let name = decoded(name)?;
            if !names.contains(&name.as_str()) {
                let text = format!("there is no parameter `{name}`; there is {}", names.join(", "));
                return Err(Problem::invalid(text));
            }
            pairs.push((name, decoded(value)?));
        }
        Ok(Self(pairs))
    }

    /// The value of a parameter; of several the last.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A parameter that is true or false. Without a value it is true, and false without the parameter.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.text(name) {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1") => Ok(true),
            Some(other) => Err(Problem::invalid(format!("{name} is true or false, not `{other}`"))),
        }
    }

    /// A parameter that is a number.
    pub(super) fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| Problem::invalid(format!("{name} is a number, not `{text}`")))
    }

    /// A parameter that is one of some words.
    pub(super) fn word<T: Copy>(&self, name: &str, words: &[(&str, T)]) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        match words.iter().find(|(word, _)| *word == text) {
            Some((_, value)) => Ok(Some(*value)),
            None => {
                let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                Err(Problem::of(
                    Code::InvalidArgument,
                    format!("{name} is one of {}, not `{text}`", words.join(", ")),
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_and_unknown_ones_are_told() {
        let query = Query::parse("retained&group=a%2Eb&limit=3", &["retained", "group", "limit"]).unwrap();
        assert!(query.flag("retained").unwrap());
        assert_eq!(query.text("group"), Some("a.b"));
        assert_eq!(query.number::<u64>("limit").unwrap(), Some(3));
        assert_eq!(query.number::<u64>("other").unwrap(), None);
        assert!(query.number::<u64>("group").is_err());
        assert!(query.word("group", &[("x", 1)]).unwrap_err().body().contains("one of x"));
        let problem = Query::parse("retaind", &["retained"]).unwrap_err();
        assert!(problem.body().contains("there is retained"), "{}", problem.body());
    }
}
