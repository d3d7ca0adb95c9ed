//! The `sealgate` binary: arguments in, exit status out. What it does is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    // One cryptographic provider for whatever in the process speaks TLS. It fails only where one is
    // installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    lb::commands::main()
}
