//! What a process that holds keys owes them.

use std::hint::black_box;
use std::io;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use zeroize::Zeroize;

/// Forbids crash dumps and debuggers of other users: call it first, and again after every `exec`.
///
/// `RLIMIT_CORE` alone does not hold where dumps are piped to a program (core(5)), so the process is
/// marked as not dumpable as well (prctl(2), `PR_SET_DUMPABLE`).
///
/// # Errors
/// When the kernel refuses; the process should not go on to open keys then.
pub fn harden_process() -> io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    )?;
    Ok(())
}

/// Overwrites the stack below the caller, where finished calls have left round keys and scratch.
///
/// Ciphers and derivations work on the stack and cannot wipe what the compiler copied or spilled;
/// their frames were no deeper than this one.
#[inline(never)]
pub fn wipe_stack() {
    let mut frames = [0xa5_u8; 32 * 1024];
    black_box(&mut frames);
    frames.zeroize();
    black_box(&mut frames);
}
