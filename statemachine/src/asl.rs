//! The part of the Amazon States Language that we accept.
