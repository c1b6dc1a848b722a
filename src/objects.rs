//! The object store of an installation: a folder, or a bucket that several servers share. What is kept in it, and under which
//! names, is the business of those who keep it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::prefix::PrefixStore;
use tokio::sync::OnceCell;

use crate::left_behind;

/// See the module's text. Cheap to clone.
#[derive(Clone)]
pub struct Objects {
    place: Arc<Place>,
    opened: Arc<OnceCell<Arc<dyn ObjectStore>>>,
}

enum Place {
    /// Made when first needed.
    Folder(PathBuf),
    Remote(Arc<dyn ObjectStore>),
}

impl Objects {
    /// The store that `address` names (`s3://bucket/folder`; keys and endpoint as the usual `AWS_…` variables), else a folder of
    /// the data directory.
    ///
    /// # Errors
    /// An address that cannot be used.
    pub fn open(address: Option<&str>, data_dir: &Path) -> anyhow::Result<Self> {
        let place = match address {
            None => Place::Folder(data_dir.join("objects")),
            Some(address) => {
                let (store, prefix) = remote(address)?;
                Place::Remote(Arc::new(PrefixStore::new(store, prefix)))
            }
        };
        Ok(Self {
            place: Arc::new(place),
            opened: Arc::default(),
        })
    }

    /// The store, made when it is first asked for.
    ///
    /// # Errors
    /// A folder that cannot be made.
    pub async fn store(&self) -> Result<&Arc<dyn ObjectStore>, object_store::Error> {
        self.opened
            .get_or_try_init(|| async {
                match self.place.as_ref() {
                    Place::Remote(store) => Ok(store.clone()),
                    Place::Folder(folder) => {
                        std::fs::create_dir_all(folder).map_err(|error| {
                            object_store::Error::Generic {
                                store: "folder",
                                source: Box::new(error),
                            }
                        })?;
                        let store = LocalFileSystem::new_with_prefix(folder)?;
                        Ok(Arc::new(store) as Arc<dyn ObjectStore>)
                    }
                }
            })
            .await
    }

    /// Removes what killed writers left in the folder, and answers how many files that were. In a bucket unfinished uploads are the business of
    /// its lifecycle rules.
    ///
    /// # Errors
    /// What the disk answers.
    pub async fn sweep_unfinished(&self, now: DateTime<Utc>) -> io::Result<u64> {
        match self.place.as_ref() {
            Place::Folder(folder) => left_behind::sweep(folder, is_unfinished, now).await,
            Place::Remote(_) => Ok(0),
        }
    }
}

/// As `object_store` names what is not yet in its place: the name, `#` and a number.
fn is_unfinished(name: &str) -> bool {
    let number = name.rsplit_once('#').map(|(_, number)| number);
    number.is_some_and(|number| number.parse::<u64>().is_ok())
}

fn remote(address: &str) -> anyhow::Result<(Arc<dyn ObjectStore>, ObjectPath)> {
    let refused = |why: String| anyhow::anyhow!("LEADLEDGER_OBJECT_STORE {address}: {why}");
    let url = reqwest::Url::parse(address).map_err(|error| refused(error.to_string()))?;
    anyhow::ensure!(
        url.scheme() == "s3",
        refused("must be s3://bucket or s3://bucket/folder".to_owned())
    );
    let (store, prefix) = object_store::parse_url_opts(&url, std::env::vars())
        .map_err(|error| refused(error.to_string()))?;
    Ok((Arc::from(store), prefix))
}
