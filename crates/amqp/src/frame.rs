//! Frames (AMQP 1.0 part 2 §2.3): a size, an offset, a type, a channel; then what they carry.

use bytes::{Buf as _, Bytes, BytesMut};

/// Smallest frame that everybody must take (part 2 §2.4.1).
pub(crate) const MIN_MAX_FRAME: u32 = 512;
/// Bytes of a frame before what it carries.
pub(crate) const HEAD: usize = 8;

pub(crate) const AMQP_HEADER: [u8; 8] = *b"AMQP\x00\x01\x00\x00";
pub(crate) const SASL_HEADER: [u8; 8] = *b"AMQP\x03\x01\x00\x00";

/// What a frame belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Amqp = 0,
    Sasl = 1,
}

/// One frame; an empty one only says that somebody is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub kind: Kind,
    pub channel: u16,
    pub body: Bytes,
}

/// Bytes of the first frame in all, once its size is known. The text says what is wrong with it.
pub(crate) fn size(input: &[u8], max_bytes: usize) -> Result<Option<usize>, &'static str> {
    let Some(head) = input.first_chunk::<4>() else {
        return Ok(None);
    };
    let size = usize::try_from(u32::from_be_bytes(*head)).unwrap_or(usize::MAX);
    if size < HEAD {
        return Err("a frame smaller than its own head");
    }
    if size > max_bytes {
        return Err("the frame is larger than max-frame-size in our open");
    }
    Ok(Some(size))
}

/// Takes the first whole frame; nothing when more bytes are needed.
pub(crate) fn take(input: &mut BytesMut, max_bytes: usize) -> Result<Option<Frame>, &'static str> {
    let Some(size) = size(input, max_bytes)? else {
        return Ok(None);
    };
    if input.len() < size {
        return Ok(None);
    }
    let mut body = input.split_to(size).freeze();
    let Some([_, _, _, _, offset, kind, high, low]) = body.first_chunk::<HEAD>().copied() else {
        return Ok(None);
    };
    let kind = match kind {
        0 => Kind::Amqp,
        1 => Kind::Sasl,
        _ => return Err("a type of frame that AMQP does not have"),
    };
    let offset = usize::from(offset) * 4;
    if offset < HEAD || offset > size {
        return Err("a data offset outside the frame");
    }
    body.advance(offset);
    let channel = u16::from_be_bytes([high, low]);
    Ok(Some(Frame {
        kind,
        channel,
        body,
    }))
}

/// Appends a frame; `write` adds what it carries.
pub(crate) fn put(out: &mut Vec<u8>, kind: Kind, channel: u16, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    let [high, low] = channel.to_be_bytes();
    out.extend_from_slice(&[0, 0, 0, 0, 2, kind as u8, high, low]);
    write(out);
    // What is written is cut to the size agreed before it comes here.
    let size = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    if let Some(place) = out.get_mut(start..start + 4) {
        place.copy_from_slice(&size.to_be_bytes());
    }
}

/// Appends a frame that only says that we are there.
pub(crate) fn put_empty(out: &mut Vec<u8>) {
    put(out, Kind::Amqp, 0, |_| {});
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_frame_is_said_at_once() {
        let taken = |bytes: &[u8]| take(&mut BytesMut::from(bytes), 4096);
        assert_eq!(taken(&[0, 0, 0]), Ok(None));
        assert_eq!(taken(&[0, 0, 0, 9, 2, 0, 0, 0]), Ok(None));
        for (bytes, reason) in [
            ([0, 0, 0, 7, 2, 0, 0, 0], "smaller"),
            ([0, 1, 0, 0, 2, 0, 0, 0], "larger"),
            ([0, 0, 0, 8, 2, 9, 0, 0], "type"),
            ([0, 0, 0, 8, 1, 0, 0, 0], "offset"),
            ([0, 0, 0, 8, 3, 0, 0, 0], "offset"),
        ] {
            let told = taken(&bytes).expect_err("refused");
            assert!(told.contains(reason), "{told}");
        }
        let empty = taken(&[0, 0, 0, 8, 2, 0, 0, 5]);
        assert_eq!(empty.map(|f| f.map(|f| f.channel)), Ok(Some(5)));
    }

    proptest! {
        #[test]
        fn frames_come_back(channel: u16, payload in proptest::collection::vec(any::<u8>(), 0..300), more: u8) {
            let mut out = Vec::new();
            put(&mut out, Kind::Sasl, channel, |out| out.extend_from_slice(&payload));
            out.push(more);
            let mut input = BytesMut::from(&out[..]);
            let frame = take(&mut input, 4096).unwrap().unwrap();
            prop_assert_eq!((frame.kind, frame.channel, &frame.body[..]), (Kind::Sasl, channel, &payload[..]));
            prop_assert_eq!(&input[..], &[more]);
        }

        #[test]
        fn no_bytes_bring_it_down(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut input = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = take(&mut input, 4096) {}
        }
    }
}
