//! Frames: a length in four bytes, and a message in `MessagePack`.

use rmp_serde::config::BytesMode;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::bytes::{BufMut as _, Bytes, BytesMut};
use tokio_util::codec::LengthDelimitedCodec;

/// The largest frame. A page of events may be large.
const MAX_FRAME_BYTES: usize = 256 << 20;

/// The framing of a connection.
pub(super) fn framing() -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder().max_frame_length(MAX_FRAME_BYTES).new_codec()
}

/// A message was not encoded or decoded.
#[derive(Debug, thiserror::Error)]
pub(super) enum CodecError {
    #[error("a message cannot be encoded: {0}")]
    Encode(#[from] rmp_serde::encode::Error),
    #[error("a message cannot be decoded: {0}")]
    Decode(#[from] rmp_serde::decode::Error),
}

/// Encodes a message.
pub(super) fn encode<T: Serialize>(message: &T) -> Result<Bytes, CodecError> {
    let mut writer = BytesMut::with_capacity(512).writer();
    // Names of members, because some are left out if they are empty.
    let mut serializer = rmp_serde::Serializer::new(&mut writer).with_struct_map().with_bytes(BytesMode::ForceAll);
    message.serialize(&mut serializer)?;
    Ok(writer.into_inner().freeze())
}

/// Decodes a message.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    Ok(rmp_serde::from_slice(bytes)?)
}
