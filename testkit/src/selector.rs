//! Label and field selectors, as far as our programs use them.

use serde_json::Value;

/// The selectors of a list or watch.
#[derive(Clone, Debug, Default)]
pub struct Selector {
    labels: Vec<Term>,
    fields: Vec<Term>,
}

#[derive(Clone, Debug)]
enum Term {
    Exists(String),
    Absent(String),
    Equal(String, String),
    NotEqual(String, String),
    In(String, Vec<String>),
}

impl Selector {
    /// From the query parameters `labelSelector` and `fieldSelector`.
    pub fn parse(labels: Option<&str>, fields: Option<&str>) -> Self {
        Self { labels: terms(labels.unwrap_or("")), fields: terms(fields.unwrap_or("")) }
    }

    /// Whether an object is selected.
    pub fn matches(&self, object: &Value) -> bool {
        let label = |key: &str| object["metadata"]["labels"][key].as_str().map(String::from);
        let field = |path: &str| {
            let pointer = format!("/{}", path.replace('.', "/"));
            Some(object.pointer(&pointer).and_then(Value::as_str).unwrap_or("").to_string())
        };
        self.labels.iter().all(|t| t.holds(label)) && self.fields.iter().all(|t| t.holds(field))
    }
}

impl Term {
    fn holds(&self, get: impl Fn(&str) -> Option<String>) -> bool {
        match self {
            Self::Exists(key) => get(key).is_some(),
            Self::Absent(key) => get(key).is_none(),
            Self::Equal(key, value) => get(key).as_ref() == Some(value),
            Self::NotEqual(key, value) => get(key).as_ref() != Some(value),
            Self::In(key, values) => get(key).is_some_and(|v| values.contains(&v)),
        }
    }
}

/// Splits at commas outside parentheses.
fn terms(text: &str) -> Vec<Term> {
    let mut parts = vec![String::new()];
    let mut depth = 0;
    for c in text.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if c == ',' && depth == 0 {
            parts.push(String::new());
        } else if let Some(last) = parts.last_mut() {
            last.push(c);
        }
    }
    parts.iter().map(|p| p.trim()).filter(|p| !p.is_empty()).map(term).collect()
}

fn term(text: &str) -> Term {
    let own = |s: &str| s.trim().to_string();
    if let Some((key, value)) = text.split_once("!=") {
        return Term::NotEqual(own(key), own(value));
    }
    if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return Term::Equal(own(key), own(value));
    }
    if let Some((key, values)) = text.split_once(" in ") {
        let values = values.trim().trim_matches(['(', ')']);
        return Term::In(own(key), values.split(',').map(own).collect());
    }
    match text.strip_prefix('!') {
        Some(key) => Term::Absent(own(key)),
        None => Term::Exists(own(text)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn labels_and_fields_select() {
        let object = json!({"metadata": {"name": "x", "labels": {"a": "1", "b": "2"}}, "status": {"phase": "Running"}});
        for (labels, fields, selected) in [
            ("a", "", true),
            ("!a", "", false),
            ("a=1,b!=3", "", true),
            ("a in (1,2),b", "", true),
            ("a in (3)", "", false),
            ("", "metadata.name=x,status.phase!=Failed", true),
            ("", "spec.nodeName!=", false),
        ] {
            let selector = Selector::parse(Some(labels), Some(fields));
            assert_eq!(selector.matches(&object), selected, "{labels} {fields}");
        }
    }
}
