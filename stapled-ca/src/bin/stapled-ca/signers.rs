//! Which key signs the responses of an authority.

use stapled_ca::responder::ResponderBuilder;
use stapled_ca::{Authority, AuthorityError};

/// The builder with this authority, whose delegate signs if there is one. Without one the authority signs, unless a delegate is
/// demanded.
pub(crate) fn answer_for(
    builder: ResponderBuilder,
    authority: &Authority,
    is_demanded: bool,
) -> Result<ResponderBuilder, AuthorityError> {
    match authority.installed_delegate() {
        Ok(_) => builder.installed_delegate(authority),
        Err(AuthorityError::NoDelegate { .. }) if !is_demanded => Ok(builder.authority(authority)),
        Err(error) => Err(error),
    }
}
