//! Label selectors, as far as telling whether a text is one: the API server would refuse a wrong one at every watch, which
//! nobody sees but the log.

/// Whether `text` is a selector with at least one term. An empty one would select every namespace, kube-system included.
pub fn is_selector(text: &str) -> bool {
    let terms = split_terms(text);
    !terms.is_empty() && terms.iter().all(|term| is_term(term))
}

/// Splits at commas outside parentheses.
fn split_terms(text: &str) -> Vec<String> {
    let mut terms = vec![String::new()];
    let mut depth = 0_i32;
    for c in text.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        match terms.last_mut() {
            Some(term) if c != ',' || depth > 0 => term.push(c),
            _ => terms.push(String::new()),
        }
    }
    terms
}

fn is_term(term: &str) -> bool {
    let term = term.trim();
    for operator in ["!=", "==", "="] {
        if let Some((key, value)) = term.split_once(operator) {
            return is_label_key(key.trim()) && is_label_value(value.trim());
        }
    }
    for operator in [" in ", " notin "] {
        if let Some((key, set)) = term.split_once(operator) {
            let set = set.trim().strip_prefix('(').and_then(|set| set.strip_suffix(')'));
            return is_label_key(key.trim())
                && set.is_some_and(|set| set.split(',').all(|v| is_label_value(v.trim())));
        }
    }
    is_label_key(term.strip_prefix('!').unwrap_or(term))
}

/// Whether `text` can be the key of a label.
pub fn is_label_key(text: &str) -> bool {
    let (prefix, name) = text.rsplit_once('/').unwrap_or(("prefix", text));
    is_word(prefix, 253) && is_word(name, 63)
}

fn is_label_value(text: &str) -> bool {
    text.is_empty() || is_word(text, 63)
}

fn is_word(text: &str, bytes_max: usize) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.len() <= bytes_max
        && edge(text.chars().next())
        && edge(text.chars().last())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_told_from_other_text() {
        for good in ["a", "!a", "a=b", "a==b", "a!=b", "a=", "x.io/a in (b, c),d", "a notin (b)", "a=b,c=d"] {
            assert!(is_selector(good), "{good}");
        }
        for bad in ["", " ", "a,", "a b", "a in b", "a in (b", "a/b/c", "-a", "a=b c", "=b", "a=b=c"] {
            assert!(!is_selector(bad), "{bad}");
        }
    }
}
