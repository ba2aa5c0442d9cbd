//! Certificate requests as others send them.

use std::net::{Ipv4Addr, Ipv6Addr};

use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;

use crate::{Error, identity, pem};

/// A certificate request (PKCS#10) whose signature was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub cn: String,
    pub orgs: Vec<String>,
    pub dns_names: Vec<String>,
    pub ip_addresses: Vec<String>,
    pub emails: Vec<String>,
    pub uris: Vec<String>,
    pub(crate) subject_der: Vec<u8>,
    pub(crate) public_key_der: Vec<u8>,
}

impl Request {
    /// Reads a PEM request and checks that its sender holds the key.
    pub fn from_pem(text: &[u8]) -> Result<Self, Error> {
        let der = pem::request(text)?;
        let (_, csr) = X509CertificationRequest::from_der(&der).map_err(|e| Error::malformed("the certificate request", e))?;
        csr.verify_signature().map_err(|_| Error::RequestSignature)?;
        let info = &csr.certification_request_info;
        let (cn, orgs) = identity::subject(&info.subject);
        let mut request = Self {
            cn,
            orgs,
            dns_names: Vec::new(),
            ip_addresses: Vec::new(),
            emails: Vec::new(),
            uris: Vec::new(),
            subject_der: info.subject.as_raw().to_vec(),
            public_key_der: info.subject_pki.raw.to_vec(),
        };
        for extension in csr.requested_extensions().into_iter().flatten() {
            if let ParsedExtension::SubjectAlternativeName(names) = extension {
                names.general_names.iter().for_each(|name| request.add_name(name));
            }
        }
        Ok(request)
    }

    /// Returns whether the request asks for names beside its subject.
    pub fn has_alternative_names(&self) -> bool {
        [&self.dns_names, &self.ip_addresses, &self.emails, &self.uris].iter().any(|names| !names.is_empty())
    }

    fn add_name(&mut self, name: &GeneralName<'_>) {
        match name {
            GeneralName::DNSName(name) => self.dns_names.push((*name).to_owned()),
            GeneralName::RFC822Name(name) => self.emails.push((*name).to_owned()),
            GeneralName::URI(name) => self.uris.push((*name).to_owned()),
            GeneralName::IPAddress(bytes) => {
                if let Ok(octets) = <[u8; 4]>::try_from(*bytes) {
                    self.ip_addresses.push(Ipv4Addr::from(octets).to_string());
                } else if let Ok(octets) = <[u8; 16]>::try_from(*bytes) {
                    self.ip_addresses.push(Ipv6Addr::from(octets).to_string());
                }
            }
            _ => {}
        }
    }
}
