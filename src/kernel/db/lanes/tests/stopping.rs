//! The lanes' end, while a connection is still on its way.

use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::kernel::db::target::{Host, SslMode};
use crate::kernel::secret::Secret;

#[tokio::test]
async fn a_connection_that_opens_while_the_lanes_end_is_closed_too() {
    for ssl_mode in [SslMode::Disable, SslMode::Require] {
        let way = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = way.local_addr().unwrap().port();
        let mut target = Target::new(Host::new("127.0.0.1", port), "scram_user", "postgres");
        target.password = Some(Secret::new("pw"));
        target.ssl_mode = ssl_mode;
        let server = Cluster::shared().port;

        let lanes = Running::start(target, small());
        // The first connection, which the lanes open by themselves, gets no further than here.
        let (mut held, _) = way.accept().await.unwrap();
        lanes.cancel.cancel();
        until("the lanes refuse what is new", || async { lanes.hub.health.admit().is_err() }).await;
        tokio::spawn(async move {
            let mut onward = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
            tokio::io::copy_bidirectional(&mut held, &mut onward).await
        });

        let stopped = tokio::time::timeout(Duration::from_secs(30), lanes.stop()).await;
        assert!(stopped.is_ok(), "a connection stayed open ({ssl_mode:?})");
    }
}
