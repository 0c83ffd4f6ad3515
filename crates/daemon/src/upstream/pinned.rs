//! Servers for which the certificates of one file vouch, and nobody else.
//!
//! **Invariant:** whoever has a certificate of the file itself is held to its name and its time like anybody else.

use std::sync::Arc;

use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::ring,
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};

/// Checks servers by these certificates.
#[derive(Debug)]
pub(super) struct Pinned {
    certificates: Vec<CertificateDer<'static>>,
    /// Knows those that they have signed.
    signed: Arc<WebPkiServerVerifier>,
}

impl Pinned {
    /// One that goes by these. The error is for a person.
    pub(super) fn of(certificates: Vec<CertificateDer<'static>>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            let added = roots.add(certificate.clone());
            added.map_err(|error| error.to_string())?;
        }
        let provider = Arc::new(ring::default_provider());
        let signed = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        Ok(Pinned {
            certificates,
            signed: signed.build().map_err(|error| error.to_string())?,
        })
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let checked =
            self.signed
                .verify_server_cert(certificate, between, name, ocsp_response, now);
        match checked {
            // It would have to be no authority's if it were signed by another. Its time was looked at before that.
            Err(error) if is_of_authority(&error) && self.certificates.contains(certificate) => {
                verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            checked => checked,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signed.supported_verify_schemes()
    }
}

/// Whether a server was refused only because its certificate may vouch for others, as those of servers may not.
pub(super) fn is_of_authority(error: &Error) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(OtherError(cause))) = error else {
        return false;
    };
    cause.downcast_ref() == Some(&webpki::Error::CaUsedAsEndEntity)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};

    use super::*;

    /// What `openssl req -x509` makes, which counts in the year 2020.
    fn self_signed(is_ca: IsCa) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.is_ca = is_ca;
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().clone()
    }

    #[test]
    fn a_certificate_of_the_file_itself_is_good_for_its_name_and_its_time() {
        const YEAR: u64 = 365 * 86_400;
        for is_ca in [
            IsCa::Ca(BasicConstraints::Unconstrained),
            IsCa::ExplicitNoCa,
            IsCa::NoCa,
        ] {
            let (certificate, other) = (self_signed(is_ca), self_signed(is_ca));
            let pinned = Pinned::of(vec![self_signed(IsCa::NoCa), certificate.clone()]).unwrap();
            let check = |certificate: &CertificateDer<'_>, name: &str, years: u64| {
                let name = ServerName::try_from(name.to_owned()).unwrap();
                let now = UnixTime::since_unix_epoch(Duration::from_secs(years * YEAR + YEAR / 2));
                let checked = pinned.verify_server_cert(certificate, &[], &name, &[], now);
                checked.map(|_| ()).map_err(|error| error.to_string())
            };
            assert_eq!(check(&certificate, "localhost", 50), Ok(()));
            for (certificate, name, years, why) in [
                (&certificate, "localhost", 48, "not valid yet"),
                (&certificate, "localhost", 52, "expired"),
                (&certificate, "127.0.0.1", 50, "not valid for name"),
                (&other, "localhost", 50, ""),
            ] {
                let refused = check(certificate, name, years).unwrap_err();
                assert!(refused.contains(why), "{refused}");
            }
        }
    }
}
