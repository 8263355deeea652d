//! Hostile bytes: never a panic, never more memory than the limits allow.
//!
//! An allocator that counts what this thread holds measures it.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may fail loudly in its helpers, too"
)]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::BytesMut;
use ipc_proto::frame::{
    FrameCodec, FrameError, Kind, MAX_AHP_BYTES, MAX_CHUNK_BYTES, MAX_CONTROL_BYTES,
    MAX_FRAME_BYTES,
};
use ipc_proto::hello::{Hello, Refused, Welcome};
use ipc_proto::message::{Message, MessageCodec, Side};
use proptest::prelude::*;
use support::frame;
use tokio_util::codec::Decoder;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(change: isize) {
    HELD.set(HELD.get() + change);
    PEAK.set(PEAK.get().max(HELD.get()));
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: every call goes to the system's allocator unchanged; counting touches no memory of the caller.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promise about `memory` and `layout` is passed on.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        // SAFETY: the caller's promise about `memory`, `layout` and `size` is passed on.
        unsafe { System.realloc(memory, layout, size) }
    }
}

/// The most bytes that this thread held at once during `work`, beyond what it held before.
fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get();
    PEAK.set(before);
    let result = work();
    (result, (PEAK.get() - before).max(0) as usize)
}

/// What reading may hold besides the message: the frame that is read and a little.
const SLACK_BYTES: usize = 4 * MAX_CHUNK_BYTES;

/// Feeds a codec piece by piece as a socket would, until it is done, fails, or the pieces end.
fn feed<D: Decoder<Error = FrameError>>(
    codec: &mut D,
    pieces: impl IntoIterator<Item = impl AsRef<[u8]>>,
) -> Result<Vec<D::Item>, FrameError> {
    let mut buffer = BytesMut::with_capacity(8 * 1024);
    let mut items = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece.as_ref());
        while let Some(item) = codec.decode(&mut buffer)? {
            items.push(item);
        }
    }
    while let Some(item) = codec.decode_eof(&mut buffer)? {
        items.push(item);
    }
    Ok(items)
}

fn daemon() -> MessageCodec {
    MessageCodec::new(Side::Daemon)
}

#[test]
fn an_announced_length_is_checked_before_memory_is_taken_for_it() {
    for length in [MAX_FRAME_BYTES as u32 + 1, 1 << 30, u32::MAX] {
        let (result, peak) = peak_of(|| feed(&mut daemon(), [length.to_be_bytes()]));
        assert!(
            matches!(result, Err(FrameError::FrameTooLong)),
            "{length}: {result:?}"
        );
        assert!(peak < 16 * 1024, "{length}: {peak} bytes");
    }
    let largest = frame(5, 0, &vec![b' '; MAX_CHUNK_BYTES]);
    assert_eq!(feed(&mut daemon(), [largest]).unwrap().len(), 1);
}

