//! The files of imports: spooled to the data directory while they come in and while they are read, kept in the object store in
//! between, where every node finds them. Never whole in memory.
//!
//! Uploads are bounded in size. A kept file is removed 30 days after it came: then its failed rows can no longer be fetched; all
//! else about the import stays.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use chrono::{DateTime, TimeDelta, Utc};
use futures::TryStreamExt;
use object_store::buffered::BufWriter;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt};
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt;

use crate::objects::Objects;

/// The largest file: 200 MB.
pub const MOST_BYTES: u64 = 200_000_000;
/// The smallest part of an upload in parts, but for the last: what object stores take.
pub const PART_BYTES: u64 = 8 * 1024 * 1024;
/// The most parts of an upload.
pub const MOST_PARTS: u32 = 100;
/// How long files and parts are kept.
const KEPT_FOR: TimeDelta = TimeDelta::days(30);
/// How long parts of an upload that nobody completes are kept.
const PARTS_KEPT_FOR: TimeDelta = TimeDelta::days(2);

/// Why a file was not taken or not given.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// More than [`MOST_BYTES`].
    #[error("the file has more than {MOST_BYTES} bytes")]
    TooLarge,
    /// The disk.
    #[error("the spool directory: {0}")]
    Disk(#[from] io::Error),
    /// The store.
    #[error("the object store: {0}")]
    Store(#[from] object_store::Error),
}

/// See the module's text. Cheap to clone.
#[derive(Clone)]
pub struct ImportFiles {
    objects: Objects,
    spool: PathBuf,
}

/// A file that came in, on the node's own disk until it is dropped.
#[derive(Debug)]
pub struct Spooled {
    file: NamedTempFile,
    /// SHA-256 of its bytes.
    pub digest: Vec<u8>,
    /// Bytes.
    pub size: u64,
}

impl Spooled {
    /// To read from its beginning.
    ///
    /// # Errors
    /// What the disk answers.
    pub fn open(&self) -> io::Result<File> {
        let mut file = self.file.reopen()?;
        file.seek(SeekFrom::Start(0))?;
        Ok(file)
    }
}

/// A file that is coming in.
pub struct Spool {
    file: NamedTempFile,
    writer: tokio::io::BufWriter<tokio::fs::File>,
    digest: Context,
    size: u64,
}

impl Spool {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`FileError::TooLarge`], or what the disk answers.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.size += bytes.len() as u64;
        if self.size > MOST_BYTES {
            return Err(FileError::TooLarge);
        }
        self.digest.update(bytes);
        self.writer.write_all(bytes).await?;
        Ok(())
    }

    /// All bytes have come.
    ///
    /// # Errors
    /// What the disk answers.
    pub async fn finish(mut self) -> Result<Spooled, FileError> {
        self.writer.flush().await?;
        Ok(Spooled {
            file: self.file,
            digest: self.digest.finish().as_ref().to_vec(),
            size: self.size,
        })
    }
}

impl ImportFiles {
    /// Kept in these objects, spooled to `spool` in the data directory.
    #[must_use]
    pub fn new(objects: Objects, data_dir: &Path) -> Self {
        Self {
            objects,
            spool: data_dir.join("spool"),
        }
    }

    /// Begins to take a file in.
    ///
    /// # Errors
    /// What the disk answers.
    pub fn spool(&self) -> Result<Spool, FileError> {
        std::fs::create_dir_all(&self.spool)?;
        let file = NamedTempFile::new_in(&self.spool)?;
        let writer = tokio::fs::File::from_std(file.reopen()?);
        Ok(Spool {
            file,
            writer: tokio::io::BufWriter::with_capacity(256 * 1024, writer),
            digest: Context::new(&SHA256),
            size: 0,
        })
    }

    /// Keeps a spooled file under the import's code.
    ///
    /// # Errors
    /// What disk and store answer.
    pub async fn keep(&self, code: &str, spooled: &Spooled) -> Result<(), FileError> {
        let store = self.objects.store().await?.clone();
        let mut from = tokio::fs::File::from_std(spooled.open()?);
        let mut to = BufWriter::new(store, file_path(code));
        tokio::io::copy(&mut from, &mut to).await?;
        to.shutdown().await?;
        Ok(())
    }

