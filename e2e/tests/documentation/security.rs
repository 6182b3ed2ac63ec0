//! docs/security.md says which test shows a promise. Each of them is there.

use std::collections::BTreeSet;
use std::path::Path;

const PAGE: &str = include_str!("../../../docs/security.md");

/// Functions of every Rust file below, by name.
fn functions(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            functions(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let names = text.split("fn ").skip(1).filter_map(|rest| rest.split('(').next());
            found.extend(names.map(str::to_owned));
        }
    }
}

#[test]
fn every_test_that_the_page_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = BTreeSet::new();
    for package in [
        "auth-service",
        "charger-service",
        "email-service",
        "gateway",
        "ocpp",
        "service-kit",
        "e2e",
    ] {
        for folder in ["src", "tests"] {
            functions(&root.join(package).join(folder), &mut found);
        }
    }
    let names = PAGE.split('`').skip(1).step_by(2);
    let missing: Vec<_> = names.filter(|name| !found.contains(*name)).collect();
    assert_eq!(missing, Vec::<&str>::new());
}
