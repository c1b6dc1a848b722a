//! Pictures of users and companies: checked and made anew from what was uploaded, kept in the object store, read back.
//!
//! Nothing is ever stored as it was uploaded: a picture is decoded, turned upright, made small and encoded again, which also drops
//! whatever else the file carried (places, names of people). That takes a core for a while, so that it is done off the async
//! threads and bounded in parallel.

use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use aggregates::avatar::{Avatar, MediaType};
use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStoreExt, PutPayload};
use tokio::sync::Semaphore;

use crate::digests;
use crate::objects::Objects;

/// The largest upload, decoded from base64.
pub const MOST_BYTES: usize = 2 * 1024 * 1024;
/// The longest side of a stored picture.
pub const LONGEST_SIDE: u32 = 512;
/// The longest side of an uploaded one: more than any camera's.
const LONGEST_UPLOADED_SIDE: u32 = 12_000;
/// What decoding may take, whatever a file says of itself.
const MOST_MEMORY: u64 = 256 * 1024 * 1024;
/// How long an upload waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why an upload is no avatar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PictureError {
    /// Neither PNG nor JPEG, GIF or WebP, or damaged.
    #[error("must be a PNG, JPEG, GIF or WebP picture")]
    NotAPicture,
    /// More pixels than anybody needs.
    #[error("has too many pixels (maximum is {LONGEST_UPLOADED_SIDE} on a side)")]
    TooManyPixels,
    /// Too many are being worked on.
    #[error("too many pictures are being worked on")]
    Busy,
}

/// Where avatars are kept, and who makes them. Cheap to clone.
#[derive(Clone)]
pub struct Avatars {
    turns: Arc<Semaphore>,
    objects: Objects,
}

