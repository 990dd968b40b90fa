//! A screenshot with fewer colours: a browser writes each dot with all of them, which needs four times as many bytes.

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};

/// Of each part of a colour so many steps are kept: enough for the soft edges of text.
const STEPS: u16 = 15;
/// So many colours are kept as they are, the most frequent ones: those of boxes, lines and text.
const EXACT: usize = 48;

/// The chunks of a picture: name and contents.
fn chunks(mut bytes: &[u8]) -> Vec<([u8; 4], &[u8])> {
    let mut chunks = Vec::new();
    bytes = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n").unwrap();
    while !bytes.is_empty() {
        let length = u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
        chunks.push((bytes[4..8].try_into().unwrap(), &bytes[8..8 + length]));
        bytes = &bytes[12 + length..];
    }
    chunks
}

/// The lines of a picture with `each` bytes for a dot, as they were before the filters of PNG.
fn lines(filtered: &[u8], width: usize, each: usize) -> Vec<Vec<u8>> {
    let mut above = vec![0; width * each];
    let mut lines = Vec::new();
    for line in filtered.chunks_exact(width * each + 1) {
        let mut now = line[1..].to_vec();
        for at in 0..now.len() {
            let before = |line: &[u8]| at.checked_sub(each).map_or(0, |at| line[at]);
            let (left, up, corner) = (before(&now), above[at], before(&above));
            let added = match line[0] {
                0 => 0,
                1 => left,
                2 => up,
                3 => left.midpoint(up),
                4 => nearest(left, up, corner),
                other => panic!("PNG has no filter {other}"),
            };
            now[at] = now[at].wrapping_add(added);
        }
        above.clone_from(&now);
        lines.push(now);
    }
    lines
}

/// Of the three dots the one whose value is nearest to the sum of both neighbours without the corner.
fn nearest(left: u8, up: u8, corner: u8) -> u8 {
    let sum = i16::from(left) + i16::from(up) - i16::from(corner);
    [left, up, corner].into_iter().min_by_key(|value| (sum - i16::from(*value)).abs()).unwrap()
}

fn step(value: u8) -> u8 {
    let level = (u16::from(value) * STEPS + 127) / 255;
    u8::try_from(level * 255 / STEPS).unwrap()
}

/// The most frequent colours of `dots`.
fn frequent<'a>(dots: impl Iterator<Item = &'a [u8]>) -> BTreeSet<[u8; 3]> {
    let mut counts = BTreeMap::new();
    for dot in dots {
        *counts.entry([dot[0], dot[1], dot[2]]).or_insert(0_usize) += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts.into_iter().take(EXACT).map(|(colour, _)| colour).collect()
}

/// `screenshot`, a PNG of a browser, with a palette.
pub fn with_palette(screenshot: &[u8]) -> Vec<u8> {
    let chunks = chunks(screenshot);
    let head = chunks[0].1;
    let (width, each) = (u32::from_be_bytes(head[..4].try_into().unwrap()) as usize, if head[9] == 6 { 4 } else { 3 });
    assert!(head[8] == 8 && [2, 6].contains(&head[9]) && head[12] == 0, "another kind of PNG: {head:?}");
    let packed: Vec<u8> =
        chunks.iter().filter(|(name, _)| name == b"IDAT").flat_map(|(_, part)| *part).copied().collect();
    let mut filtered = Vec::new();
    ZlibDecoder::new(&packed[..]).read_to_end(&mut filtered).unwrap();

    let lines = lines(&filtered, width, each);
    let exact = frequent(lines.iter().flat_map(|line| line.chunks_exact(each)));
    let (mut palette, mut colours, mut dots) = (BTreeMap::new(), Vec::new(), Vec::new());
    for line in &lines {
        dots.push(0);
        for dot in line.chunks_exact(each) {
            let colour = [dot[0], dot[1], dot[2]];
            let colour = if exact.contains(&colour) { colour } else { colour.map(step) };
            let number = *palette.entry(colour).or_insert_with(|| {
                colours.extend(colour);
                colours.len() / 3 - 1
            });
            dots.push(u8::try_from(number).expect("at most 256 colours"));
        }
    }
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&dots).unwrap();
    // Eight bits for a dot, which are a number in the palette.
    let head = [&head[..8], &[8, 3, 0, 0, 0]].concat();
    let mut picture = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, contents) in
        [(b"IHDR", &head), (b"PLTE", &colours), (b"IDAT", &encoder.finish().unwrap()), (b"IEND", &Vec::new())]
    {
        picture.extend(u32::try_from(contents.len()).unwrap().to_be_bytes());
        let mut sum = flate2::Crc::new();
        sum.update(name);
        sum.update(contents);
        picture.extend(name);
        picture.extend(contents);
        picture.extend(sum.sum().to_be_bytes());
    }
    picture
}
