//! A picture to look at, as PNG has it: colours that run into each other, not compressed.

/// Bytes in one block of a stream that is not compressed.
const BLOCK_MAX: usize = 0xffff;

/// A PNG of that size in pixels, 8 bits each of red, green and blue.
pub fn gradient(width: u32, height: u32) -> Vec<u8> {
    let mut header = Vec::new();
    header.extend(width.to_be_bytes());
    header.extend(height.to_be_bytes());
    // 8 bits, colours, and the only methods that there are; not interlaced.
    header.extend([8, 2, 0, 0, 0]);
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    png.extend(chunk(*b"IHDR", &header));
    png.extend(chunk(*b"IDAT", &stream(&pixels(width, height))));
    png.extend(chunk(*b"IEND", &[]));
    png
}

fn pixels(width: u32, height: u32) -> Vec<u8> {
    let part = |at: u32, of: u32| u8::try_from(at * 255 / of.max(1)).unwrap_or(u8::MAX);
    let mut pixels = Vec::new();
    for y in 0..height {
        // No filter in this line.
        pixels.push(0);
        for x in 0..width {
            pixels.extend([part(x, width), part(y, height), 255 - part(x + y, width + height)]);
        }
    }
    pixels
}

/// A zlib stream (RFC 1950) of stored blocks (RFC 1951).
fn stream(bytes: &[u8]) -> Vec<u8> {
    let mut stream = vec![0x78, 0x01];
    let mut blocks = bytes.chunks(BLOCK_MAX).peekable();
    while let Some(block) = blocks.next() {
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        stream.push(u8::from(blocks.peek().is_none()));
        stream.extend(length.to_le_bytes());
        stream.extend((!length).to_le_bytes());
        stream.extend(block);
    }
    let (mut a, mut b) = (1_u32, 0_u32);
    for byte in bytes {
        a = (a + u32::from(*byte)) % 65521;
        b = (b + a) % 65521;
    }
    stream.extend((b << 16 | a).to_be_bytes());
    stream
}

fn chunk(kind: [u8; 4], data: &[u8]) -> Vec<u8> {
    let named = [kind.as_slice(), data].concat();
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    [length.to_be_bytes().as_slice(), &named, &checksum(&named).to_be_bytes()].concat()
}

/// CRC-32 as PNG has it.
fn checksum(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
    };
    !bytes.iter().fold(!0, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_begins_and_ends_as_every_png() {
        let png = gradient(320, 200);
        assert!(png.starts_with(b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"));
        // The end of every PNG, its checksum included.
        assert!(png.ends_with(b"\0\0\0\0IEND\xae\x42\x60\x82"));
    }

    #[test]
    fn a_stream_is_its_blocks_and_the_sum_of_its_bytes() {
        assert_eq!(stream(b"a"), [0x78, 0x01, 1, 1, 0, 0xfe, 0xff, b'a', 0, 0x62, 0, 0x62]);
        let long = stream(&vec![0; BLOCK_MAX + 1]);
        assert_eq!((long[2], long[2 + 5 + BLOCK_MAX]), (0, 1));
    }
}
