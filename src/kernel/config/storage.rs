//! Configuration of storage: where bytes lie, and how many are taken.

use std::path::PathBuf;

use super::schema::{choice, section};
use super::values::{ByteSize, TimeSpan};
use crate::kernel::secret::Secret;

choice! {
    /// Whether bytes are encrypted before the backend gets them.
    pub enum Encryption {
        /// What is new is not; what was encrypted before can be read.
        Off = "off",
        /// What is new is; what was not encrypted before can be read.
        New = "new",
        /// What is new is, and nothing else is read: bytes that somebody puts in place of encrypted ones are noticed.
        Always = "always",
    }
}

choice! {
    /// What becomes of objects that are too large for the scanner.
    pub enum Oversized {
        /// Nobody reads them before an operator releases them.
        Quarantine = "quarantine",
        /// They are served unscanned.
        Allow = "allow",
    }
}

section! {
    /// Files in buckets.
    pub struct StorageConfig {
        /// Where the bytes lie: a folder, `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`, or `memory:` for
        /// trying out. Unless set, the folder `storage` in `embedded.data_dir`. Several nodes need one that all of them reach.
        pub url: Option<String> = None;
        /// Of `s3://`.
        pub s3: S3BackendConfig = S3BackendConfig::default();
        /// Of `gs://`.
        pub gcs: GcsBackendConfig = GcsBackendConfig::default();
        /// Of `az://`.
        pub azure: AzureBackendConfig = AzureBackendConfig::default();
        /// Whether bytes are encrypted before the backend gets them, under keys that derive from `auth.root_secret` (or from the
        /// secret that signs): without it they cannot be read any more.
        pub encryption: Encryption = Encryption::Off;
        /// The protocol of S3, for its clients.
        pub s3_protocol: S3ProtocolConfig = S3ProtocolConfig::default();
        /// The largest object. Buckets may have smaller limits of their own.
        pub file_size_limit: ByteSize = ByteSize::mib(50), in ByteSize::bytes(1), ByteSize::mib(5 * 1024 * 1024);
        /// Whether names of objects may have letters of all scripts, as normal form C. Otherwise those that Supabase takes.
        pub unicode_names: bool = false;
        /// The longest time for which a URL can be signed.
        pub max_signed_url: TimeSpan = TimeSpan::seconds(31_536_000), in TimeSpan::seconds(1), TimeSpan::seconds(3_153_600_000);
        /// How long a signed upload URL can be used.
        pub upload_url_lifetime: TimeSpan = TimeSpan::seconds(7_200), in TimeSpan::seconds(1), TimeSpan::seconds(604_800);
        /// How long the URLs last that REST shows for columns of type `storage.file_reference`: half of it at least.
        pub reference_url_lifetime: TimeSpan = TimeSpan::seconds(3_600), in TimeSpan::seconds(60), TimeSpan::seconds(604_800);
        /// Transformed pictures.
        pub images: ImagesConfig = ImagesConfig::default();
        /// Sizes in which pictures are made as soon as they are uploaded, and kept with the original: as in `400x300`, `400x`,
        /// `400x300 contain`.
        pub thumbnails: Vec<String> = Vec::new();
        /// A scanner that sees each object before anybody reads it.
        pub scan: ScanConfig = ScanConfig::default();
        /// Whoever keeps copies of objects, as a CDN does, and must be told what is out of date.
        pub purge_webhook: PurgeWebhookConfig = PurgeWebhookConfig::default();
        /// How long an upload may go without a byte before what is there of it is removed.
        pub upload_grace: TimeSpan = TimeSpan::seconds(3_600), in TimeSpan::seconds(60), TimeSpan::seconds(604_800);
        /// Memory for bytes on their way to S3, Google or Azure, which take them in parts of 8 MiB. Uploads of more than 1 MiB wait
        /// for their turn when it is used up, and so do their clients, for `server.read_timeout` or get 503. Those that fall behind
        /// 16 KiB/s by as long while they have a part in it are given up.
        pub upload_memory: ByteSize = ByteSize::mib(256), in ByteSize::mib(8), ByteSize::mib(64 * 1024);
        /// How long a resumable upload may take, from its first request to its last byte.
        pub tus_lifetime: TimeSpan = TimeSpan::seconds(86_400), in TimeSpan::seconds(1), TimeSpan::seconds(2_592_000);
    }
}

