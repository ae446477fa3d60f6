//! From MySQL's stored geometries to well-known text.

use std::fmt::Write as _;

/// Deepest nesting of collections that is read.
const DEEPEST: usize = 16;

/// The well-known text of a stored geometry, which is a spatial reference number and well-known binary. A number other
/// than 0 comes first, as in `SRID=4326;POINT(13.4 52.5)`. Coordinates stand in the order in which they are stored, x
/// before y. `None` when the bytes are something else.
pub(super) fn text(bytes: &[u8]) -> Option<String> {
    let (srid, rest) = bytes.split_first_chunk()?;
    let mut text = String::new();
    match u32::from_le_bytes(*srid) {
        0 => {}
        srid => write!(text, "SRID={srid};").ok()?,
    }
    let mut reader = Reader { rest, little_endian: true };
    geometry(&mut reader, &mut text, DEEPEST)?;
    reader.rest.is_empty().then_some(text)
}

struct Reader<'a> {
    rest: &'a [u8],
    little_endian: bool,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*taken)
    }

    fn count(&mut self) -> Option<u32> {
        let bytes = self.take()?;
        Some(if self.little_endian { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }

    fn number(&mut self) -> Option<f64> {
        let bytes = self.take()?;
        Some(if self.little_endian { f64::from_le_bytes(bytes) } else { f64::from_be_bytes(bytes) })
    }

    /// Byte order and type.
    fn head(&mut self) -> Option<u32> {
        let [order] = self.take()?;
        self.little_endian = order == 1;
        self.count()
    }
}

/// What a geometry of a collection looks like inside it.
type Inner = fn(&mut Reader<'_>, &mut String) -> Option<()>;

fn geometry(reader: &mut Reader<'_>, text: &mut String, depth: usize) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    let (name, inner): (&str, Inner) = match reader.head()? {
        1 => ("POINT", |reader, text| parenthesised(text, |text| point(reader, text))),
        2 => ("LINESTRING", points),
        3 => ("POLYGON", rings),
        4 => ("MULTIPOINT", |reader, text| members(reader, text, point)),
        5 => ("MULTILINESTRING", |reader, text| members(reader, text, points)),
        6 => ("MULTIPOLYGON", |reader, text| members(reader, text, rings)),
        7 => {
            text.push_str("GEOMETRYCOLLECTION");
            let count = reader.count()?;
            if count == 0 {
                text.push_str(" EMPTY");
                return Some(());
            }
            return parenthesised(text, |text| separated(count, text, |text| geometry(reader, text, depth)));
        }
        _ => return None,
    };
    text.push_str(name);
    inner(reader, text)
}

fn point(reader: &mut Reader<'_>, text: &mut String) -> Option<()> {
    let (x, y) = (reader.number()?, reader.number()?);
    write!(text, "{} {}", number(x), number(y)).ok()
}

fn points(reader: &mut Reader<'_>, text: &mut String) -> Option<()> {
    let count = reader.count()?;
    parenthesised(text, |text| separated(count, text, |text| point(reader, text)))
}

fn rings(reader: &mut Reader<'_>, text: &mut String) -> Option<()> {
    let count = reader.count()?;
    parenthesised(text, |text| separated(count, text, |text| points(reader, text)))
}

fn members(reader: &mut Reader<'_>, text: &mut String, inner: Inner) -> Option<()> {
    let count = reader.count()?;
    parenthesised(text, |text| {
        separated(count, text, |text| {
            reader.head()?;
            inner(reader, text)
        })
    })
}

fn parenthesised(text: &mut String, inner: impl FnOnce(&mut String) -> Option<()>) -> Option<()> {
    text.push('(');
    inner(text)?;
    text.push(')');
    Some(())
}

fn separated(count: u32, text: &mut String, mut item: impl FnMut(&mut String) -> Option<()>) -> Option<()> {
    for index in 0..count {
        if index > 0 {
            text.push(',');
        }
        item(text)?;
    }
    Some(())
}

/// The shortest text that reads back the same; whole numbers without a point.
fn number(number: f64) -> String {
    let text = format!("{number:?}");
    text.strip_suffix(".0").map_or_else(|| text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_byte_orders_and_reference_numbers() {
        let little = hex::decode("000000000101000000000000000000f03f0000000000000440").unwrap();
        assert_eq!(text(&little).unwrap(), "POINT(1 2.5)");
        let big = hex::decode("e610000000000000013ff00000000000004004000000000000").unwrap();
        assert_eq!(text(&big).unwrap(), "SRID=4326;POINT(1 2.5)");
    }

    #[test]
    fn what_is_cut_or_too_deep_is_no_geometry() {
        let whole = hex::decode("000000000101000000000000000000f03f0000000000000440").unwrap();
        for end in 0..whole.len() {
            assert_eq!(text(&whole[..end]), None, "{end} bytes");
        }
        let longer = [whole.as_slice(), &[0]].concat();
        assert_eq!(text(&longer), None);
        let nested = [vec![0; 4], hex::decode("010700000001000000").unwrap().repeat(100)].concat();
        assert_eq!(text(&nested), None);
        let many = hex::decode("000000000102000000ffffffff").unwrap();
        assert_eq!(text(&many), None);
    }
}
