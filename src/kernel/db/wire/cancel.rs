//! Asks a server to cancel what one of its connections is running.
//!
//! The request names a connection, not a query: the caller must make sure that nothing else can run on the connection
//! before [`cancel`] has returned, which is when the server has sent its signal.

use std::io;

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::stream::{Encryption, Stream};
use crate::kernel::db::target::Host;

/// What is needed to cancel a query of one connection.
#[derive(Clone)]
pub(in crate::kernel::db) struct CancelKey {
    pub(super) host: Host,
    pub(super) encryption: Encryption,
    pub(super) process: i32,
    pub(super) secret: i32,
}

impl CancelKey {
    /// Sends the request and waits until the server closes the stream, which it does after the signal was sent.
    pub(in crate::kernel::db) async fn cancel(&self) -> io::Result<()> {
        let mut stream = Stream::open(&self.host, &self.encryption).await?;
        let mut request = BytesMut::with_capacity(16);
        frontend::cancel_request(self.process, self.secret, &mut request);
        stream.write_all(&request).await?;
        stream.flush().await?;
        let mut end = [0; 1];
        match stream.read(&mut end).await {
            Ok(0) => Ok(()),
            Ok(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "a cancel request was answered")),
            // Over TLS the server closes without a farewell; the signal was sent before that too.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}
