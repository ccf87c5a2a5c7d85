//! Configuration of realtime: what sockets may do, and how much.

use super::schema::section;
use super::values::{ByteSize, TimeSpan};

section! {
    /// Broadcast, presence and changes of tables over WebSockets.
    pub struct RealtimeConfig {
        /// Whether sockets are accepted.
        pub enabled: bool = true;
        /// Whether public topics are refused, so that policies of `realtime.messages` decide about every one.
        pub private_only: bool = false;
        /// Most sockets on this node; further ones are refused with 429.
        pub max_sockets: usize = 10_000, in 1, 1_000_000;
        /// Most channels of one socket.
        pub max_channels: usize = 100, in 1, 10_000;
        /// Joins per second and socket; a socket that goes beyond is closed.
        pub joins_per_second: u32 = 100, in 1, 100_000;
        /// Messages per second that one channel may send; a channel that goes beyond is closed.
        pub events_per_second: u32 = 100, in 1, 1_000_000;
        /// How often one channel may say who it is within `presence_period`; a channel that goes beyond is closed.
        pub presence_calls: u32 = 5, in 1, 1_000_000;
        /// See `presence_calls`.
        pub presence_period: TimeSpan = TimeSpan::seconds(30), in TimeSpan::seconds(1), TimeSpan::seconds(3600);
        /// Messages per second that one user (or one address, without a user) may send by `POST`.
        pub rest_messages_per_second: u32 = 1_000, in 1, 1_000_000;
        /// Whether the presence key of a channel must be the id of its user. Otherwise clients choose, as in games.
        pub presence_key_is_user: bool = false;
        /// Whether an update that takes a row out of a subscriber's sight reaches it as a DELETE; otherwise it hears nothing.
        pub tells_leaving: bool = true;
        /// How long changes are kept for clients that come back, at least.
        pub keep_changes: TimeSpan = TimeSpan::seconds(3600), in TimeSpan::seconds(10), TimeSpan::seconds(604_800);
        /// About how large the kept changes may grow; the stronger of the two.
        pub keep_bytes: ByteSize = ByteSize::mib(1024), in ByteSize::mib(8), ByteSize::mib(1024 * 1024);
        /// How long messages of `realtime.messages` are kept.
        pub keep_messages: TimeSpan = TimeSpan::seconds(259_200), in TimeSpan::seconds(3600), TimeSpan::seconds(31_536_000);
        /// Largest payload of one message.
        pub max_payload: ByteSize = ByteSize::bytes(3_000_500), in ByteSize::kib(1), ByteSize::mib(4);
        /// Largest payload of one presence: it is kept, and sent to everybody who joins.
        pub max_presence: ByteSize = ByteSize::kib(16), in ByteSize::bytes(256), ByteSize::mib(3);
        /// Most channels that are present on one topic, on all nodes; a further one gets an error.
        pub max_topic_presences: usize = 5_000, in 1, 1_000_000;
        /// Largest sum of their keys and payloads: everybody who joins is sent it.
        pub max_topic_presence_bytes: ByteSize = ByteSize::mib(1), in ByteSize::kib(1), ByteSize::mib(256);
        /// Most channels that are present on all topics, on all nodes: every node knows all of them.
        pub max_presences: usize = 100_000, in 1, 10_000_000;
        /// Largest sum of their keys and payloads.
        pub max_presence_bytes: ByteSize = ByteSize::mib(64), in ByteSize::kib(1), ByteSize::mib(16 * 1024);
        /// What may wait to be written to one socket; one that reads more slowly is closed.
        pub max_queue: ByteSize = ByteSize::mib(1), in ByteSize::kib(16), ByteSize::mib(256);
        /// Time without a message after which a socket is closed.
        pub idle_timeout: TimeSpan = TimeSpan::seconds(60), in TimeSpan::seconds(1), TimeSpan::seconds(3600);
        /// Messages in one request to `/realtime/v1/api/broadcast`.
        pub max_batch: usize = 1_000, in 1, 100_000;
    }
}
