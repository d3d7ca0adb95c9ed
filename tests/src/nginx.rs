//! nginx as a target.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::process::{Process, eventually, free_port};

/// A web server in front of nothing, in the foreground.
pub struct Nginx {
    address: SocketAddr,
    _process: Process,
}

impl Nginx {
    /// Serves, from a directory of its own under `directory`, what `server` (the content of a `server`
    /// block, `listen` excepted) says.
    pub fn start(directory: &Path, name: &str, server: &str) -> Self {
        Self::listen(directory, name, "", server)
    }

    /// The same over TLS.
    pub fn start_tls(
        directory: &Path,
        name: &str,
        certificate: &Path,
        key: &Path,
        server: &str,
    ) -> Self {
        let tls = format!(
            "ssl_certificate {}; ssl_certificate_key {}; {server}",
            certificate.display(),
            key.display()
        );
        Self::listen(directory, name, "ssl", &tls)
    }

    fn listen(directory: &Path, name: &str, how: &str, server: &str) -> Self {
        let home = directory.join(name);
        fs::create_dir_all(&home).expect("the scratch directory is writable");
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let config = format!(
            "daemon off; master_process off; worker_processes 1; pid {home}/pid; error_log {home}/error.log;
             events {{ worker_connections 4096; }}
             http {{
               access_log off; server_tokens off; keepalive_requests 1000000; client_max_body_size 0;
               client_body_temp_path {home}/body; proxy_temp_path {home}/proxy; fastcgi_temp_path {home}/f;
               uwsgi_temp_path {home}/u; scgi_temp_path {home}/s;
               server {{ listen {address} {how}; {server} }}
             }}",
            home = home.display()
        );
        let file = home.join("nginx.conf");
        fs::write(&file, config).expect("the scratch directory is writable");
        let mut command = Command::new("nginx");
        command.arg("-p").arg(&home).arg("-c").arg(&file);
        let mut process = Process::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
        eventually("nginx listens", Duration::from_secs(20), || {
            let log = || fs::read_to_string(home.join("error.log")).unwrap_or_default();
            assert!(process.ended().is_none(), "nginx ended: {}", log());
            TcpStream::connect(address).ok()
        });
        Self {
            address,
            _process: process,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
