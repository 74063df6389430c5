//! TLS of listeners: the certificate, whose clients are let in, and taking a renewed certificate
//! without a restart.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio_rustls::TlsAcceptor;

use crate::meter::Meter;

/// How often it is looked whether the certificate has changed.
pub(crate) const RENEWED_EVERY: Duration = Duration::from_secs(5);

/// Options of TLS.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsOptions {
    /// The certificate and those between it and its authority, as PEM.
    pub cert: PathBuf,
    /// The certificate's key, as PEM.
    pub key: PathBuf,
    /// Authorities, as PEM. When given, only clients with a certificate by one of them are let in.
    #[serde(default)]
    pub client_ca: Option<PathBuf>,
}

/// Why the files cannot be used. Never tells what is in them.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("cannot read {path}: {reason}")]
    Read { path: String, reason: String },
    #[error("{path} holds no certificate")]
    Empty { path: String },
    #[error("the certificate and the key cannot be used: {0}")]
    Pair(rustls::Error),
    #[error("the authorities of clients cannot be used: {0}")]
    Clients(String),
}

impl TlsOptions {
    fn load(&self, protocols: &[&[u8]]) -> Result<ServerConfig, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let certificates = certificates(&self.cert)?;
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|e| unreadable(&self.key, &e))?;
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Pair)?;
        let builder = match &self.client_ca {
            Some(path) => builder.with_client_cert_verifier(verifier(path, provider)?),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(certificates, key).map_err(TlsError::Pair)?;
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Ok(config)
    }

    /// When the files were last changed.
    fn changed(&self) -> Vec<Option<SystemTime>> {
        let files = [Some(&self.cert), Some(&self.key), self.client_ca.as_ref()];
        let times = files.into_iter().flatten().map(|path| path.metadata()?.modified());
        times.map(Result::ok).collect()
    }
}

fn verifier(
    path: &PathBuf,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for authority in certificates(path)? {
        roots.add(authority).map_err(|e| TlsError::Clients(e.to_string()))?;
    }
    let built = WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build();
    built.map_err(|e| TlsError::Clients(e.to_string()))
}

fn certificates(path: &PathBuf) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let certificates: Vec<_> = read.map_err(|e| unreadable(path, &e))?;
    if certificates.is_empty() {
        return Err(TlsError::Empty { path: path.display().to_string() });
    }
    Ok(certificates)
}

fn unreadable(path: &std::path::Path, error: &rustls::pki_types::pem::Error) -> TlsError {
    let reason = match error {
        rustls::pki_types::pem::Error::Io(error) => error.to_string(),
        rustls::pki_types::pem::Error::NoItemsFound => "nothing of the kind is in it".to_owned(),
        _ => "it is not PEM".to_owned(),
    };
    TlsError::Read { path: path.display().to_string(), reason }
}

/// The certificate in force.
#[derive(Clone)]
pub(crate) struct Tls(Arc<Shared>);

struct Shared {
    options: TlsOptions,
    protocols: &'static [&'static [u8]],
    acceptor: Mutex<TlsAcceptor>,
}

impl Tls {
    /// For what is spoken over it, by the names of ALPN; none: clients are not asked.
    pub fn load(
        options: &TlsOptions,
        protocols: &'static [&'static [u8]],
    ) -> Result<Self, TlsError> {
        let acceptor = Mutex::new(TlsAcceptor::from(Arc::new(options.load(protocols)?)));
        Ok(Self(Arc::new(Shared { options: options.clone(), protocols, acceptor })))
    }

    pub fn acceptor(&self) -> TlsAcceptor {
        self.0.acceptor.lock().clone()
    }

    /// Looks at the files every so often, and takes them when they have changed. Files that do not
    /// fit, such as a new certificate beside the old key, leave what is in force in place.
    pub async fn follow(self, every: Duration, meter: Meter) {
        let mut seen = self.0.options.changed();
        loop {
            tokio::time::sleep(every).await;
            let (options, protocols) = (self.0.options.clone(), self.0.protocols);
            let before = seen.clone();
            let looked = tokio::task::spawn_blocking(move || {
                let changed = options.changed();
                let loaded = (changed != before).then(|| options.load(protocols));
                (changed, loaded)
            });
            let Ok((changed, loaded)) = looked.await else { return };
            match loaded {
                None => {}
                Some(Ok(config)) => {
                    *self.0.acceptor.lock() = TlsAcceptor::from(Arc::new(config));
                    seen = changed;
                    tracing::info!(source = meter.source(), "a changed certificate was taken");
                }
                Some(Err(error)) => {
                    // Tried again: the other file may follow.
                    meter.error();
                    tracing::error!(
                        source = meter.source(),
                        %error,
                        "a changed certificate cannot be used; the one before it stays"
                    );
                }
            }
        }
    }
}
