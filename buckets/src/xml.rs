//! The XML of answers: names and texts, nothing else of it. Pure. Entities that a document declares itself are refused.

use quick_xml::events::Event;
use quick_xml::{Reader, escape};

/// Elements may lie in each other this deep.
const DEPTH_MAX: usize = 16;

/// Calls `leaf` with the names of the elements that a text lies in, the root's first, and the text.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn each_text(xml: &str, mut leaf: impl FnMut(&[String], String)) -> Result<(), String> {
    let mut reader = Reader::from_str(xml);
    reader.config_mut().check_end_names = true;
    let mut names: Vec<String> = Vec::new();
    let mut text = String::new();
    let mut has_children = true;
    loop {
        match reader.read_event().map_err(|error| error.to_string())? {
            Event::Start(start) => {
                names.push(start.local_name().as_ref().to_owned());
                if names.len() > DEPTH_MAX {
                    return Err("elements lie in each other too deep".to_owned());
                }
                text.clear();
                has_children = false;
            }
            Event::Empty(start) => {
                names.push(start.local_name().as_ref().to_owned());
                leaf(&names, String::new());
                names.pop();
                has_children = true;
            }
            Event::End(_) => {
                if !has_children {
                    leaf(&names, std::mem::take(&mut text));
                }
                names.pop();
                has_children = true;
            }
            Event::Text(part) => text.push_str(&part.xml10_content()),
            Event::CData(part) => text.push_str(&part.xml10_content()),
            Event::GeneralRef(reference) => {
                let character = reference.resolve_char_ref().map_err(|error| error.to_string())?;
                match (character, escape::resolve_predefined_entity(&reference)) {
                    (Some(character), _) => text.push(character),
                    (None, Some(predefined)) => text.push_str(predefined),
                    (None, None) => return Err("it has an entity that is not XML's own".to_owned()),
                }
            }
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            Event::DocType(_) => return Err("it declares a document type".to_owned()),
            Event::Eof if names.is_empty() => return Ok(()),
            Event::Eof => return Err("it ends too early".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(xml: &str) -> Result<Vec<(String, String)>, String> {
        let mut texts = Vec::new();
        each_text(xml, |names, text| texts.push((names.join("/"), text)))?;
        Ok(texts)
    }

    #[test]
    fn texts_come_with_the_names_above_them_whatever_the_prefix_and_the_escapes() {
        let xml = "<?xml version=\"1.0\"?>\n<R xmlns='x'> <a>1 &amp; &#x41;&#66;<![CDATA[<c>]]></a><s:b xmlns:s='y'><c/></s:b><d></d></R>";
        let expected = [("R/a", "1 & AB<c>"), ("R/b/c", ""), ("R/d", "")];
        let expected: Vec<_> = expected.map(|(names, text)| (names.to_owned(), text.to_owned())).into();
        assert_eq!(texts(xml), Ok(expected));
    }

    #[test]
    fn what_is_no_document_or_wants_more_than_texts_is_refused() {
        let deep = "<a>".repeat(DEPTH_MAX + 1);
        for bad in ["<a>", "<a></b>", "<a>&x;</a>", "<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>", &deep] {
            assert!(texts(bad).is_err(), "{bad}");
        }
    }
}
