//! The files of imports: spooled to the data directory while they come in and while they are read, kept in the object store in
//! between, where every node finds them. Never whole in memory.
//!
//! Uploads are bounded in size. A kept file is removed 30 days after it came: then its failed rows can no longer be fetched; all
//! else about the import stays.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use chrono::{DateTime, TimeDelta, Utc};
use futures::TryStreamExt;
use object_store::buffered::BufWriter;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;

use crate::left_behind;
use crate::objects::Objects;

/// The largest file: 200 MB.
pub const MOST_BYTES: u64 = 200_000_000;
/// The largest part of an upload in parts.
pub const PART_BYTES: u64 = 8 * 1024 * 1024;
/// The most parts of an upload.
pub const MOST_PARTS: u32 = 100;
/// How long files and parts are kept.
const KEPT_FOR: TimeDelta = TimeDelta::days(30);
/// How long parts of an upload that nobody completes are kept.
const PARTS_KEPT_FOR: TimeDelta = TimeDelta::days(2);

/// What a store takes at a time of a large object (S3 takes no less), and what is in memory of it.
const KEPT_AT_ONCE: usize = 5 << 20;
/// How many files are on their way to the store at a time.
static KEEPING: Semaphore = Semaphore::const_new(4);

/// Why the parts of an upload are no file.
#[derive(Debug, thiserror::Error)]
pub enum PartsError {
    /// There is no such upload.
    #[error("there is no such upload")]
    NoUpload,
    /// One before the last is not there.
    #[error("part {0} is missing")]
    Missing(u32),
    /// They were a file already.
    #[error("the upload is completed")]
    Completed,
    /// Disk or store.
    #[error(transparent)]
    File(#[from] FileError),
}

impl From<object_store::Error> for PartsError {
    fn from(error: object_store::Error) -> Self {
        Self::File(error.into())
    }
}

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

/// A file that came in, on the node's own disk until it is dropped. It has no name there: however the process ends, nothing of it stays.
#[derive(Debug)]
pub struct Spooled {
    file: File,
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
        // A clone would share its place with all others.
        File::open(format!("/proc/self/fd/{}", self.file.as_raw_fd()))
    }
}

/// A file that is coming in.
pub struct Spool {
    file: File,
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

    /// Where files are while they are worked on.
    #[must_use]
    pub fn spool_folder(&self) -> &Path {
        &self.spool
    }

