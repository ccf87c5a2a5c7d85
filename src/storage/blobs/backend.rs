//! Which backend holds the bytes, by configuration.
//!
//! The addresses here are the operator's, not a caller's, so requests to them do not pass the guard against private addresses.

use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::{GcpCredential, GoogleCloudStorageBuilder};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::prefix::PrefixStore;
use object_store::{ClientOptions, ObjectStore, RetryConfig, StaticCredentialProvider};
use url::Url;

use super::Blobs;
use crate::kernel::config::StorageConfig;

/// What is written to a file at a time.
const LOCAL_PART: usize = 1 << 20;
/// The parts of an upload to a service: 10,000 of them make 80 GB, and none may be below 5 MiB.
const REMOTE_PART: usize = 8 << 20;
/// How long a request to a service may take; one carries at most a part, or starts an answer.
const REQUEST: Duration = Duration::from_mins(2);
/// How long requests that failed for the moment are repeated.
const RETRY: Duration = Duration::from_secs(10);

/// Why the backend cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// The folder cannot be made or entered.
    #[error("`storage.url`: cannot use the folder {path}: {error}")]
    Folder {
        /// Which.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// No backend has such an address.
    #[error("`storage.url`: `{0}` is none of a folder, s3://…, gs://…, az://… and memory:")]
    Scheme(String),
    /// The service's settings are not right or not enough.
    #[error("`storage`: {0}")]
    Settings(#[from] object_store::Error),
}

/// Opens the configured backend; without one a folder `storage` in `data_directory`. Writers to a service wait for memory no
/// longer than `patience`, and for a source that holds some of it.
pub fn open(
    config: &StorageConfig,
    data_directory: &FilePath,
    patience: Duration,
) -> Result<Blobs, BackendError> {
    let default = data_directory.join("storage");
    let Some(text) = config.url.as_deref().filter(|text| !text.is_empty()) else { return folder(&default) };
    if text == "memory:" {
        return Ok(Blobs::new(Arc::new(InMemory::new()), LOCAL_PART));
    }
    let Some(url) = Url::parse(text).ok().filter(|_| text.contains("://")) else {
        return folder(FilePath::new(text));
    };
    let name = url.host_str().unwrap_or_default().to_owned();
    match url.scheme() {
        "file" => folder(FilePath::new(url.path())),
        "s3" => Ok(remote(s3(config, &name).build()?, &url, (config, patience))),
        "gs" => Ok(remote(gcs(config, &name).build()?, &url, (config, patience))),
        "az" => Ok(remote(azure(config, &name).build()?, &url, (config, patience))),
        _ => Err(BackendError::Scheme(text.to_owned())),
    }
}

fn folder(path: &FilePath) -> Result<Blobs, BackendError> {
    let wrong = |error| BackendError::Folder { path: path.display().to_string(), error };
    std::fs::create_dir_all(path).map_err(wrong)?;
    std::fs::read_dir(path).map_err(wrong)?;
    let store = LocalFileSystem::new_with_prefix(path)?.with_fsync(true);
    Ok(Blobs::new(Arc::new(store), LOCAL_PART).in_folder(path))
}

/// Below the path of the address, if it has one.
fn remote(store: impl ObjectStore, url: &Url, (config, patience): (&StorageConfig, Duration)) -> Blobs {
    let store: Arc<dyn ObjectStore> = match url.path().trim_matches('/') {
        "" => Arc::new(store),
        prefix => Arc::new(PrefixStore::new(store, prefix)),
    };
    Blobs::new(store, REMOTE_PART).within(config.upload_memory.get(), patience)
}

fn client(allow_http: bool) -> ClientOptions {
    ClientOptions::new().with_allow_http(allow_http).with_timeout(REQUEST)
}

fn retry() -> RetryConfig {
    RetryConfig { retry_timeout: RETRY, max_retries: 4, ..RetryConfig::default() }
}

fn s3(config: &StorageConfig, bucket: &str) -> AmazonS3Builder {
    let s3 = &config.s3;
    let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket).with_retry(retry());
    let mut plain = false;
    if let Some(endpoint) = &s3.endpoint {
        plain = endpoint.starts_with("http://");
        builder = builder.with_endpoint(endpoint).with_virtual_hosted_style_request(!s3.path_style);
    }
    if let Some(region) = &s3.region {
        builder = builder.with_region(region);
    }
    if let Some(key) = &s3.access_key_id {
        builder = builder.with_access_key_id(key);
    }
    if let Some(secret) = &s3.secret_access_key {
        builder = builder.with_secret_access_key(secret.expose());
    }
    builder.with_client_options(client(plain))
}

fn gcs(config: &StorageConfig, bucket: &str) -> GoogleCloudStorageBuilder {
    let mut builder = GoogleCloudStorageBuilder::from_env().with_bucket_name(bucket).with_retry(retry());
    if let Some(file) = &config.gcs.service_account {
        builder = builder.with_service_account_path(file.to_string_lossy());
    }
    let mut plain = false;
    if let Some(endpoint) = &config.gcs.endpoint {
        plain = endpoint.starts_with("http://");
        // Only emulators are somewhere else, and any token is right for them. Without one object_store would ask the machine's
        // account; to skip signatures does not keep it from that where it writes.
        let none = StaticCredentialProvider::new(GcpCredential { bearer: "none".to_owned() });
        builder = builder.with_base_url(endpoint).with_credentials(Arc::new(none));
    }
    builder.with_client_options(client(plain))
}

fn azure(config: &StorageConfig, container: &str) -> MicrosoftAzureBuilder {
    let azure = &config.azure;
    let mut builder = MicrosoftAzureBuilder::from_env().with_container_name(container).with_retry(retry());
    if let Some(account) = &azure.account {
        builder = builder.with_account(account);
    }
    if let Some(key) = &azure.access_key {
        builder = builder.with_access_key(key.expose());
    }
    let mut plain = false;
    if let Some(endpoint) = &azure.endpoint {
        plain = endpoint.starts_with("http://");
        builder = builder.with_endpoint(endpoint.clone());
    }
    builder.with_client_options(client(plain))
}
