//! The header Content-Disposition (RFC 6266) and the media type of a file, from a name that may be any bytes.

use percent_encoding::percent_decode_str;

/// What a fallback name shows at most; longer ones are in `filename*` only.
const FALLBACK_CHARS_MAX: usize = 150;

/// What may stand in `filename*` as it is (RFC 5987, attr-char).
fn is_attribute_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte)
}

/// `attachment` with the name for whoever saves it. `name` is shown as UTF-8; where it is not, U+FFFD stands for it.
pub fn attachment(name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name);
    // A direction mark shows `gpj.exe` as `exe.jpg`; browsers keep them, so they go here.
    let name: String = name.chars().filter(|c| !c.is_control() && !is_direction(*c)).collect();
    let name = if name.is_empty() { "file" } else { name.as_str() };
    let plain = |c: char| if c.is_ascii_graphic() && !r#""\%;/"#.contains(c) || c == ' ' { c } else { '_' };
    let fallback: String = name.chars().take(FALLBACK_CHARS_MAX).map(plain).collect();
    let mut encoded = String::new();
    for byte in name.bytes() {
        if is_attribute_char(byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    format!("attachment; filename=\"{fallback}\"; filename*=UTF-8''{encoded}")
}

fn is_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The last name of a percent-encoded path.
pub fn last_name(path: &str) -> Vec<u8> {
    let last = path.split('/').rev().find(|part| !part.is_empty()).unwrap_or_default();
    percent_decode_str(last).collect()
}

/// How a preview is shown: the images that browsers draw without running anything, and everything else as the text it is.
pub fn preview_type(name: &[u8]) -> &'static str {
    let lower = name.to_ascii_lowercase();
    let ends = |extension: &str| lower.ends_with(extension.as_bytes());
    match () {
        () if ends(".png") => "image/png",
        () if ends(".jpg") || ends(".jpeg") => "image/jpeg",
        () if ends(".gif") => "image/gif",
        () if ends(".webp") => "image/webp",
        () if ends(".avif") => "image/avif",
        () => "text/plain; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn hostile_names_stay_inside_their_quotes() {
        for (name, expected) in [
            (&b"a b.txt"[..], "attachment; filename=\"a b.txt\"; filename*=UTF-8''a%20b.txt"),
            (
                b"\"; filename=\"x.html",
                "attachment; filename=\"__ filename=_x.html\"; filename*=UTF-8''%22%3B%20filename%3D%22x.html",
            ),
            (
                b"a\r\nSet-Cookie: x",
                "attachment; filename=\"aSet-Cookie: x\"; filename*=UTF-8''aSet-Cookie%3A%20x",
            ),
            ("é.txt".as_bytes(), "attachment; filename=\"_.txt\"; filename*=UTF-8''%C3%A9.txt"),
            (b"\xff.bin", "attachment; filename=\"_.bin\"; filename*=UTF-8''%EF%BF%BD.bin"),
            ("a\u{202e}gpj.exe".as_bytes(), "attachment; filename=\"agpj.exe\"; filename*=UTF-8''agpj.exe"),
            (b"%41", "attachment; filename=\"_41\"; filename*=UTF-8''%2541"),
            (b"a\\b/c", "attachment; filename=\"a_b_c\"; filename*=UTF-8''a%5Cb%2Fc"),
            (b"", "attachment; filename=\"file\"; filename*=UTF-8''file"),
            (b"\n", "attachment; filename=\"file\"; filename*=UTF-8''file"),
        ] {
            let value = attachment(name);
            assert_eq!(value, expected);
            assert!(HeaderValue::from_str(&value).is_ok());
        }
        for byte in 0..=255_u8 {
            let value = attachment(&[b'x', byte]);
            assert!(value.is_ascii() && HeaderValue::from_str(&value).is_ok());
            assert_eq!(value.matches('"').count(), 2, "{value}");
        }
        assert!(attachment(&[b'a'; 255]).len() < 512);
    }

    #[test]
    fn only_images_that_run_nothing_are_images() {
        for (name, expected) in [
            (&b"a.PNG"[..], "image/png"),
            (b"a.jpeg", "image/jpeg"),
            (b"a.svg", "text/plain; charset=utf-8"),
            (b"a.html", "text/plain; charset=utf-8"),
            (b"a.png.html", "text/plain; charset=utf-8"),
            (b"png", "text/plain; charset=utf-8"),
            (b"\xff.gif", "image/gif"),
        ] {
            assert_eq!(preview_type(name), expected);
        }
    }

    #[test]
    fn the_last_name_is_decoded_once() {
        for (path, name) in
            [("content/a/b%2520c", &b"b%20c"[..]), ("a/%FF/", b"\xff"), ("", b""), ("//", b"")]
        {
            assert_eq!(last_name(path), name);
        }
    }
}