    /// Begins to take a file in.
    ///
    /// # Errors
    /// What the disk answers.
    pub fn spool(&self) -> Result<Spool, FileError> {
        std::fs::create_dir_all(&self.spool)?;
        let file = tempfile::tempfile_in(&self.spool)?;
        let writer = tokio::fs::File::from_std(file.try_clone()?);
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
        self.put(file_path(code), spooled).await
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

    /// Whether this node's store has the import's file.
    ///
    /// # Errors
    /// What the store answers.
    pub async fn is_kept(&self, code: &str) -> Result<bool, FileError> {
        self.has(&file_path(code)).await
    }

    /// Removes the import's file. One that stays behind only takes room until it is swept.
    pub async fn remove(&self, code: &str) {
        self.delete(&file_path(code)).await;
    }

    /// Notes that there is such an upload.
    ///
    /// # Errors
    /// What the store answers.
    pub async fn begin_upload(&self, upload: &str) -> Result<(), FileError> {
        let store = self.objects.store().await?;
        let nothing = object_store::PutPayload::new();
        store.put(&begun_path(upload), nothing).await?;
        Ok(())
    }

    /// Keeps a part of an upload; a part that is sent again replaces the former.
    ///
    /// # Errors
    /// [`PartsError::Completed`], or what disk and store answer.
    pub async fn keep_part(
        &self,
        upload: &str,
        part: u32,
        spooled: &Spooled,
    ) -> Result<(), PartsError> {
        if self.is_completed(upload).await? {
            return Err(PartsError::Completed);
        }
        Ok(self.put(part_path(upload, part), spooled).await?)
    }

    /// The parts of an upload as one file, from 1 to the last without a gap.
    ///
    /// # Errors
    /// See [`PartsError`].
    pub async fn join_parts(&self, upload: &str) -> Result<Spooled, PartsError> {
        if self.is_completed(upload).await? {
            return Err(PartsError::Completed);
        }
        let numbers = self.parts_of(upload).await?;
        let last = match numbers.last() {
            Some(last) => *last,
            None if self.has(&begun_path(upload)).await? => return Err(PartsError::Missing(1)),
            None => return Err(PartsError::NoUpload),
        };
        let mut spool = self.spool()?;
        for part in 1..=last {
            if !self.append(&part_path(upload, part), &mut spool).await? {
                return Err(PartsError::Missing(part));
            }
        }
        Ok(spool.finish().await?)
    }

    /// The parts have become a file: removes them, and takes no more of them.
    ///
    /// # Errors
    /// What the store answers.
    pub async fn complete(&self, upload: &str) -> Result<(), FileError> {
        let store = self.objects.store().await?;
        let nothing = object_store::PutPayload::new();
        store.put(&completed_path(upload), nothing).await?;
        for part in self.parts_of(upload).await? {
            self.delete(&part_path(upload, part)).await;
        }
        Ok(())
    }

    /// Removes the parts of uploads into the company that came until then and are no file yet; their upload goes on without them. What stays
    /// behind only takes room until it is swept.
    ///
    /// # Errors
    /// What the store answers.
    pub async fn remove_parts(&self, company: i64, until: DateTime<Utc>) -> Result<(), FileError> {
        let into = format!("{company}-");
        let is_due = |object: &object_store::ObjectMeta| {
            let names: Vec<_> = object.location.parts().collect();
            object.last_modified <= until
                && matches!(names.as_slice(), [_, upload, part]
                    if upload.as_ref().starts_with(&into) && part.as_ref().parse::<u32>().is_ok())
        };
        let folder = ObjectPath::from(PARTS);
        let store = self.objects.store().await?;
        let due: Vec<_> = store
            .list(Some(&folder))
            .try_filter(|object| futures::future::ready(is_due(object)))
            .map_ok(|object| object.location)
            .try_collect()
            .await?;
        for location in due {
            self.delete(&location).await;
        }
        Ok(())
    }

    async fn is_completed(&self, upload: &str) -> Result<bool, FileError> {
        self.has(&completed_path(upload)).await
    }

    async fn has(&self, path: &ObjectPath) -> Result<bool, FileError> {
        match self.objects.store().await?.head(path).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The numbers of the parts that are there, in their order.
    async fn parts_of(&self, upload: &str) -> Result<BTreeSet<u32>, FileError> {
        let folder = ObjectPath::from(format!("{PARTS}/{upload}"));
        let objects = self.objects.store().await?.list(Some(&folder));
        let number = |object: object_store::ObjectMeta| {
            let name = object.location.filename()?;
            name.parse().ok()
        };
        let numbers: Vec<Option<u32>> = objects.map_ok(number).try_collect().await?;
        Ok(numbers.into_iter().flatten().collect())
    }

    /// Brings a file into the store, a few megabytes in memory at a time.
    async fn put(&self, path: ObjectPath, spooled: &Spooled) -> Result<(), FileError> {
        // It is never closed; were it, keeping the file would be right.
        let _keeping = KEEPING.acquire().await;
        let store = self.objects.store().await?.clone();
        let mut from = tokio::fs::File::from_std(spooled.open()?);
        let to = BufWriter::with_capacity(store, path, KEPT_AT_ONCE);
        let mut to = to.with_max_concurrency(1);
        tokio::io::copy(&mut from, &mut to).await?;
        to.shutdown().await?;
        Ok(())
    }

    /// Removes what was kept long enough, and answers how many objects that were; and what killed writers left unfinished in the store and in
    /// the spool directory, where nothing has a name but the files of former versions.
    ///
    /// # Errors
    /// What disk and store answer.
    pub async fn sweep(&self, now: DateTime<Utc>) -> Result<u64, FileError> {
        let store = self.objects.store().await?;
        let mut removed = self.objects.sweep_unfinished(now).await?;
        removed += left_behind::sweep(&self.spool, |_| true, now).await?;
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

/// Stands where an upload was begun, until it is swept.
fn begun_path(upload: &str) -> ObjectPath {
    ObjectPath::from(format!("{PARTS}/{upload}/begun"))
}

/// Stands where an upload was completed, until it is swept; no part is taken after that, because its address has run out by then.
fn completed_path(upload: &str) -> ObjectPath {
    ObjectPath::from(format!("{PARTS}/{upload}/completed"))
}
