//! A local certificate authority, kept under the state directory: made once, never silently replaced. Its key never
//! leaves the machine, and nothing here installs it into a trust store.

use crate::files::{self, FileError};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SanType,
};
use sha2::{Digest, Sha256};
use std::{
    fmt::Write,
    fs::File,
    net::IpAddr,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use x509_parser::pem::parse_x509_pem;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const CA_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
const CA_RENEWED_BEFORE: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// The longest that common clients accept, <https://cabforum.org/working-groups/server/baseline-requirements/>.
const LEAF_LIFETIME: Duration = Duration::from_secs(397 * 24 * 60 * 60);
const LEAF_RENEWED_BEFORE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Names of one certificate.
const NAMES_MAX: usize = 256;
const KEY_BEGINNING: &str = "-----BEGIN PRIVATE KEY-----";

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Usage {
    /// A server's.
    Server,
    /// A client's.
    Client,
}

/// A certificate and its key, both as PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Issued {
    /// The certificate; the CA itself is not part of it.
    pub certificate_pem: String,
    /// Its key, PKCS#8.
    pub key_pem: String,
}

/// The local CA.
pub struct Ca {
    directory: PathBuf,
    certificate_pem: String,
    key_pem: String,
    /// Part of the names of issued files, so that another CA issues anew.
    fingerprint: String,
}

/// Why the CA cannot be used, or a certificate not issued.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// A file cannot be read or written.
    #[error("local CA: {0}")]
    File(#[from] FileError),
    /// A file holds something else than it should.
    #[error("local CA: {} is damaged ({reason}); {remedy}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// What to do.
        remedy: String,
    },
    /// A name that no certificate can hold.
    #[error("local CA: cannot issue a certificate for {name:?}: {reason}")]
    Name {
        /// The name, or the list of them.
        name: String,
        /// Why not.
        reason: String,
    },
    /// Keys or signatures could not be made.
    #[error("local CA: {0}")]
    Crypto(#[from] rcgen::Error),
}

// === impl Ca ===

impl Ca {
    /// The CA below `state_dir`; made if there is none, its certificate renewed with the same key a year before it
    /// expires.
    pub fn open(state_dir: &Path) -> Result<Self, CaError> {
        Self::open_at(state_dir, SystemTime::now())
    }

    /// As [`Ca::open`], at another time.
    pub fn open_at(state_dir: &Path, now: SystemTime) -> Result<Self, CaError> {
        let directory = state_dir.join("ca");
        files::private_directory(&directory.join("issued"))?;
        let _lock = lock(&directory)?;
        let (certificate_path, key_path) = (directory.join("ca.pem"), directory.join("ca.key"));
        let (certificate, key) = (files::read(&certificate_path)?, files::read(&key_path)?);
        let (certificate_pem, key) = match (certificate, key) {
            (Some(certificate), Some(key)) => {
                let key = KeyPair::from_pem(&key).map_err(|error| damaged_ca(&directory, &key_path, error))?;
                let expires = check_pair(&certificate, &key)
                    .map_err(|reason| damaged_ca(&directory, &certificate_path, reason))?;
                let certificate = if expires < now + CA_RENEWED_BEFORE {
                    write_certificate(&certificate_path, &key, now)?
                } else {
                    certificate
                };
                (certificate, key)
            }
            (None, None) => {
                let key = KeyPair::generate()?;
                // The key first: a certificate without its key would look like damage after a crash.
                files::replace(&key_path, &key.serialize_pem())?;
                (write_certificate(&certificate_path, &key, now)?, key)
            }
            (None, Some(key)) => {
                let key = KeyPair::from_pem(&key).map_err(|error| damaged_ca(&directory, &key_path, error))?;
                (write_certificate(&certificate_path, &key, now)?, key)
            }
            (Some(_), None) => return Err(damaged_ca(&directory, &key_path, "the file is missing")),
        };
        let fingerprint = fingerprint(&key);
        Ok(Self { directory, certificate_pem, key_pem: key.serialize_pem(), fingerprint })
    }

    /// The CA's certificate as PEM: what clients must trust.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Where the CA's certificate lies.
    pub fn certificate_path(&self) -> PathBuf {
        self.directory.join("ca.pem")
    }

    /// A certificate for these names: DNS names (`*.` allowed), IP addresses, or URIs such as `spiffe://…`. The same
    /// names get the same certificate until 30 days before it expires.
    pub fn issue(&self, names: &[String], usage: Usage) -> Result<Issued, CaError> {
        self.issue_at(names, usage, SystemTime::now())
    }

    /// As [`Ca::issue`], at another time.
    pub fn issue_at(&self, names: &[String], usage: Usage, now: SystemTime) -> Result<Issued, CaError> {
        let mut sorted = names.to_vec();
        sorted.sort();
        sorted.dedup();
        if sorted.is_empty() || sorted.len() > NAMES_MAX {
            let reason = format!("a certificate has 1 to {NAMES_MAX} names");
            return Err(CaError::Name { name: sorted.join(","), reason });
        }
        let path = self.directory.join("issued").join(self.file_name(&sorted, usage));
        let _lock = lock(&self.directory)?;
        if let Some(text) = files::read(&path)? {
            let (issued, expires) = Issued::parse(&text).map_err(|reason| CaError::Corrupt {
                path: path.clone(),
                reason,
                remedy: "delete it, and another certificate is issued".to_owned(),
            })?;
            if expires > now + LEAF_RENEWED_BEFORE {
                return Ok(issued);
            }
        }
        let issued = self.sign(&sorted, names.first().map_or("", String::as_str), usage, now)?;
        files::replace(&path, &format!("{}{}", issued.certificate_pem, issued.key_pem))?;
        Ok(issued)
    }

