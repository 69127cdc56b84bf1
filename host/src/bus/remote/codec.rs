//! Frames: a length in four bytes, and a message in `MessagePack`.

use std::fmt::Display;

use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _};
use rmp_serde::config::BytesMode;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::bytes::{BufMut as _, Bytes, BytesMut};
use tokio_util::codec::LengthDelimitedCodec;

use super::protocol::SILENCE;

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

/// Sends a message and all that are queued behind it, with one flush. Returns why that failed.
pub(super) async fn send_all<M: Serialize, S: Sink<Bytes, Error: Display> + Unpin>(
    sink: &mut S,
    first: Option<M>,
    mut next: impl FnMut() -> Option<M>,
) -> Result<(), String> {
    let mut message = first;
    while let Some(current) = message {
        let frame = encode(&current).map_err(|error| error.to_string())?;
        sink.feed(frame).await.map_err(|error| error.to_string())?;
        message = next();
    }
    sink.flush().await.map_err(|error| error.to_string())
}

/// Receives the next message. Returns why there is none: the other host is silent, or the connection has ended.
pub(super) async fn receive_next<M: DeserializeOwned, E: Display>(
    stream: &mut (impl Stream<Item = Result<BytesMut, E>> + Unpin),
) -> Result<M, String> {
    match tokio::time::timeout(SILENCE, stream.next()).await {
        Ok(Some(Ok(frame))) => decode(&frame).map_err(|error| error.to_string()),
        Ok(Some(Err(error))) => Err(error.to_string()),
        Ok(None) => Err("the other host closed it".to_owned()),
        Err(_) => Err("the other host is silent".to_owned()),
    }
}
