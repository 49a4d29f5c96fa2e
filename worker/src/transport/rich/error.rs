//! What reqwest's errors mean, by what lies below them.

use std::error::Error as StdError;
use std::io;

use deathstar_statemachine::window::ErrorClass;
use thiserror::Error;

/// Every layer of an error in one line.
pub(super) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// Every error below `error` that says something of its own, errors hidden in
/// `io::Error` among them.
fn layers<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| {
        let error = *error;
        if let Some(inner) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            return Some(inner as &(dyn StdError + 'static));
        }
        error.source()
    })
}

/// Whether we ran out of file descriptors: our limit, not the target's failure.
pub(super) fn is_out_of_descriptors(error: &reqwest::Error) -> bool {
    layers(error).filter_map(|error| error.downcast_ref::<io::Error>()).any(|error| {
        let code = error.raw_os_error().map(rustix::io::Errno::from_raw_os_error);
        matches!(
            code,
            Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE | rustix::io::Errno::ADDRNOTAVAIL)
        )
    })
}

pub(super) fn class_of(error: &reqwest::Error, in_body: bool) -> ErrorClass {
    for layer in layers(error) {
        if layer.is::<DnsError>() {
            return ErrorClass::Dns;
        }
        if layer.is::<rustls::Error>() {
            return ErrorClass::Tls;
        }
        if let Some(error) = layer.downcast_ref::<io::Error>() {
            match error.kind() {
                io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe => {
                    return ErrorClass::Reset;
                }
                io::ErrorKind::UnexpectedEof if !in_body => return ErrorClass::Reset,
                _ => {}
            }
        }
        if let Some(error) = layer.downcast_ref::<h2::Error>() {
            return class_of_http2(error, in_body);
        }
        if let Some(error) = layer.downcast_ref::<hyper::Error>() {
            if in_body {
                // A reset is found in a layer further down.
                continue;
            }
            if error.is_parse() {
                return ErrorClass::Protocol;
            }
            // Of a request that waited for a stream when its connection ended, hyper says
            // that the user has gone.
            let ended = error.is_incomplete_message() || error.is_closed() || error.is_canceled();
            if ended || error.is_user() {
                return ErrorClass::Reset;
            }
        }
    }
    if in_body {
        ErrorClass::Body
    } else if error.is_connect() {
        ErrorClass::Refused
    } else {
        ErrorClass::Protocol
    }
}

fn class_of_http2(error: &h2::Error, in_body: bool) -> ErrorClass {
    // Of the connection below it an error shows no layer of its own. To h2 one that
    // ends in good order is a broken pipe, too.
    match error.get_io().map(io::Error::kind) {
        Some(io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe) if in_body => ErrorClass::Body,
        Some(_) => ErrorClass::Reset,
        None if error.is_remote() => ErrorClass::Reset,
        // h2 ends a connection on which too much has come of what had been given up.
        None if error.is_go_away() && error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM) => {
            ErrorClass::Aborted
        }
        None => ErrorClass::Protocol,
    }
}

/// Whether an error to connect is that of another request, which says nothing of why:
/// the pool has no cause for it.
pub(super) fn is_in_vain(error: &reqwest::Error) -> bool {
    !layers(error).any(|layer| {
        layer.is::<io::Error>()
            || layer.is::<DnsError>()
            || layer.is::<rustls::Error>()
            || layer.is::<hyper::Error>()
            || layer.is::<h2::Error>()
    })
}

/// A host name that could not be resolved.
#[derive(Debug, Error)]
#[error("the name {name:?} cannot be resolved")]
pub(super) struct DnsError {
    pub(super) name: String,
    pub(super) source: io::Error,
}
