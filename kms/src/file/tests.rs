use std::io::{self, Read};

use proptest::prelude::*;

use super::encrypt::FRAME_LEN;
use super::*;
use crate::context::EncryptionContext;
use crate::environment::Environment;
use crate::secret::SecretKey;

const ARN: &str = "arn:aws:kms:local:000000000000:key/01234567-89ab-cdef-0123-456789abcdef";

fn key(byte: u8) -> SecretKey {
    SecretKey::copy_from(&[byte; 32]).unwrap()
}

fn context() -> EncryptionContext {
    EncryptionContext::new().with("app", "shop")
}

fn encrypted(plaintext: &[u8]) -> Vec<u8> {
    let materials = EncryptionMaterials {
        data_key: &key(7),
        encrypted_data_keys: vec![EncryptedDataKey::of_kms(ARN, b"wrapped".to_vec())],
        context: context(),
    };
    let mut message = Vec::new();
    let environment = Environment::system();
    let len = encrypt(
        materials,
        &environment,
        &mut &plaintext[..],
        &mut message,
        &mut |_| {},
    );
    assert_eq!(len.unwrap(), plaintext.len() as u64);
    message
}

/// What was released of a message, and how that ended.
fn released(message: &[u8]) -> (Vec<u8>, Result<u64, FileError>) {
    released_to(&key(7), message)
}

fn released_to(key: &SecretKey, message: &[u8]) -> (Vec<u8>, Result<u64, FileError>) {
    let mut plaintext = Vec::new();
    let done = Message::read(message)
        .and_then(|message| message.decrypt(key, &mut plaintext, &mut |_| {}));
    (plaintext, done)
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 % 251) as u8).collect()
}

#[test]
fn what_is_encrypted_is_decrypted() {
    for len in [
        0,
        1,
        100,
        FRAME_LEN - 1,
        FRAME_LEN,
        FRAME_LEN + 1,
        3 * FRAME_LEN,
        3 * FRAME_LEN + 7,
    ] {
        let plaintext = pattern(len);
        let message = encrypted(&plaintext);
        let header = Message::read(&message[..]).unwrap();
        assert_eq!(header.context(), &context());
        assert_eq!(header.suite(), AlgorithmSuite::CommitKey);
        assert_eq!(
            header.encrypted_data_keys(),
            [EncryptedDataKey::of_kms(ARN, b"wrapped".to_vec())]
        );
        let (opened, done) = released(&message);
        assert_eq!(done.unwrap(), len as u64);
        assert!(opened == plaintext, "{len}");
    }
}

#[test]
fn progress_is_told_of_every_frame() {
    let plaintext = pattern(2 * FRAME_LEN + 5);
    let message = encrypted(&plaintext);
    let mut told = Vec::new();
    let message = Message::read(&message[..]).unwrap();
    message
        .decrypt(&key(7), &mut io::sink(), &mut |done| told.push(done))
        .unwrap();
    let frame = FRAME_LEN as u64;
    assert_eq!(told, [frame, 2 * frame, 2 * frame + 5]);
}

#[test]
fn every_flipped_bit_and_every_cut_is_refused() {
    let plaintext = b"a small file";
    let good = encrypted(plaintext);
    let refused = |message: &[u8]| {
        let (opened, done) = released(message);
        assert!(done.is_err());
        assert!(
            opened.is_empty(),
            "nothing of a frame that is not authentic"
        );
    };
    for bit in 0..good.len() * 8 {
        let mut changed = good.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        refused(&changed);
    }
    for len in 0..good.len() {
        refused(&good[..len]);
    }
    let (_, done) = released(&[&good[..], b"x"].concat());
    assert!(matches!(done, Err(FileError::Trailing)));
    assert!(matches!(
        released_to(&key(8), &good).1,
        Err(FileError::Uncommitted)
    ));
}

