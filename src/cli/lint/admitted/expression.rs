//! The rules of a CustomResourceDefinition: the part of CEL that those of Plexus use.

use regex::Regex;
use serde_json::Value;

/// A rule about `self`.
#[derive(Clone, Debug)]
pub(super) enum Expression {
    /// A number, a string or a list of them.
    Constant(Value),
    /// `self.a.b`, without `self`.
    Path(Vec<String>),
    /// All of them hold.
    All(Vec<Expression>),
    /// The first one is an element of the second one.
    In(Box<[Expression; 2]>),
    /// The first one is not greater than the second one.
    NotGreater(Box<[Expression; 2]>),
    /// A part of the string matches.
    Matches(Box<Expression>, Regex),
}

impl Expression {
    /// Reads `text`; none where it is not understood.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut reader = Reader(text);
        let whole = reader.all()?;
        reader.0.trim().is_empty().then_some(whole)
    }

    /// The part that does not hold for `own`; none where all of it holds, or where it cannot be judged.
    pub(super) fn broken(&self, own: &Value) -> Option<&Expression> {
        match self {
            Expression::All(parts) => parts.iter().find_map(|part| part.broken(own)),
            _ => (!self.holds(own)?).then_some(self),
        }
    }

    /// The first value of `self` that is looked at.
    pub(super) fn path(&self) -> &[String] {
        match self {
            Expression::Constant(_) => &[],
            Expression::Path(path) => path,
            Expression::All(parts) => parts.first().map_or(&[], Expression::path),
            Expression::In(both) | Expression::NotGreater(both) => both[0].path(),
            Expression::Matches(text, _) => text.path(),
        }
    }

    fn holds(&self, own: &Value) -> Option<bool> {
        match self {
            Expression::Constant(_) | Expression::Path(_) => self.value(own)?.as_bool(),
            Expression::All(_) => Some(self.broken(own).is_none()),
            Expression::In(both) => {
                let (one, list) = (both[0].value(own)?, both[1].value(own)?);
                Some(list.as_array()?.iter().any(|other| is_same(one, other)))
            }
            Expression::NotGreater(both) => Some(both[0].value(own)?.as_f64()? <= both[1].value(own)?.as_f64()?),
            Expression::Matches(text, pattern) => Some(pattern.is_match(text.value(own)?.as_str()?)),
        }
    }

    fn value<'a>(&'a self, own: &'a Value) -> Option<&'a Value> {
        match self {
            Expression::Constant(value) => Some(value),
            Expression::Path(path) => path.iter().try_fold(own, |value, key| value.get(key)),
            _ => None,
        }
    }
}

/// `16` and `16.0` are one number.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => one.total_cmp(&other).is_eq(),
        _ => one == other,
    }
}

/// What is left of a rule.
struct Reader<'a>(&'a str);

impl<'a> Reader<'a> {
    fn all(&mut self) -> Option<Expression> {
        let mut parts = vec![self.relation()?];
        while self.takes("&&") {
            parts.push(self.relation()?);
        }
        Some(Expression::All(parts))
    }

    fn relation(&mut self) -> Option<Expression> {
        let first = self.term()?;
        if self.takes("in ") {
            Some(Expression::In(Box::new([first, self.term()?])))
        } else if self.takes("<=") {
            Some(Expression::NotGreater(Box::new([first, self.term()?])))
        } else {
            Some(first)
        }
    }

    fn term(&mut self) -> Option<Expression> {
        if self.takes("self") {
            return self.path();
        }
        self.constant().map(Expression::Constant)
    }

    fn path(&mut self) -> Option<Expression> {
        let mut path = Vec::new();
        while self.takes(".") {
            let name = self.word(|c| c.is_ascii_alphanumeric() || c == '_')?;
            if name == "matches" && self.takes("(") {
                let pattern = Regex::new(self.constant()?.as_str()?).ok()?;
                let text = Box::new(Expression::Path(path));
                return self.takes(")").then_some(Expression::Matches(text, pattern));
            }
            path.push(name.to_owned());
        }
        Some(Expression::Path(path))
    }

    fn constant(&mut self) -> Option<Value> {
        if self.takes("'") {
            // What an escape means is not needed yet.
            let (text, rest) = self.0.split_at(self.0.find(['\'', '\\'])?);
            self.0 = rest;
            return self.takes("'").then(|| text.into());
        }
        if !self.takes("[") {
            return self.word(|c| c.is_ascii_digit())?.parse::<u64>().ok().map(Value::from);
        }
        let mut items = vec![self.constant()?];
        while self.takes(",") {
            items.push(self.constant()?);
        }
        self.takes("]").then_some(Value::Array(items))
    }

    /// Whether `sign` comes next, which is read then.
    fn takes(&mut self, sign: &str) -> bool {
        let rest = self.0.trim_start().strip_prefix(sign);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// The next characters that are as `is_part` says; none where there is none.
    fn word(&mut self, is_part: impl Fn(char) -> bool) -> Option<&'a str> {
        let text = self.0.trim_start();
        let end = text.find(|c| !is_part(c)).unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        self.0 = rest;
        (!word.is_empty()).then_some(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_understood_is_judged() {
        let own = json!({"a": {"b": 4, "c": 9}, "name": "lan-1"});
        for (text, holds) in [
            ("self.a.b in [1, 2, 4]", true),
            ("self.a.b in [1,2] && self.a.c <= 9", false),
            ("self.a.b <= self.a.c", true),
            ("self.a.c <= self.a.b", false),
            ("self.name.matches('^[a-z]+-[0-9]$')", true),
            ("self.name.matches('^[a-z]+$')", false),
        ] {
            assert_eq!(Expression::read(text).unwrap().broken(&own).is_none(), holds, "{text}");
        }
        let both = Expression::read("self.a.b in [4] && self.a.c in [8]").unwrap();
        assert_eq!(both.broken(&own).unwrap().path(), ["a", "c"]);
        for text in [
            "",
            "self.a == 7",
            "size(self.a) <= 7",
            "self.a <= 7 || self.b <= 7",
            "self.a.matches('(')",
            "self.a <= 7 7",
        ] {
            assert!(Expression::read(text).is_none(), "{text}");
        }
    }

    #[test]
    fn what_is_missing_breaks_nothing() {
        let rule = Expression::read("self.a <= 7 && self.b.matches('x')").unwrap();
        assert!(rule.broken(&json!({})).is_none() && rule.broken(&json!({"a": "text", "b": 7})).is_none());
    }
}