    fn sign(&self, names: &[String], subject: &str, usage: Usage, now: SystemTime) -> Result<Issued, CaError> {
        let issuer = Issuer::from_ca_cert_pem(&self.certificate_pem, KeyPair::from_pem(&self.key_pem)?)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(subject);
        params.subject_alt_names = names.iter().map(|name| parse_name(name)).collect::<Result<_, _>>()?;
        params.not_before = (now - DAY).into();
        params.not_after = (now + LEAF_LIFETIME).into();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![match usage {
            Usage::Server => ExtendedKeyUsagePurpose::ServerAuth,
            Usage::Client => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &issuer)?;
        Ok(Issued { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }

    fn file_name(&self, names: &[String], usage: Usage) -> String {
        let mut hash = Sha256::new();
        hash.update(&self.fingerprint);
        for name in names {
            // A line ends each name, which no name contains.
            hash.update(name);
            hash.update("\n");
        }
        let kind = match usage {
            Usage::Server => "server",
            Usage::Client => "client",
        };
        format!("{kind}-{}.pem", &hex(&hash.finalize())[..32])
    }
}

impl std::fmt::Debug for Ca {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ca").field("directory", &self.directory).finish_non_exhaustive()
    }
}

// === impl Issued ===

impl Issued {
    fn parse(text: &str) -> Result<(Self, SystemTime), String> {
        let at = text.find(KEY_BEGINNING).ok_or("it holds no key")?;
        let (certificate, key) = text.split_at(at);
        let pair = KeyPair::from_pem(key).map_err(|error| error.to_string())?;
        let expires = check_pair(certificate, &pair)?;
        Ok((Self { certificate_pem: certificate.to_owned(), key_pem: key.to_owned() }, expires))
    }
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The key must not reach a log.
        f.debug_struct("Issued").field("certificate_pem", &self.certificate_pem).finish_non_exhaustive()
    }
}

fn lock(directory: &Path) -> Result<File, FileError> {
    files::lock(&directory.join("lock"))
}

fn damaged_ca(directory: &Path, path: &Path, reason: impl ToString) -> CaError {
    let remedy = format!(
        "restore it, or delete the directory {} to have a new CA, which clients must then be told to trust",
        directory.display()
    );
    CaError::Corrupt { path: path.to_owned(), reason: reason.to_string(), remedy }
}

fn write_certificate(path: &Path, key: &KeyPair, now: SystemTime) -> Result<String, CaError> {
    let mut params = CertificateParams::default();
    // The same key has the same subject, so that what the old certificate vouches for the renewed one does too.
    params.distinguished_name = common_name(&format!("Portolan local CA {}", &fingerprint(key)[..8]));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = (now - DAY).into();
    params.not_after = (now + CA_LIFETIME).into();
    let pem = params.self_signed(key)?.pem();
    files::replace(path, &pem)?;
    Ok(pem)
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    // X.520 ends a common name at 64 characters; clients look at the alternative names only.
    distinguished.push(DnType::CommonName, name.chars().take(64).collect::<String>());
    distinguished
}

fn parse_name(name: &str) -> Result<SanType, CaError> {
    let wrong = |reason: &str| CaError::Name { name: name.to_owned(), reason: reason.to_owned() };
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    if name.contains("://") {
        return Ok(SanType::URI(name.try_into().map_err(|_| wrong("a URI is ASCII"))?));
    }
    let host = name.strip_prefix("*.").unwrap_or(name);
    let label = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    if name.len() > 253 || !host.split('.').all(label) {
        return Err(wrong("it is no DNS name, IP address or URI"));
    }
    Ok(SanType::DnsName(name.try_into().map_err(|_| wrong("a DNS name is ASCII"))?))
}

/// When the certificate expires, if it is one and belongs to the key.
fn check_pair(certificate: &str, key: &KeyPair) -> Result<SystemTime, String> {
    let (_, pem) = parse_x509_pem(certificate.as_bytes()).map_err(|_| "it is no PEM")?;
    let certificate = pem.parse_x509().map_err(|_| "it is no certificate")?;
    if certificate.public_key().raw != key.subject_public_key_info() {
        return Err("certificate and key do not belong together".to_owned());
    }
    let expires = u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or(0);
    Ok(UNIX_EPOCH + Duration::from_secs(expires))
}

fn fingerprint(key: &KeyPair) -> String {
    hex(&Sha256::digest(key.subject_public_key_info()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        write!(out, "{byte:02x}").expect("a String takes all");
        out
    })
}

#[cfg(test)]
#[path = "ca_tests.rs"]
mod tests;
