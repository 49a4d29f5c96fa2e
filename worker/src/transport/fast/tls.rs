//! How TLS is spoken: the same trust, the same provider and the same versions as
//! reqwest's, so that both transports agree on whom to talk to.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls_platform_verifier::Verifier;

use crate::transport::TransportError;

/// One config for all connections of a worker, so that a session begun on one is
/// resumed on another. It trusts what the machine trusts, and `roots`.
pub(super) fn config(roots: &[CertificateDer<'static>]) -> Result<Arc<ClientConfig>, TransportError> {
    let failed = |error: rustls::Error| TransportError {
        what: "TLS cannot be set up".to_owned(),
        why: error.to_string(),
    };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier =
        Verifier::new_with_extra_roots(roots.iter().cloned(), Arc::clone(&provider)).map_err(failed)?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(failed)?
        // So the builder calls every verifier but its own; this one verifies all.
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
