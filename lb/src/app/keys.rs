//! What happens to KMS keys by itself: rotations, deletions, the end of imported material.

use kms::Kms;
use tracing::{error, info};

/// Does what is due now. Waits for the disk.
pub fn tend(kms: &Kms) {
    let ticked = kms.tick();
    for key in ticked.rotated {
        info!(%key, "KMS key rotated by its schedule");
    }
    for key in ticked.deleted {
        info!(%key, "KMS key deleted: its waiting time is over");
    }
    for key in ticked.expired {
        info!(%key, "imported key material deleted: it has expired");
    }
    for (key, why) in ticked.failed {
        error!(%key, "what was due for this KMS key was not done, and is tried again in a minute: {why}");
    }
    match kms.reap_instances() {
        Ok(0) => {}
        Ok(grants) => info!(
            grants,
            "took away what ended instances of services have left"
        ),
        Err(why) => error!("what ended instances of services have left stays for now: {why}"),
    }
}
