//! Makes many certificates: `certificates COUNT DIRECTORY STATE` writes COUNT P-256 certificates for
//! `nN.example.com` to DIRECTORY, each with its key in `nN.example.com.pem`, and seals them in the
//! store of STATE, on which no balancer may run.

use std::error::Error;
use std::fs;
use std::path::PathBuf;

use testbed::{Authority, import, open_store_at};

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let mut next = || {
        words
            .next()
            .ok_or("usage: certificates COUNT DIRECTORY STATE")
    };
    let count: usize = next()?.parse()?;
    let (directory, state) = (PathBuf::from(next()?), PathBuf::from(next()?));
    fs::create_dir_all(&directory)?;
    let authority = Authority::new();
    let store = open_store_at(&state);
    for at in 0..count {
        let name = format!("n{at}.example.com");
        let mut issued = authority.issue(&[&name]);
        // The leaf alone is what is shown.
        issued.chain.clone_from(&issued.leaf);
        let both = format!("{}{}", issued.leaf, issued.key);
        fs::write(directory.join(format!("{name}.pem")), both)?;
        import(&store, &name, &issued);
    }
    Ok(())
}