section! {
    /// A scanner for viruses. What is uploaded cannot be read before the scanner has called it clean.
    pub struct ScanConfig {
        /// Where it is: `tcp://127.0.0.1:3310` or `unix:/run/clamav/clamd.ctl` for clamd, or the address of a hook, as in
        /// `https://scanner.example.com/scan`. Without it nothing is scanned. All nodes need the same.
        pub url: Option<String> = None;
        /// What a hook is sent as `Authorization: Bearer …`.
        pub token: Option<Secret> = None;
        /// The largest object that is scanned. For clamd not more than its `StreamMaxLength`, `MaxFileSize` and `MaxScanSize`;
        /// it needs `AlertExceedsMax yes`, as it calls clean what it did not look at.
        pub max_size: ByteSize = ByteSize::mib(25), in ByteSize::kib(1), ByteSize::mib(5 * 1024 * 1024);
        /// What becomes of larger ones.
        pub oversized: Oversized = Oversized::Quarantine;
        /// The longest that a scan may take. Then it counts as failed, and is tried again. For clamd more than its
        /// `MaxScanTime`.
        pub time_limit: TimeSpan = TimeSpan::seconds(120), in TimeSpan::seconds(1), TimeSpan::seconds(3_600);
    }
}

section! {
    /// Is told of each object that was overwritten, moved or removed.
    pub struct PurgeWebhookConfig {
        /// Where it is, as in `https://cdn.example.com/purge`. Without it nobody is told.
        pub url: Option<String> = None;
        /// What it is signed with (Standard Webhooks), as in `v1,whsec_<base64>`; several with `|` between.
        pub secret: Option<Secret> = None;
    }
}

section! {
    /// Pictures in other sizes and formats.
    pub struct ImagesConfig {
        /// The largest width and height that is made.
        pub max_side: u32 = 2_000, in 16, 16_000;
        /// The largest file that is transformed.
        pub max_source: ByteSize = ByteSize::mib(25), in ByteSize::kib(1), ByteSize::mib(512);
        /// The most pixels of a picture that is transformed; each takes about 10 bytes of memory meanwhile.
        pub max_pixels: u64 = 50_000_000, in 1_000, 1_000_000_000;
        /// How many pictures are made at a time.
        pub at_once: usize = 2, in 1, 64;
        /// Memory for pictures that have been made.
        pub cache: ByteSize = ByteSize::mib(64), in ByteSize::kib(64), ByteSize::mib(16 * 1024);
    }
}

section! {
    /// An S3 service that holds the bytes. What is not set is taken from the usual variables (`AWS_ACCESS_KEY_ID`, …) or the
    /// machine's role.
    pub struct S3BackendConfig {
        /// Where it is, unless it is Amazon's, as in `https://minio.example.com`.
        pub endpoint: Option<String> = None;
        /// Its region.
        pub region: Option<String> = None;
        /// The key's id.
        pub access_key_id: Option<String> = None;
        /// The key.
        pub secret_access_key: Option<Secret> = None;
        /// Whether the bucket stands in the path of URLs, as most services other than Amazon's need it.
        pub path_style: bool = true;
    }
}

section! {
    /// The protocol of S3 at `/storage/v1/s3`. Its access keys are made by `goforward s3-keys create`.
    pub struct S3ProtocolConfig {
        /// The region that clients sign for and are told.
        pub region: String = "local".to_owned();
        /// Whether signatures for other regions are refused. Otherwise `us-east-1`, `auto` and none are taken too.
        pub strict_region: bool = false;
        /// The access key id with which users sign, together with the anon key as secret and their access token as session
        /// token.
        pub tenant_id: String = "default".to_owned();
        /// How long an upload in parts may take. Then it is given up, with its parts.
        pub upload_lifetime: TimeSpan = TimeSpan::seconds(86_400), in TimeSpan::seconds(60), TimeSpan::seconds(2_592_000);
    }
}

section! {
    /// Google's storage.
    pub struct GcsBackendConfig {
        /// The file with the service account's key; else the machine's account.
        pub service_account: Option<PathBuf> = None;
        /// Where an emulator is.
        pub endpoint: Option<String> = None;
    }
}

section! {
    /// Azure's blobs.
    pub struct AzureBackendConfig {
        /// The account.
        pub account: Option<String> = None;
        /// Its key.
        pub access_key: Option<Secret> = None;
        /// Where it is, unless it is Azure's own.
        pub endpoint: Option<String> = None;
    }
}
