//! A TLS front for a server that speaks plainly: ends TLS and passes the bytes on.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::authority::Identity;

/// A running front; ends when it is dropped.
pub struct Front {
    runtime: Option<tokio::runtime::Runtime>,
}

impl Drop for Front {
    fn drop(&mut self) {
        // Also from within another runtime, where waiting is not allowed.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Front {
    /// Listens on a port of the loopback address and passes on to `behind`.
    pub fn start(port: u16, identity: &Identity, behind: &str) -> Self {
        let certificates = CertificateDer::pem_slice_iter(identity.certificate.as_bytes());
        let certificates = certificates.collect::<Result<Vec<_>, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(certificates, key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let behind = behind.to_owned();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
        listener.set_nonblocking(true).unwrap();
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, behind) = (acceptor.clone(), behind.clone());
                tokio::spawn(async move { pass_on(acceptor, stream, &behind).await });
            }
        });
        Self { runtime: Some(runtime) }
    }
}

/// A connection to its end. A client that refuses the certificate ends it early, which is the test's.
async fn pass_on(acceptor: TlsAcceptor, stream: TcpStream, behind: &str) -> Option<()> {
    let mut stream = acceptor.accept(stream).await.ok()?;
    let mut server = TcpStream::connect(behind).await.ok()?;
    tokio::io::copy_bidirectional(&mut stream, &mut server).await.ok()?;
    Some(())
}
