//! Certificates and keys from PEM files.
//!
//! Promises: a fault names the key of the configuration, the file and the remedy, and nothing of what is in a
//! private key.

use std::path::Path;

use mcpmqtt_protocol::topic::ShownPath;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::file;

/// Files that one section of the configuration names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Files(pub(crate) &'static str);

impl Files {
    /// The authorities in the file at `key`.
    pub(crate) fn roots(self, key: &str, path: &Path) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        for authority in self.certificates(key, path)? {
            roots
                .add(authority)
                .map_err(|_| self.fault(key, path, "a certificate in it cannot be read"))?;
        }
        Ok(roots)
    }

    /// All certificates in the file at `key`, at least one.
    pub(crate) fn certificates(
        self,
        key: &str,
        path: &Path,
    ) -> Result<Vec<CertificateDer<'static>>, String> {
        let text = self.read(key, path)?;
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(&text)
            .collect::<Result<_, _>>()
            .map_err(|_| self.fault(key, path, "it is damaged: its PEM cannot be read"))?;
        if certificates.is_empty() {
            return Err(self.fault(key, path, "it holds no certificate in PEM"));
        }
        Ok(certificates)
    }

    /// The private key in the file at `key`.
    pub(crate) fn private_key(
        self,
        key: &str,
        path: &Path,
    ) -> Result<PrivateKeyDer<'static>, String> {
        PrivateKeyDer::from_pem_slice(&self.read(key, path)?).map_err(|_| {
            let remedy = "it holds no private key in PEM that can be read (an encrypted one cannot; \
                          `openssl pkey` takes the pass phrase off)";
            self.fault(key, path, remedy)
        })
    }

    /// The file at `key` cannot be used, for this reason.
    pub(crate) fn fault(self, key: &str, path: &Path, words: &str) -> String {
        format!("{}.{key}: cannot use {}: {words}", self.0, ShownPath(path))
    }

    fn read(self, key: &str, path: &Path) -> Result<Vec<u8>, String> {
        let bytes = file::read(path, MAX_BYTES + 1)
            .map_err(|error| self.fault(key, path, &crate::io_error::describe(&error)))?;
        if bytes.len() > MAX_BYTES {
            let words = format!("it has more than {} MiB", MAX_BYTES >> 20);
            return Err(self.fault(key, path, &words));
        }
        Ok(bytes)
    }
}

/// All authorities that browsers trust are a fourth of a MiB.
const MAX_BYTES: usize = 8 << 20;