#[test]
fn frames_are_neither_lost_nor_moved() {
    let message = encrypted(&pattern(3 * FRAME_LEN + 10));
    let frame = frame::regular_len(FRAME_LEN);
    let last = frame::FINAL_HEAD + 10 + crate::aead::TAG_LEN;
    let start = message.len() - last - 3 * frame;
    let (header, body) = message.split_at(start);
    let frames: Vec<_> = (0..3)
        .map(|number| &body[number * frame..][..frame])
        .collect();
    let last = &body[3 * frame..];
    let joined = |parts: &[&[u8]]| [&[header][..], parts].concat().concat();
    assert!(
        released(&joined(&[frames[0], frames[1], frames[2], last]))
            .1
            .is_ok()
    );
    for parts in [
        &[frames[0], frames[1], frames[2]][..],
        &[frames[0], frames[2], last],
        &[frames[1], frames[0], frames[2], last],
        &[frames[0], frames[0], frames[2], last],
        &[last],
        &[frames[0], frames[1], frames[2], last, last],
    ] {
        assert!(released(&joined(parts)).1.is_err());
    }
    // Nor taken from another message under the same data key.
    let other = encrypted(&pattern(3 * FRAME_LEN + 10));
    let (_, other) = other.split_at(start);
    let mixed = joined(&[frames[0], &other[frame..2 * frame], frames[2], last]);
    assert!(matches!(released(&mixed).1, Err(FileError::Tampered(place)) if place == "frame 2"));
    assert!(
        matches!(released(&joined(&[frames[0], &frames[1][..9]])).1, Err(FileError::Truncated(place)) if place == "frame 2")
    );
}

#[test]
fn contexts_that_do_not_fit_are_refused() {
    let refused = |context: EncryptionContext| {
        let materials = EncryptionMaterials {
            data_key: &key(7),
            encrypted_data_keys: vec![EncryptedDataKey::of_kms(ARN, Vec::new())],
            context,
        };
        let mut out = Vec::new();
        let done = encrypt(
            materials,
            &Environment::system(),
            &mut io::empty(),
            &mut out,
            &mut |_| {},
        );
        assert!(matches!(done, Err(FileError::Context(_))));
        assert!(out.is_empty());
    };
    refused(EncryptionContext::new().with("a", "b".repeat(70_000)));
    refused(
        EncryptionContext::new()
            .with("a", "b".repeat(40_000))
            .with("c", "b".repeat(40_000)),
    );
    refused(EncryptionContext::new().with("aws-crypto-public-key", "x"));
}

#[test]
fn other_things_are_told_apart() {
    let read = |bytes: &[u8]| Message::read(bytes).map(drop).unwrap_err();
    assert!(matches!(read(b""), FileError::NotAMessage));
    assert!(matches!(read(b"-----BEGIN"), FileError::NotAMessage));
    assert!(matches!(
        read(&[1, 0x80, 0x01, 0x78]),
        FileError::Unsupported(_)
    ));
    assert!(matches!(
        read(&[2, 0x01, 0x78, 0]),
        FileError::Unsupported(_)
    ));
    assert!(matches!(read(&[2, 0x04, 0x78, 0]), FileError::Truncated(_)));
    let single = unhex(include_str!("../../vectors/file-single.hex"));
    assert!(matches!(read(&single), FileError::Unsupported(_)));
}

