//! What a process that holds keys owes them.

use std::hint::black_box;
use std::io;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use sha2::{Digest, Sha256};

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

/// Does `work` with secrets, then overwrites the stack and the registers in which it was done.
///
/// Ciphers and derivations work on the stack and cannot wipe what the compiler copied or spilled
/// there: round keys, hash states, buffers that were moved.
pub(crate) fn scrubbed<R>(work: impl FnOnce() -> R) -> R {
    let result = apart(work);
    wipe_stack();
    result
}

/// A frame of its own for `work`, below the caller's, where [`wipe_stack`] reaches it.
#[inline(never)]
fn apart<R>(work: impl FnOnce() -> R) -> R {
    work()
}

/// Overwrites the stack below the caller, and the vector registers, where finished calls have left
/// round keys and scratch.
///
/// Their frames must have been no deeper than this one: ciphers and hashes need a few KiB.
#[inline(never)]
pub fn wipe_stack() {
    let mut frames = [0_u8; 16 * 1024];
    // The compiler cannot know that nobody looks, so that it must write the zeroes.
    black_box(&mut frames);
    // A thread that sleeps keeps its registers. Hashing what everybody knows uses most of them.
    black_box(Sha256::digest(black_box([0; 32])));
}