    /// The import's file, on this node's disk; `None` when this node's store does not have it.
    ///
    /// # Errors
    /// What disk and store answer.
    pub async fn fetch(&self, code: &str) -> Result<Option<Spooled>, FileError> {
        let mut spool = self.spool()?;
        Ok(if self.append(&file_path(code), &mut spool).await? {
            Some(spool.finish().await?)
        } else {
            None
        })
    }

    /// Removes the import's file. One that stays behind only takes room until it is swept.
    pub async fn remove(&self, code: &str) {
        self.delete(&file_path(code)).await;
    }

    /// Keeps a part of an upload; a part that is sent again replaces the former.
    ///
    /// # Errors
    /// What the store answers.
    pub async fn keep_part(
        &self,
        upload: &str,
        part: u32,
        bytes: axum::body::Bytes,
    ) -> Result<(), FileError> {
        let store = self.objects.store().await?;
        store.put(&part_path(upload, part), bytes.into()).await?;
        Ok(())
    }

    /// The parts of an upload as one file, from 1 to the last without a gap; `None` when part 1 is missing.
    ///
    /// # Errors
    /// [`FileError::TooLarge`], or what disk and store answer.
    pub async fn join_parts(&self, upload: &str) -> Result<Option<Spooled>, FileError> {
        let mut spool = self.spool()?;
        for part in 1..=MOST_PARTS {
            if !self.append(&part_path(upload, part), &mut spool).await? {
                if part == 1 {
                    return Ok(None);
                }
                break;
            }
        }
        Ok(Some(spool.finish().await?))
    }

    /// Removes the parts of an upload.
    pub async fn remove_parts(&self, upload: &str) {
        for part in 1..=MOST_PARTS {
            match self.objects.store().await {
                Ok(store) if store.head(&part_path(upload, part)).await.is_ok() => {
                    self.delete(&part_path(upload, part)).await;
                }
                _ => break,
            }
        }
    }

    /// Removes what was kept long enough, and answers how many objects that were.
    ///
    /// # Errors
    /// What the store answers.
    pub async fn sweep(&self, now: DateTime<Utc>) -> Result<u64, FileError> {
        let store = self.objects.store().await?;
        let mut removed = 0;
        for (folder, kept_for) in [(FILES, KEPT_FOR), (PARTS, PARTS_KEPT_FOR)] {
            let all: Vec<_> = store
                .list(Some(&ObjectPath::from(folder)))
                .try_filter(|object| futures::future::ready(object.last_modified < now - kept_for))
                .map_ok(|object| object.location)
                .try_collect()
                .await?;
            for location in all {
                self.delete(&location).await;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Appends the object to the file; whether there is such an object.
    async fn append(&self, path: &ObjectPath, spool: &mut Spool) -> Result<bool, FileError> {
        let found = match self.objects.store().await?.get(path).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let mut bytes = found.into_stream();
        while let Some(bytes) = bytes.try_next().await? {
            spool.write(&bytes).await?;
        }
        Ok(true)
    }

    async fn delete(&self, path: &ObjectPath) {
        let deleted = match self.objects.store().await {
            Ok(store) => store.delete(path).await,
            Err(error) => Err(error),
        };
        // What is not there need not be removed.
        if let Err(error) = deleted
            && !matches!(error, object_store::Error::NotFound { .. })
        {
            tracing::warn!(%error, "a file of an import stays in the store");
        }
    }
}

const FILES: &str = "imports";
const PARTS: &str = "import-parts";

fn file_path(code: &str) -> ObjectPath {
    ObjectPath::from(format!("{FILES}/{code}"))
}

fn part_path(upload: &str, part: u32) -> ObjectPath {
    ObjectPath::from(format!("{PARTS}/{upload}/{part}"))
}