/// What the AWS Encryption SDK for Python 4.0.7 made, with the data key 00 01 02 … 1f.
#[test]
fn messages_of_awss_library_are_opened() {
    let data_key: Vec<u8> = (0..32).collect();
    let data_key = SecretKey::copy_from(&data_key).unwrap();
    let plaintext = [&(0..=255).collect::<Vec<u8>>()[..], b"the rest"].concat();
    for (vector, suite) in [
        (
            include_str!("../../vectors/file-0478.hex"),
            AlgorithmSuite::CommitKey,
        ),
        (
            include_str!("../../vectors/file-0578.hex"),
            AlgorithmSuite::CommitKeyEcdsaP384,
        ),
    ] {
        let good = unhex(vector);
        let header = Message::read(&good[..]).unwrap();
        assert_eq!(header.suite(), suite);
        assert!(header.context().contains(&context().with("ä", "ö")));
        assert_eq!(
            header.encrypted_data_keys()[0],
            EncryptedDataKey::of_kms(ARN, b"wrapped data key".to_vec())
        );
        let (opened, done) = released_to(&data_key, &good);
        done.unwrap();
        assert!(opened == plaintext);
        for bit in (0..good.len() * 8).step_by(3) {
            let mut changed = good.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(
                released_to(&data_key, &changed).1.is_err(),
                "{suite:?}, bit {bit}"
            );
        }
        for len in 0..good.len() {
            assert!(released_to(&data_key, &good[..len]).1.is_err());
        }
    }
}

/// Gives what it has in pieces of odd lengths, interrupted.
struct Trickle<'a>(&'a [u8], usize);

impl Read for Trickle<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.1 += 1;
        if self.1.is_multiple_of(5) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let most = out.len().min(1 + self.1 * 7919 % 5000);
        self.0.read(&mut out[..most])
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_length_in_any_pieces(len in 0..4 * FRAME_LEN, start: u16) {
        let plaintext = pattern(len);
        let materials = EncryptionMaterials {
            data_key: &key(7),
            encrypted_data_keys: vec![EncryptedDataKey::of_kms(ARN, vec![1; 200])],
            context: EncryptionContext::new(),
        };
        let mut message = Vec::new();
        let mut source = Trickle(&plaintext, start.into());
        encrypt(materials, &Environment::system(), &mut source, &mut message, &mut |_| {}).unwrap();
        let mut opened = Vec::new();
        let read = Message::read(Trickle(&message, start.into())).unwrap();
        read.decrypt(&key(7), &mut opened, &mut |_| {}).unwrap();
        prop_assert!(opened == plaintext);
    }
}

proptest! {
    #[test]
    fn headers_are_read_as_they_were_written(
        context in proptest::collection::btree_map("\\PC{0,20}", "\\PC{0,20}", 0..5),
        keys in proptest::collection::vec(("[a-z-]{1,20}", "\\PC{0,80}", proptest::collection::vec(any::<u8>(), 0..300)), 1..5),
        message_id: [u8; 32], commitment: [u8; 32], frame_len in 1..=64_u32 << 20, signed: bool,
    ) {
        let keys = keys.into_iter().map(|(provider, key, ciphertext)| EncryptedDataKey { provider, key, ciphertext });
        let header = header::Header {
            suite: if signed { AlgorithmSuite::CommitKeyEcdsaP384 } else { AlgorithmSuite::CommitKey },
            message_id, context: context.into_iter().collect(), data_keys: keys.collect(), frame_len, commitment,
        };
        let bytes = header.encode().unwrap();
        let (read, clear, tag) = header::Header::read(&mut &[&bytes[..], &[9; 16]].concat()[..]).unwrap();
        prop_assert_eq!((read, clear, tag), (header, bytes, [9; 16]));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), start in 0..4) {
        let start: &[u8] = [&b""[..], b"\x02", b"\x02\x04\x78", b"\x02\x05\x78"][start as usize];
        prop_assert!(released(&[start, &bytes].concat()).1.is_err());
    }

    #[test]
    fn a_changed_header_never_panics(at in 0..250_usize, byte: u8, cut in 0..250_usize) {
        let mut message = encrypted(b"content");
        let at = at % message.len();
        message[at] = message[at].wrapping_add(byte.max(1));
        prop_assert!(released(&message).1.is_err());
        let cut = cut % message.len();
        prop_assert!(released(&message[cut..]).1.is_err() || cut == 0);
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let text = text.trim();
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digit).collect()
}
