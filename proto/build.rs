//! Compiles the protos with protox, so that no `protoc` is needed.

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, Result};
use prost::Message;
use prost_types::FileDescriptorSet;

fn main() -> Result<()> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(env::var("OUT_DIR")?);
    println!("cargo:rerun-if-changed=google");
    println!("cargo:rerun-if-changed=voltgate");

    let mut compiler = protox::Compiler::new([&root])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(proto_files(&root.join("voltgate"))?)?;

    // Custom options survive only in the encoded form: decoding into prost's types drops unknown extensions.
    let encoded = compiler.encode_file_descriptor_set();
    let descriptors = FileDescriptorSet::decode(encoded.as_slice())?;
    fs::write(out.join("descriptors.bin"), encoded)?;

    let mut config = tonic_prost_build::Config::new();
    config.enable_type_names();
    tonic_prost_build::configure()
        .bytes(".")
        .include_file("protos.rs")
        .compile_fds_with_config(descriptors, config)?;
    Ok(())
}

fn proto_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(proto_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
