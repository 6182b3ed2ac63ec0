#![allow(clippy::unwrap_used)]

use std::path::Path;

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

/// The names and contents of the seeds that `scripts/fuzz` starts with.
fn corpus() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/transcoding");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    paths.sort();
    let seed = |path: std::path::PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, std::fs::read(&path).unwrap())
    };
    paths.into_iter().map(seed).collect()
}

/// One of the corpus with some bytes replaced, left out or put in: mostly a request still.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(&b""[..]),
        Just(&b"\""[..]),
        Just(&b"null"[..]),
        Just(&b"{}"[..]),
        Just(&b"[]"[..]),
        Just(&b"-0"[..]),
        Just(&b"1e999"[..]),
        Just(&b"\"NaN\""[..]),
        Just(&b"\\u0000"[..]),
        Just(&b"\\ud800"[..]),
        Just("\u{85}é".as_bytes()),
        Just(&b"%2e"[..]),
        Just(&b"%ff"[..]),
        Just(&b"&fields=id,"[..]),
        Just(&b"\n"[..]),
        Just(&b"\x0a\x02"[..]),
        Just(&b"\xff\xff"[..]),
    ];
    let change = (any::<Index>(), 0..4_usize, piece);
    (prop::sample::select(corpus()), prop::collection::vec(change, 0..4)).prop_map(|((_, mut input), changes)| {
        for (at, taken, put) in changes {
            let at = at.index(input.len().max(1)).min(input.len());
            let end = (at + taken).min(input.len());
            input.splice(at..end, put.iter().copied());
        }
        input
    })
}

/// Those of the corpus are what their names say: requests that are taken, and messages as services get them.
#[test]
fn each_seed_of_the_fuzzer_reaches_the_endpoint_that_it_is_for() {
    let seeds = corpus();
    assert!(seeds.len() > 10, "{}", seeds.len());
    for (name, seed) in seeds {
        let (line, body) = parts(&seed);
        let line = std::str::from_utf8(line).unwrap();
        let (api, found) = found(line).unwrap_or_else(|| panic!("{name}: {line} is no endpoint's"));
        if name.starts_with("encoded-") {
            let decoded = DynamicMessage::decode(found.endpoint.rpc.input(), body);
            assert!(decoded.is_ok(), "{name}: {decoded:?}");
        } else {
            let input = input(&found.endpoint, &found.variables, query(line), body);
            let taken = message(&found.endpoint, &api.raw_json, input);
            assert!(taken.is_ok(), "{name}: {taken:?}");
        }
        transcoding(&seed);
    }
}

/// Nesting is what fuzzers find last.
#[test]
fn what_is_nested_deep_is_refused_somewhere_and_breaks_nothing() {
    for (start, member, end) in [
        ("{\"structure\":", "{\"a\":", "{}"),
        ("{\"list\":", "[", "[]"),
        ("{\"inner\":", "{\"inner\":", "{}"),
        ("{\"any\":", "{\"@type\":\"x/google.protobuf.Any\",\"value\":", "{}"),
    ] {
        for levels in [1, 24, 30, 40, 63, 64, 100, 1000] {
            let closed = if member.starts_with('[') { "]" } else { "}" };
            let body = [start, &member.repeat(levels), end, &closed.repeat(levels), "}"].concat();
            transcoding(format!("PUT /rich/7\n{body}").as_bytes());
        }
    }
    for levels in [1, 24, 63, 99, 100, 300] {
        let path = "inner.".repeat(levels);
        transcoding(format!("GET /rich?{path}text=x").as_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_asked_over_rest_is_refused_with_reasons_or_comes_back_as_it_was(
        input in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        transcoding(&input);
    }

    #[test]
    fn a_request_that_is_almost_right_is_refused_with_reasons_or_comes_back_as_it_was(input in nearly()) {
        transcoding(&input);
    }
}
