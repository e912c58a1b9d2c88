//! The replies of the script: a word, and values after it.

use redis::Value;
use stapled_core::time::Timestamp;

use crate::error::RedisError;

/// A reply, read from its beginning. Redis is not trusted: every value is checked.
pub(crate) struct Reply {
    word: String,
    values: std::vec::IntoIter<Value>,
}

impl Reply {
    pub(crate) fn of(value: Value) -> Result<Self, RedisError> {
        let Value::Array(values) = value else { return Err(RedisError::Reply("no list")) };
        let mut values = values.into_iter();
        let word = text(values.next().ok_or(RedisError::Reply("an empty list"))?)?;
        Ok(Reply { word, values })
    }

    /// The first word, which says what the values mean.
    pub(crate) fn word(&self) -> &str {
        &self.word
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.values.len() == 0
    }

    pub(crate) fn bytes(&mut self) -> Result<Vec<u8>, RedisError> {
        bytes(self.values.next().ok_or(RedisError::Reply("a value is missing"))?)
    }

    pub(crate) fn text(&mut self) -> Result<String, RedisError> {
        text(self.values.next().ok_or(RedisError::Reply("a value is missing"))?)
    }

    pub(crate) fn number<N: std::str::FromStr>(&mut self) -> Result<N, RedisError> {
        self.text()?.parse().map_err(|_| RedisError::Reply("a value is not a number in its range"))
    }

    /// An instant in milliseconds, or `None` where the value is empty.
    pub(crate) fn instant_or_none(&mut self) -> Result<Option<Timestamp>, RedisError> {
        let text = self.text()?;
        if text.is_empty() {
            return Ok(None);
        }
        let milliseconds: i128 = text.parse().map_err(|_| RedisError::Reply("a value is not an instant"))?;
        // The script calculates in floating-point numbers. They are exact as far as this, some 280,000 years.
        Ok(Some(match i64::try_from(milliseconds) {
            Ok(exact) if exact.unsigned_abs() <= 1 << 53 => Timestamp::from_unix_millis(exact),
            _ if milliseconds > 0 => Timestamp::MAX,
            _ => Timestamp::MIN,
        }))
    }

    /// An instant in milliseconds.
    pub(crate) fn instant(&mut self) -> Result<Timestamp, RedisError> {
        self.instant_or_none()?.ok_or(RedisError::Reply("an instant is missing"))
    }
}

fn bytes(value: Value) -> Result<Vec<u8>, RedisError> {
    match value {
        Value::BulkString(bytes) => Ok(bytes),
        Value::SimpleString(text) => Ok(text.into_bytes()),
        _ => Err(RedisError::Reply("a value is not a string")),
    }
}

fn text(value: Value) -> Result<String, RedisError> {
    String::from_utf8(bytes(value)?).map_err(|_| RedisError::Reply("a value is not UTF-8"))
}
