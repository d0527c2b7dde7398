// SPDX-License-Identifier: MIT OR GPL-2.0
//! `include/gmem.h` is what cbindgen makes of the C interface, and C accepts it.

use std::path::Path;
use std::process::Command;

fn generated() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut builder = cbindgen::Builder::new()
        .with_config(cbindgen::Config::from_file(root.join("cbindgen.toml")).unwrap());
    for source in [
        "sys/npu.rs",
        "capi/hint.rs",
        "capi/memory.rs",
        "capi/npu.rs",
        "capi/openeuler.rs",
    ] {
        builder = builder.with_src(root.join("src").join(source));
    }
    let mut header = Vec::new();
    builder.generate().unwrap().write(&mut header);
    String::from_utf8(header).unwrap()
}

/// `GMEM_UPDATE_HEADER=1 cargo test -p libgmem --test header` writes it anew.
#[test]
fn header_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/gmem.h");
    let header = generated();
    if std::env::var_os("GMEM_UPDATE_HEADER").is_some() {
        std::fs::write(&path, &header).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == header,
        "include/gmem.h is not current; run: GMEM_UPDATE_HEADER=1 cargo test -p libgmem --test header"
    );
}

#[test]
fn c_accepts_the_header_and_the_example() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let checked = Command::new(std::env::var("CC").unwrap_or("cc".into()))
        .args([
            "-std=c11",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-fsyntax-only",
            "-I",
        ])
        .arg(root.join("include"))
        .arg(root.join("../examples/hello.c"))
        .output()
        .expect("a C compiler is needed: install gcc");
    let errors = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{errors}");
}

/// Builds and runs a C program against the static library.
#[test]
fn c_programs_link_and_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let test = std::env::current_exe().unwrap();
    let mut dirs = test.ancestors().skip(1);
    let library = dirs.find_map(|dir| Some(dir.join("libgmem.a")).filter(|path| path.exists()));
    let program = test.with_extension("c-program");
    let built = Command::new(std::env::var("CC").unwrap_or("cc".into()))
        .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-I"])
        .arg(root.join("include"))
        .arg(root.join("tests/c/memory.c"))
        .arg(library.expect("cargo builds the library with its tests"))
        .args(["-lpthread", "-ldl", "-lm", "-o"])
        .arg(&program)
        .output()
        .expect("a C compiler is needed: install gcc");
    let errors = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{errors}");
    let ran = Command::new(&program).output().unwrap();
    let errors = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{errors}");
    assert_eq!(ran.stdout, b"c ok\n");
}
