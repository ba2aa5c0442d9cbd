//! What a certificate says about its holder.

use jiff::Timestamp;
use x509_parser::certificate::X509Certificate;
use x509_parser::time::ASN1Time;
use x509_parser::x509::X509Name;

use crate::{Error, pem};

/// The holder of a certificate: Kubernetes takes the common name as the user, the organizations as groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub cn: String,
    pub orgs: Vec<String>,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    /// Hexadecimal, lower case.
    pub serial: String,
}

impl Identity {
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        let (_, certificate) = x509_parser::parse_x509_certificate(der).map_err(|e| Error::malformed("the certificate", e))?;
        Self::of(&certificate)
    }

    /// Reads the first certificate of a PEM text.
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        Self::from_der(&pem::certificates(text.as_bytes())?[0])
    }

    fn of(certificate: &X509Certificate<'_>) -> Result<Self, Error> {
        let (cn, orgs) = subject(certificate.subject());
        let validity = certificate.validity();
        let hex = certificate.raw_serial().iter().map(|b| format!("{b:02x}")).collect();
        Ok(Self { cn, orgs, not_before: timestamp(validity.not_before)?, not_after: timestamp(validity.not_after)?, serial: hex })
    }

    /// Checks the time only.
    pub fn check_time(&self, now: Timestamp) -> Result<(), Error> {
        if now < self.not_before {
            return Err(Error::NotYetValid { not_before: self.not_before, now });
        }
        if now > self.not_after {
            return Err(Error::Expired { not_after: self.not_after, now });
        }
        Ok(())
    }

    /// Returns the share of the validity that is left at `now`, between 0 and 1.
    pub fn remaining(&self, now: Timestamp) -> f64 {
        let whole = self.not_before.duration_until(self.not_after).as_secs_f64();
        let left = now.duration_until(self.not_after).as_secs_f64();
        if whole <= 0.0 { 0.0 } else { (left / whole).clamp(0.0, 1.0) }
    }
}

/// Returns common name and organizations, also where several share one set, as Go writes them.
pub(crate) fn subject(name: &X509Name<'_>) -> (String, Vec<String>) {
    let text = |value: &x509_parser::x509::AttributeTypeAndValue<'_>| value.as_str().ok().map(str::to_owned);
    // As Go's crypto/x509: the last common name wins.
    let cn = name.iter_common_name().filter_map(text).last().unwrap_or_default();
    (cn, name.iter_organization().filter_map(text).collect())
}

fn timestamp(time: ASN1Time) -> Result<Timestamp, Error> {
    Timestamp::from_second(time.timestamp()).map_err(|e| Error::malformed("the certificate's validity", e))
}
