//! The fuzz targets, run by a stable compiler: over their corpus, over anything, and over what is almost right.

use std::path::Path;

use proptest::prelude::*;
use proptest::sample::Index;

#[path = "../../../fuzz/src/lib.rs"]
mod fuzz;

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(target);
    let files = std::fs::read_dir(folder).unwrap();
    files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect()
}

/// One of the corpus with some bytes replaced, left out or put in: mostly JSON still.
fn nearly(target: &str) -> impl Strategy<Value = Vec<u8>> + use<> {
    let piece = prop_oneof![
        Just(&b""[..]),
        Just(&b"\""[..]),
        Just(&b"null"[..]),
        Just(&b"{}"[..]),
        Just(&b"[]"[..]),
        Just(&b"-1"[..]),
        Just(&b"1e999"[..]),
        Just(&b"\\u0000"[..]),
        Just(&b"\\ud800"[..]),
        Just("\u{85}é".as_bytes()),
        Just(&b",2"[..]),
    ];
    let change = (any::<Index>(), 0..4_usize, piece);
    (
        prop::sample::select(corpus(target)),
        prop::collection::vec(change, 0..4),
    )
        .prop_map(|(mut input, changes)| {
            for (at, taken, put) in changes {
                let at = at.index(input.len().max(1)).min(input.len());
                let end = (at + taken).min(input.len());
                input.splice(at..end, put.iter().copied());
            }
            input
        })
}

#[test]
fn the_corpus_is_read_without_surprise() {
    corpus("framing").iter().for_each(|input| fuzz::framing::framing(input));
    corpus("messages")
        .iter()
        .for_each(|input| fuzz::messages::messages(input));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_frame_is_one_thing_only_and_a_call_is_answered_once(input in prop::collection::vec(any::<u8>(), 0..64)) {
        fuzz::framing::framing(&input);
    }

    #[test]
    fn a_frame_that_is_almost_right_is_one_thing_only_and_a_call_is_answered_once(input in nearly("framing")) {
        fuzz::framing::framing(&input);
    }

    #[test]
    fn validator_and_decoders_agree_about_payloads_that_are_almost_right(input in nearly("messages")) {
        fuzz::messages::messages(&input);
    }
}
