//! Checkpoints written where the database's administrator has no hand: files that are made once and never overwritten.
//!
//! Whoever rewrites the ledger must then also change what lies there; `leadledger verify --checkpoints` compares the two.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload};

use crate::digests;

/// How the names of checkpoints end.
const ENDING: &str = ".checkpoint";

/// A place for checkpoints. Cheap to clone.
#[derive(Clone)]
pub struct Witness(Arc<Place>);

enum Place {
    /// Made when first needed.
    Folder(PathBuf),
    Remote(Arc<dyn ObjectStore>),
}

impl Witness {
    /// The place that `address` names: a folder, which is made when first needed, or `s3://bucket/folder`, with keys and endpoint as the
    /// usual `AWS_…` variables. Without one, the folder `checkpoints` of the data directory.
    ///
    /// # Errors
    /// An address that cannot be used.
    pub fn open(address: Option<&str>, data_dir: &Path) -> anyhow::Result<Self> {
        let Some(address) = address else {
            return Ok(Self::folder(data_dir.join("checkpoints")));
        };
        if !address.contains("://") {
            return Ok(Self::folder(PathBuf::from(address)));
        }
        let refused = || format!("the place of checkpoints {address}");
        let url = reqwest::Url::parse(address).with_context(refused)?;
        anyhow::ensure!(
            url.scheme() == "s3",
            "{}: must be a folder, s3://bucket or s3://bucket/folder",
            refused()
        );
        let (store, prefix) =
            object_store::parse_url_opts(&url, std::env::vars()).with_context(refused)?;
        let store = PrefixStore::new(store, prefix);
        Ok(Self(Arc::new(Place::Remote(Arc::new(store)))))
    }

    /// The place that `address` names, to be read: a folder must be there.
    ///
    /// # Errors
    /// An address that cannot be used.
    pub fn existing(address: &str) -> anyhow::Result<Self> {
        let folder = Path::new(address);
        anyhow::ensure!(
            address.contains("://") || folder.is_dir(),
            "{address} is no folder of checkpoints"
        );
        Self::open(Some(address), folder)
    }

    fn folder(folder: PathBuf) -> Self {
        Self(Arc::new(Place::Folder(folder)))
    }

    fn store(&self) -> Result<Arc<dyn ObjectStore>, object_store::Error> {
        match self.0.as_ref() {
            Place::Remote(store) => Ok(store.clone()),
            Place::Folder(folder) => {
                std::fs::create_dir_all(folder).map_err(|error| object_store::Error::Generic {
                    store: "folder",
                    source: Box::new(error),
                })?;
                Ok(Arc::new(LocalFileSystem::new_with_prefix(folder)?))
            }
        }
    }

    /// Writes a checkpoint, unless it is there already. Another one of the same size gets a name of its own.
    ///
    /// # Errors
    /// What the store answers.
    pub async fn write(&self, size: i64, note: &str) -> Result<(), object_store::Error> {
        let hash = &digests::sha256(note.as_bytes())[..16];
        let path = ObjectPath::from(format!("{size:019}-{hash}{ENDING}"));
        let payload = PutPayload::from(note.as_bytes().to_vec());
        let options = PutMode::Create.into();
        let written = self.store()?.put_opts(&path, payload, options).await;
        match written {
            Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Every checkpoint, each with its name, in the order of their sizes.
    ///
    /// # Errors
    /// What the store answers, or a file that is no text.
    pub async fn read(&self) -> anyhow::Result<Vec<(String, String)>> {
        let store = self.store()?;
        let found: Vec<_> = store.list(None).try_collect().await?;
        let names = found.into_iter().map(|object| object.location);
        let mut names: Vec<_> = names
            .filter(|path| path.as_ref().ends_with(ENDING))
            .collect();
        names.sort();
        let mut notes = Vec::with_capacity(names.len());
        for name in names {
            let bytes = store.get(&name).await?.bytes().await?;
            let note = String::from_utf8(bytes.to_vec()).with_context(|| format!("{name}"))?;
            notes.push((name.to_string(), note));
        }
        Ok(notes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_written_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let witness = Witness::open(None, folder.path()).unwrap();
        witness.write(9, "nine").await.unwrap();
        witness.write(10, "ten").await.unwrap();
        witness.write(10, "another ten").await.unwrap();
        let file = std::fs::read_dir(folder.path().join("checkpoints")).unwrap();
        let nine = file.map(|entry| entry.unwrap().path()).min().unwrap();
        std::fs::write(nine, "changed").unwrap();
        witness.write(9, "nine").await.unwrap();
        let notes = witness.read().await.unwrap();
        let mut texts: Vec<_> = notes.iter().map(|(_, note)| note.as_str()).collect();
        texts[1..].sort_unstable();
        assert_eq!(texts, ["changed", "another ten", "ten"]);
        assert!(Witness::open(Some("http://example.com"), folder.path()).is_err());
    }
}
