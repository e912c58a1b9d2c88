//! Addresses of Redis, as users give them.

use stapled_redis::RedisAddress;

/// Reads an address. In an argument it must have no password: `instead` says where such an address belongs.
pub(crate) fn read(text: &str, is_argument: bool, instead: &str) -> Result<RedisAddress, String> {
    let address: RedisAddress = text.parse().map_err(|error| format!("{error}"))?;
    if is_argument && address.has_password() {
        return Err(format!("every user of this machine can see a password in an argument; {instead}"));
    }
    // For addresses with TLS. If this fails, there is a provider.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    Ok(address)
}