#[test]
fn frames_that_break_a_rule_are_named() {
    type Case = (&'static str, Vec<u8>, fn(&FrameError) -> bool);
    let cases: [Case; 9] = [
        ("no kind", vec![0, 0, 0, 0], |e| {
            matches!(e, FrameError::FrameTooShort)
        }),
        ("no flags", vec![0, 0, 0, 1, 5], |e| {
            matches!(e, FrameError::FrameTooShort)
        }),
        ("kind 6", frame(6, 0, b""), |e| {
            matches!(e, FrameError::UnknownKind(6))
        }),
        ("flag 2", frame(5, 2, b""), |e| {
            matches!(e, FrameError::UnknownFlags(2))
        }),
        ("second hello", frame(0, 0, b""), |e| {
            matches!(e, FrameError::UnexpectedKind(Kind::Hello))
        }),
        ("reply to a daemon", frame(4, 0, &[1, 0]), |e| {
            matches!(e, FrameError::UnexpectedKind(Kind::ControlReply))
        }),
        (
            "another kind inside",
            [frame(5, 1, b"{"), frame(3, 0, &[1, 0])].concat(),
            |e| {
                matches!(
                    e,
                    FrameError::KindChanged {
                        began: Kind::Ahp,
                        found: Kind::ControlRequest
                    }
                )
            },
        ),
        ("end inside a message", frame(5, 1, b"{"), |e| {
            matches!(e, FrameError::CutOff)
        }),
        ("end after a length", vec![0, 0, 0, 9], |e| {
            matches!(e, FrameError::CutOff)
        }),
    ];
    for (name, bytes, expected) in cases {
        let error = feed(&mut daemon(), [bytes]).unwrap_err();
        assert!(expected(&error), "{name}: {error:?}");
    }
    let to_client = feed(&mut MessageCodec::new(Side::Client), [frame(3, 0, &[1, 0])]);
    assert!(matches!(
        to_client,
        Err(FrameError::UnexpectedKind(Kind::ControlRequest))
    ));
}

#[test]
fn a_message_without_end_is_stopped_at_its_limit() {
    for (kind, limit) in [
        (Kind::Ahp, MAX_AHP_BYTES),
        (Kind::ControlRequest, MAX_CONTROL_BYTES),
    ] {
        // The second size does not divide the limit, so that growing cannot end there by chance.
        for chunk_bytes in [MAX_CHUNK_BYTES, 60_000] {
            let endless = std::iter::repeat(frame(kind as u8, 1, &vec![b' '; chunk_bytes]));
            let (result, peak) = peak_of(|| feed(&mut daemon(), endless));
            assert!(matches!(result, Err(FrameError::MessageTooLong { kind: k }) if k == kind));
            assert!(peak <= limit + SLACK_BYTES, "{kind:?}: {peak} bytes");
        }
    }
}

#[test]
fn a_message_of_exactly_the_limit_passes_without_being_held_twice() {
    let pieces = MAX_AHP_BYTES / MAX_CHUNK_BYTES;
    let chunk = vec![b' '; MAX_CHUNK_BYTES];
    let frames = (1..=pieces).map(|piece| frame(5, u8::from(piece < pieces), &chunk));
    let (messages, peak) = peak_of(|| feed(&mut daemon(), frames).unwrap());
    assert!(matches!(&messages[..], [Message::Ahp(bytes)] if bytes.len() == MAX_AHP_BYTES));
    assert!(peak <= MAX_AHP_BYTES + SLACK_BYTES, "{peak} bytes");
}

#[test]
fn one_byte_chunks_take_no_more_than_the_message() {
    let frames = (0..100_000).map(|_| frame(5, 1, b" "));
    let (result, peak) = peak_of(|| feed(&mut daemon(), frames));
    assert!(matches!(result, Err(FrameError::CutOff)));
    assert!(peak <= 2 * 100_000 + SLACK_BYTES, "{peak} bytes");
}

/// What decoding a control message may hold: its bytes, a claimed length that is believed once, and a full
/// environment's worth of small lists.
const CONTROL_PEAK_BYTES: usize = 4 * MAX_CONTROL_BYTES;

#[test]
fn nine_byte_lengths_are_not_believed() {
    let lengths = [
        u64::MAX,
        1 << 62,
        1 << 40,
        1 << 31,
        1 << 24,
        (1 << 20) + 1,
        1 << 16,
    ];
    // Everything that has a length: the variables, a name, a value, the folder, a session.
    let before_length: [&[u8]; 5] = [
        &[1, 2],
        &[1, 2, 1],
        &[1, 2, 1, 0],
        &[1, 2, 0, 0, 1],
        &[1, 3],
    ];
    for length in lengths {
        for prefix in before_length {
            let mut payload = prefix.to_vec();
            payload.push(0xfd);
            payload.extend(length.to_le_bytes());
            let bytes = frame(3, 0, &payload);
            let (result, peak) = peak_of(|| feed(&mut daemon(), [bytes]));
            assert!(
                matches!(result, Err(FrameError::Control(_))),
                "{prefix:?} {length}: {result:?}"
            );
            assert!(
                peak <= CONTROL_PEAK_BYTES,
                "{prefix:?} {length}: {peak} bytes"
            );
        }
    }
}

#[test]
fn a_small_message_cannot_become_a_large_value() {
    // Half a million empty variables fit into a message; each would be 48 bytes in memory.
    let mut payload = vec![1, 2, 0xfc];
    payload.extend(500_000_u32.to_le_bytes());
    payload.resize(MAX_CONTROL_BYTES, 0);
    let chunks: Vec<_> = payload.chunks(MAX_CHUNK_BYTES).collect();
    let last = chunks.len() - 1;
    let frames = chunks
        .iter()
        .enumerate()
        .map(|(at, chunk)| frame(3, u8::from(at < last), chunk));
    let (result, peak) = peak_of(|| feed(&mut daemon(), frames));
    assert!(matches!(result, Err(FrameError::Control(_))), "{result:?}");
    assert!(peak <= CONTROL_PEAK_BYTES, "{peak} bytes");
}

#[test]
fn a_request_of_a_newer_client_is_told_apart_from_nonsense() {
    let read = |payload: &[u8]| feed(&mut daemon(), [frame(3, 0, payload)]);
    assert_eq!(
        read(&[9, 200, 1, 2, 3]).unwrap(),
        [Message::UnknownControlRequest { id: 9 }]
    );
    assert_eq!(
        read(&[9, 250]).unwrap(),
        [Message::UnknownControlRequest { id: 9 }]
    );
    for nonsense in [
        &[][..],
        &[9],
        &[9, 1],
        &[9, 1, 7],
        &[9, 4],
        &[9, 0, 0],
        &[0xff; 12],
    ] {
        assert!(
            matches!(read(nonsense), Err(FrameError::Control(_))),
            "{nonsense:?}"
        );
    }
}

/// Bytes that get past the first checks: frames with likely and unlikely kinds and flags.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let payload = prop::collection::vec(prop_oneof![3 => 0_u8..8, 1 => any::<u8>()], 0..200);
    let one = (
        prop_oneof![8 => 3_u8..6, 1 => any::<u8>()],
        prop_oneof![8 => 0_u8..2, 1 => any::<u8>()],
        payload,
    )
        .prop_map(|(kind, flags, payload)| frame(kind, flags, &payload));
    prop::collection::vec(one, 0..12).prop_map(|frames| frames.concat())
}

