//! A verdict as JSON (feature `serde`). What is not known is null.

use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::value::Verdict;

/// An object with the fields `verdict` (`valid` or `invalid`), `status`, `reason`, `stapleable`, `detail`, `this_update`,
/// `next_update`, `produced_at`, `responder`, `delegated`, `signature_algorithm` and `serial`.
impl Serialize for Verdict {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let verdict = if self.status.is_ok() { "valid" } else { "invalid" };
        let mut object = serializer.serialize_struct("Verdict", 12)?;
        object.serialize_field("verdict", verdict)?;
        object.serialize_field("status", &self.status.ok().map(|status| status.name()))?;
        object.serialize_field("reason", &self.status.err().map(|code| code.as_str()))?;
        object.serialize_field("stapleable", &self.stapleable)?;
        object.serialize_field("detail", &self.detail)?;
        object.serialize_field("this_update", &self.this_update)?;
        object.serialize_field("next_update", &self.next_update)?;
        object.serialize_field("produced_at", &self.produced_at)?;
        object.serialize_field("responder", &self.responder)?;
        object.serialize_field("delegated", &self.delegated)?;
        object.serialize_field("signature_algorithm", &self.signature_algorithm)?;
        object.serialize_field("serial", &self.serial)?;
        object.end()
    }
}
