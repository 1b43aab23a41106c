//! Certificate authorities and certificates made on the spot.

use super::manifests::object;
use portolan_dev::ca::{Ca, Issued, Usage};
use rustls::{RootCertStore, ServerConfig, server::WebPkiClientVerifier};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use std::{path::PathBuf, sync::Arc};
use tempfile::TempDir;

/// An authority of its own.
pub struct Authority {
    ca: Ca,
    directory: TempDir,
}

impl Authority {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { ca: Ca::open(directory.path()).unwrap(), directory }
    }

    /// Its certificate, PEM.
    pub fn pem(&self) -> &str {
        self.ca.certificate_pem()
    }

    pub fn server(&self, names: &[&str]) -> Issued {
        self.issue(names, Usage::Server)
    }

    pub fn client(&self, names: &[&str]) -> Issued {
        self.issue(names, Usage::Client)
    }

    fn issue(&self, names: &[&str], usage: Usage) -> Issued {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        self.ca.issue(&names, usage).unwrap()
    }

    /// Files of a client's certificate and key.
    pub fn client_files(&self, name: &str) -> (PathBuf, PathBuf) {
        let issued = self.client(&[name]);
        let path = |end: &str| self.directory.path().join(format!("{name}.{end}"));
        std::fs::write(path("pem"), &issued.certificate_pem).unwrap();
        std::fs::write(path("key"), &issued.key_pem).unwrap();
        (path("pem"), path("key"))
    }

    /// Its certificate as the ConfigMap that CA references name.
    pub fn config_map(&self, name: &str) -> String {
        object("v1", "ConfigMap", name, &format!("data:\n  ca.crt: |\n{}", super::manifests::indented(self.pem(), 4)))
    }
}

/// A TLS Secret.
pub fn secret(name: &str, issued: &Issued) -> String {
    secret_of(name, &issued.certificate_pem, &issued.key_pem)
}

/// A TLS Secret of any certificate and key.
pub fn secret_of(name: &str, certificate: &str, key: &str) -> String {
    let block = |text: &str| super::manifests::indented(text, 4);
    let rest = format!(
        "type: kubernetes.io/tls\nstringData:\n  tls.crt: |\n{}\n  tls.key: |\n{}",
        block(certificate),
        block(key)
    );
    object("v1", "Secret", name, &rest)
}

/// TLS of a backend: its certificate, and the authority whose clients it wants, if any.
pub fn backend_tls(issued: &Issued, clients: Option<&Authority>) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    let chain = vec![CertificateDer::from_pem_slice(issued.certificate_pem.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).unwrap();
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}
