//! Protobuf's wire format, as far as a descriptor-driven reader and printer need it.

/// What follows a tag.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Wire<'b> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'b [u8]),
}

/// Appends a base-128 varint.
pub(super) fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a tag and a length-delimited field.
pub(super) fn bytes(number: u32, value: &[u8], out: &mut Vec<u8>) {
    varint(u64::from(number) << 3 | 2, out);
    varint(value.len() as u64, out);
    out.extend_from_slice(value);
}

/// Takes the next field off the front, or `None` at the end or where the bytes are no message.
pub(super) fn next<'b>(input: &mut &'b [u8]) -> Option<(u32, Wire<'b>)> {
    let tag = take_varint(input)?;
    let number = u32::try_from(tag >> 3).ok()?;
    let value = match tag & 7 {
        0 => Wire::Varint(take_varint(input)?),
        1 => Wire::Fixed64(u64::from_le_bytes(take(input, 8)?.try_into().ok()?)),
        2 => {
            let length = usize::try_from(take_varint(input)?).ok()?;
            Wire::Bytes(take(input, length)?)
        }
        5 => Wire::Fixed32(u32::from_le_bytes(take(input, 4)?.try_into().ok()?)),
        _ => return None,
    };
    Some((number, value))
}

/// Takes a varint off the front.
pub(super) fn take_varint(input: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = input.split_first()?;
        *input = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Takes `length` bytes off the front.
pub(super) fn take<'b>(input: &mut &'b [u8], length: usize) -> Option<&'b [u8]> {
    let (head, rest) = input.split_at_checked(length)?;
    *input = rest;
    Some(head)
}
