//! Compiles the eBPF programs where clang is there. Where it is not, the crate is built without
//! them and says so at run time: nothing else of the project needs clang.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCE: &str = "src/bypass.bpf.c";

fn main() {
    println!("cargo:rerun-if-changed={SOURCE}");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=RINGWAY_CLANG");
    println!("cargo:rerun-if-env-changed=PATH");
    println!("cargo:rustc-check-cfg=cfg(has_programs)");
    let object = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("bypass.o");
    match compile(&object) {
        Ok(()) => println!("cargo:rustc-cfg=has_programs"),
        Err(why) => println!("cargo:rustc-env=RINGWAY_BYPASS_MISSING={why}"),
    }
}

/// Says in one line why not.
fn compile(object: &Path) -> Result<(), String> {
    let clang = env::var("RINGWAY_CLANG").unwrap_or_else(|_| "clang".to_owned());
    let architecture = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    let endian = env::var("CARGO_CFG_TARGET_ENDIAN").unwrap_or_default();
    let target = if endian == "big" { "bpfeb" } else { "bpfel" };
    let mut command = Command::new(&clang);
    command.args(["-O2", "-g", "-Wall", "-Wextra", "-Werror", "-mcpu=v3", "-target", target]);
    // Debian has the kernel's headers that differ by architecture in a folder of their own.
    command.arg("-idirafter").arg(format!("/usr/include/{architecture}-linux-gnu"));
    let done = command.arg("-c").arg(SOURCE).arg("-o").arg(object).output();
    let done = done.map_err(|error| format!("{clang}: {error}"))?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    let first = said.lines().find(|line| line.contains("error")).unwrap_or("it failed");
    Err(format!("{clang}: {first}"))
}
