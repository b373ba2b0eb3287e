//! The body of an `$import`, written to disk as it comes: never whole in memory.

use super::is_ndjson;
use crate::outcome::Failure;
use crate::repository::Repository;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use tokio::io::AsyncWriteExt as _;
use uuid::Uuid;

/// Longest body of an import as it comes, and what it may unpack to, bytes.
pub const MAX_IMPORT_BYTES: u64 = 16 << 30;
/// Name of the input in the folder of its job.
const INPUT: &str = "input.ndjson";

/// A body on disk, in the folder of the job it is for. Removed again unless it is kept.
#[derive(Debug)]
pub(crate) struct Upload {
    /// Id of the job to be.
    pub id: Uuid,
    /// Length as it came.
    pub bytes: u64,
    pub is_gzip: bool,
    folder: PathBuf,
    is_kept: AtomicBool,
}

impl Upload {
    /// From now on the job owns the folder.
    pub fn keep(&self) {
        self.is_kept.store(true, Relaxed);
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !self.is_kept.load(Relaxed) {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// Where the input of a job lies.
pub(super) fn input_of(folder: &Path) -> PathBuf {
    folder.join(INPUT)
}

/// Whether the request brings NDJSON that this repository takes.
pub(crate) fn applies(repository: &Repository, headers: &HeaderMap) -> bool {
    let media = headers
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.split(';').next())
        .unwrap_or_default();
    !repository.is_clinical() && repository.jobs.is_some() && is_ndjson(media)
}

/// Writes the body to disk.
pub(crate) async fn spool(
    repository: &Repository,
    headers: &HeaderMap,
    body: Body,
) -> Result<Upload, Failure> {
    let too_long = || {
        Failure::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-long",
            format!("an import takes at most {MAX_IMPORT_BYTES} bytes; send several"),
        )
    };
    let is_gzip = match headers
        .get(header::CONTENT_ENCODING)
        .map(|v| v.to_str().unwrap_or_default().trim())
    {
        None | Some("" | "identity") => false,
        Some("gzip" | "x-gzip") => true,
        Some(_) => {
            return Err(Failure::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "not-supported",
                "the body may be encoded with gzip only",
            ));
        }
    };
    let id = Uuid::now_v7();
    let mut upload = Upload {
        id,
        bytes: 0,
        is_gzip,
        folder: crate::jobs::of(repository)?.folder(id),
        is_kept: AtomicBool::new(false),
    };
    let failed = |error: std::io::Error| {
        tracing::error!(%error, "an import cannot be written to disk");
        Failure::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "transient",
            "the import cannot be kept now; try again later",
        )
    };
    tokio::fs::create_dir_all(&upload.folder)
        .await
        .map_err(failed)?;
    let file = tokio::fs::File::create(input_of(&upload.folder))
        .await
        .map_err(failed)?;
    let mut file = tokio::io::BufWriter::with_capacity(256 << 10, file);
    let mut body = body;
    loop {
        let frame = std::future::poll_fn(|cx| {
            use axum::body::HttpBody as _;
            std::pin::Pin::new(&mut body).poll_frame(cx)
        })
        .await;
        let Some(frame) = frame else { break };
        let frame = frame
            .map_err(|_| Failure::bad("invalid", "the body broke off; nothing was imported"))?;
        if let Ok(data) = frame.into_data() {
            upload.bytes += data.len() as u64;
            if upload.bytes > MAX_IMPORT_BYTES {
                return Err(too_long());
            }
            file.write_all(&data).await.map_err(failed)?;
        }
    }
    file.flush().await.map_err(failed)?;
    file.get_ref().sync_all().await.map_err(failed)?;
    Ok(upload)
}
