//! The row of a job, as it is stored.

use crate::outcome::Failure;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use store::MicrosUtc;
use uuid::Uuid;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    Export,
    Import,
}

/// Where a job stands. That it runs is known to who runs it only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum State {
    Waiting,
    Done,
    Failed,
}

/// A file of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileRow {
    /// Resource type of its lines.
    pub rtype: String,
    /// Name in the job's folder and in its URL.
    pub name: String,
    /// Lines.
    pub count: u64,
}

/// What came of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Commit time of the snapshot that was read, or of the last commit made.
    pub transaction_time: MicrosUtc,
    /// Resources.
    pub output: Vec<FileRow>,
    /// Bundles that name what was deleted.
    pub deleted: Vec<FileRow>,
    /// OperationOutcomes.
    pub error: Vec<FileRow>,
    /// Further members of the manifest.
    #[serde(default)]
    pub extension: serde_json::Map<String, serde_json::Value>,
}

impl Outcome {
    /// Every file.
    pub fn files(&self) -> impl Iterator<Item = &FileRow> {
        self.output.iter().chain(&self.deleted).chain(&self.error)
    }
}

/// A job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub id: Uuid,
    pub kind: Kind,
    /// Name of the FHIR repository.
    pub repository: String,
    /// Fingerprint of the caller.
    pub actor: String,
    /// The request, as the manifest repeats it.
    pub request: String,
    pub created_at: MicrosUtc,
    pub expires_at: MicrosUtc,
    pub state: State,
    /// What the kind needs to know.
    pub task: serde_json::Value,
    pub outcome: Option<Outcome>,
    /// Status and OperationOutcome of a failed job.
    pub failure: Option<(u16, serde_json::Value)>,
}

/// Why work ended without a result.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The job failed for good.
    Failed(Failure),
    /// It was cancelled, or somebody else has it now.
    Given,
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<store::StoreError> for Ended {
    fn from(error: store::StoreError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<std::io::Error> for Ended {
    /// Disk full, folder gone: the operator's business, and the caller's only as "not now".
    fn from(error: std::io::Error) -> Self {
        tracing::error!(%error, "a job's files cannot be written");
        Self::Failed(Failure::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "transient",
            "files cannot be written now; try again later",
        ))
    }
}