fn sides() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Client), Just(Side::Daemon)]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic_and_stay_small(side in sides(), bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
        let (_, peak) = peak_of(|| feed(&mut MessageCodec::new(side), [&bytes]));
        prop_assert!(peak <= CONTROL_PEAK_BYTES, "{} bytes", peak);
        let (_, peak) = peak_of(|| feed(&mut FrameCodec::default(), [&bytes]));
        prop_assert!(peak <= SLACK_BYTES, "{} bytes", peak);
    }

    #[test]
    fn random_frames_never_panic_and_stay_small(side in sides(), bytes in frames()) {
        let (_, peak) = peak_of(|| feed(&mut MessageCodec::new(side), [&bytes]));
        prop_assert!(peak <= CONTROL_PEAK_BYTES, "{} bytes", peak);
    }

    #[test]
    fn it_does_not_matter_how_the_bytes_arrive(side in sides(), bytes in frames(), step in 1_usize..50) {
        let whole = feed(&mut MessageCodec::new(side), [&bytes]).map_err(|error| error.to_string());
        let pieces = feed(&mut MessageCodec::new(side), bytes.chunks(step)).map_err(|error| error.to_string());
        prop_assert_eq!(whole, pieces);
    }

    #[test]
    fn random_greetings_never_panic(tail in prop::collection::vec(any::<u8>(), 0..300), magic in any::<bool>()) {
        let bytes = if magic { [b"COPILOTD".as_slice(), &tail].concat() } else { tail };
        let _ = (Hello::decode(&bytes), Welcome::decode(&bytes), Refused::decode(&bytes));
    }
}