impl Avatars {
    /// In this store.
    #[must_use]
    pub fn new(objects: Objects) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            turns: Arc::new(Semaphore::new(cores)),
            objects,
        }
    }

    /// The upload as it will be stored, with what the ledger is to know of it. `owner` tells whose it is, such as `user/7`.
    ///
    /// # Errors
    /// See [`PictureError`].
    pub async fn make(
        &self,
        owner: String,
        upload: Vec<u8>,
    ) -> Result<(Avatar, Vec<u8>), PictureError> {
        let turn = tokio::time::timeout(PATIENCE, self.turns.clone().acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            return Err(PictureError::Busy);
        };
        let making = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            make(&owner, &upload)
        });
        // A decoder that panics has met a damaged file.
        making.await.unwrap_or(Err(PictureError::NotAPicture))
    }

    /// Stores the bytes of a made avatar.
    ///
    /// # Errors
    /// What the store answers.
    pub async fn put(&self, avatar: &Avatar, bytes: Vec<u8>) -> Result<(), object_store::Error> {
        let path = object_path(&avatar.file_name());
        let payload = PutPayload::from(bytes);
        self.objects
            .store()
            .await?
            .put(&path, payload)
            .await
            .map(drop)
    }

    /// The bytes of the object with this file name; `None` when there is none.
    ///
    /// # Errors
    /// What the store answers.
    pub async fn get(&self, file: &str) -> Result<Option<axum::body::Bytes>, object_store::Error> {
        match self.objects.store().await?.get(&object_path(file)).await {
            Ok(found) => found.bytes().await.map(Some),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes an avatar that nobody shows any more. One that stays behind is not served; it only takes room.
    pub async fn remove(&self, avatar: &Avatar) {
        let removed = match self.objects.store().await {
            Ok(store) => store.delete(&object_path(&avatar.file_name())).await,
            Err(error) => Err(error),
        };
        if let Err(error) = removed {
            tracing::warn!(%error, "an avatar that nobody shows stays in the store");
        }
    }
}

fn object_path(file: &str) -> ObjectPath {
    ObjectPath::from(format!("avatars/{file}"))
}

fn make(owner: &str, upload: &[u8]) -> Result<(Avatar, Vec<u8>), PictureError> {
    let mut reader = ImageReader::new(Cursor::new(upload))
        .with_guessed_format()
        .map_err(|_| PictureError::NotAPicture)?;
    let format = reader.format().ok_or(PictureError::NotAPicture)?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(LONGEST_UPLOADED_SIDE);
    limits.max_image_height = Some(LONGEST_UPLOADED_SIDE);
    limits.max_alloc = Some(MOST_MEMORY);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(refusal)?;
    let upright = decoder.orientation().map_err(refusal)?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(refusal)?;
    picture.apply_orientation(upright);
    if picture.width().max(picture.height()) > LONGEST_SIDE {
        picture = picture.thumbnail(LONGEST_SIDE, LONGEST_SIDE);
    }
    let (media_type, bytes) = encode(&picture, format)?;
    let told = [owner.as_bytes(), &[0], bytes.as_slice()].concat();
    let avatar = Avatar {
        hash: digests::sha256(&told),
        media_type,
        size: i64::try_from(bytes.len()).map_err(|_| PictureError::TooManyPixels)?,
    };
    Ok((avatar, bytes))
}

/// Photographs stay JPEG; everything else, which may be transparent, becomes PNG.
fn encode(
    picture: &DynamicImage,
    uploaded: ImageFormat,
) -> Result<(MediaType, Vec<u8>), PictureError> {
    let mut bytes = Vec::new();
    if uploaded == ImageFormat::Jpeg {
        let encoder = JpegEncoder::new_with_quality(&mut bytes, 88);
        let written = picture.to_rgb8().write_with_encoder(encoder);
        written.map_err(refusal)?;
        return Ok((MediaType::Jpeg, bytes));
    }
    let eight_bits = DynamicImage::from(picture.to_rgba8());
    let written = eight_bits.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png);
    written.map_err(refusal)?;
    Ok((MediaType::Png, bytes))
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "given to map_err, which hands its error over"
)]
fn refusal(error: image::ImageError) -> PictureError {
    match error {
        image::ImageError::Limits(_) => PictureError::TooManyPixels,
        _ => PictureError::NotAPicture,
    }
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage, Rgba, RgbaImage};

    use super::*;

    fn written(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Vec::new();
        picture
            .write_to(&mut Cursor::new(&mut bytes), format)
            .unwrap();
        bytes
    }

    fn wide(format: ImageFormat) -> Vec<u8> {
        let picture = RgbImage::from_fn(1024, 256, |x, _| {
            if x < 512 {
                Rgb([200, 0, 0])
            } else {
                Rgb([0, 0, 200])
            }
        });
        written(&picture.into(), format)
    }

    #[test]
    fn each_type_is_made_small_and_encoded_anew() {
        for (format, becomes) in [
            (ImageFormat::Png, MediaType::Png),
            (ImageFormat::Gif, MediaType::Png),
            (ImageFormat::WebP, MediaType::Png),
            (ImageFormat::Jpeg, MediaType::Jpeg),
        ] {
            let upload = wide(format);
            let (avatar, bytes) = make("user/1", &upload).unwrap();
            assert_eq!(avatar.media_type, becomes);
            assert_eq!(usize::try_from(avatar.size).unwrap(), bytes.len());
            assert_ne!(bytes, upload);
            let stored = image::load_from_memory(&bytes).unwrap();
            assert_eq!((stored.width(), stored.height()), (512, 128));
            let [red, _, blue] = stored.to_rgb8().get_pixel(20, 64).0;
            assert!(red > 150 && blue < 60, "{format:?}");
        }
    }

    #[test]
    fn a_small_picture_keeps_its_size_and_its_transparency() {
        let picture = RgbaImage::from_pixel(3, 2, Rgba([1, 2, 3, 0]));
        let (_, bytes) = make("user/1", &written(&picture.into(), ImageFormat::WebP)).unwrap();
        let stored = image::load_from_memory(&bytes).unwrap();
        assert_eq!((stored.width(), stored.height()), (3, 2));
        assert_eq!(stored.to_rgba8().get_pixel(0, 0).0[3], 0);
    }

    #[test]
    fn the_same_picture_of_two_owners_is_two_objects() {
        let upload = wide(ImageFormat::Png);
        let hash = |owner: &str| make(owner, &upload).unwrap().0.hash;
        assert_eq!(hash("user/1"), hash("user/1"));
        assert_ne!(hash("user/1"), hash("user/2"));
    }

    #[test]
    fn what_is_no_picture_and_what_would_fill_the_memory_is_refused() {
        let refused = |upload: &[u8]| make("user/1", upload).unwrap_err();
        for upload in [
            b"".as_slice(),
            b"hello",
            b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            b"BM\0\0",
        ] {
            assert_eq!(refused(upload), PictureError::NotAPicture);
        }
        let png = wide(ImageFormat::Png);
        assert_eq!(refused(&png[..png.len() / 2]), PictureError::NotAPicture);
        // A GIF's head may claim any size.
        let mut bomb = wide(ImageFormat::Gif);
        bomb[6..10].copy_from_slice(&[0xff; 4]);
        assert_eq!(refused(&bomb), PictureError::TooManyPixels);
    }
}
