//! Frames (AMQP 0-9-1 §2.3.5): type, channel, size, payload, end mark.

use bytes::{Buf as _, Bytes, BytesMut};

/// Bytes of a frame around its payload.
pub(crate) const AROUND: usize = 8;
/// What every frame ends with.
const END: u8 = 0xce;

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Method = 1,
    Header = 2,
    Body = 3,
    Heartbeat = 8,
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub kind: Kind,
    pub channel: u16,
    pub payload: Bytes,
}

/// Takes the first whole frame; nothing when more bytes are needed. The text says what is wrong with what came.
pub(crate) fn take(input: &mut BytesMut, max_bytes: usize) -> Result<Option<Frame>, &'static str> {
    let Some((head, _)) = input.split_first_chunk::<7>() else {
        return Ok(None);
    };
    let [kind, channel_high, channel_low, size @ ..] = *head;
    let kind = match kind {
        1 => Kind::Method,
        2 => Kind::Header,
        3 => Kind::Body,
        8 => Kind::Heartbeat,
        _ => return Err("no such type of frame"),
    };
    let size = usize::try_from(u32::from_be_bytes(size)).unwrap_or(usize::MAX);
    if size > max_bytes.saturating_sub(AROUND) {
        return Err("the frame is larger than agreed");
    }
    if input.len() < size + AROUND {
        return Ok(None);
    }
    input.advance(7);
    let payload = input.split_to(size).freeze();
    if input.get_u8() != END {
        return Err("the frame does not end where it should");
    }
    let channel = u16::from_be_bytes([channel_high, channel_low]);
    Ok(Some(Frame {
        kind,
        channel,
        payload,
    }))
}

/// Appends a frame.
pub(crate) fn put(out: &mut Vec<u8>, kind: Kind, channel: u16, payload: &[u8]) {
    out.push(kind as u8);
    out.extend_from_slice(&channel.to_be_bytes());
    // Payloads are cut to the size agreed before they come here.
    let size = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&size.to_be_bytes());
    out.extend_from_slice(payload);
    out.push(END);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_frame_is_said_at_once() {
        let taken = |bytes: &[u8]| take(&mut BytesMut::from(bytes), 4096);
        assert_eq!(taken(&[1, 0, 1, 0, 0, 0]), Ok(None));
        assert_eq!(taken(&[1, 0, 1, 0, 0, 0, 2, 9, 9]), Ok(None));
        assert!(taken(&[4, 0, 1, 0, 0, 0, 0, END]).is_err());
        assert!(taken(&[1, 0, 1, 0, 0, 0x10, 0]).is_err());
        assert!(taken(&[1, 0, 1, 0, 0, 0, 1, 9, 9]).is_err());
    }

    proptest! {
        #[test]
        fn frames_come_back(channel in any::<u16>(), payload in proptest::collection::vec(any::<u8>(), 0..300), more in any::<u8>()) {
            let mut out = Vec::new();
            put(&mut out, Kind::Body, channel, &payload);
            out.push(more);
            let mut input = BytesMut::from(&out[..]);
            let frame = take(&mut input, 4096).unwrap().unwrap();
            prop_assert_eq!((frame.kind, frame.channel, &frame.payload[..]), (Kind::Body, channel, &payload[..]));
            prop_assert_eq!(&input[..], &[more]);
        }

        #[test]
        fn no_bytes_bring_it_down(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut input = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = take(&mut input, 4096) {}
        }
    }
}
