//! Reading from buckets: AWS S3, Cloudflare R2, and whatever else speaks S3. A library without Kubernetes and without files:
//! the mover fills caches by it, and the file API's import will.
//!
//! **Guarantees.** Nothing is ever written to a bucket. Every legal key is listed, also those that other clients refuse
//! (`//`, a slash at the end, control characters); which of them can be files [`path_of`] says. An object is read as the one
//! version that was asked for (`If-Match` on each request): what was changed meanwhile is [`BucketError::Changed`], never a
//! mixture. Its length is always checked, its content against whatever the service offers for that; where that is nothing,
//! [`Assurance::Size`] says so. Credentials stand in no `Debug`, `Display` and error, and go to the given endpoint only:
//! redirects are not followed, proxies of the environment not asked.
//!
//! **Memory.** A page of a listing, or the parts that the caller's [`Slots`] allow, however large bucket and objects are.
//!
//! **Units.** Sizes are bytes. Times of objects are the service's.

mod address;
mod answer;
mod bucket;
mod checksum;
mod credentials;
mod download;
mod error;
mod exceptions;
mod guard;
mod key;
mod listing;
mod object;
mod sending;
mod settings;
mod signing;
mod slots;
mod xml;

pub use address::Style;
pub use bucket::Bucket;
pub use checksum::{Algorithm, Assurance, Unchecked};
pub use credentials::Credentials;
pub use download::Download;
pub use error::{BucketError, Field};
pub use exceptions::{Allowed, Exceptions, Network, NoExceptionError};
pub use guard::{Guard, is_public};
pub use key::{NotAPath, is_folder_marker, path_of};
pub use listing::Pages;
pub use object::{ETag, Object};
pub use settings::{Patience, Settings};
pub use slots::{Part, Slots};
