//! What the gateway and the file API of one FileSystem say to each other: the signed assertion of who asks, the JSON
//! types, the errors, and how a name that is any bytes stands in a URL. No I/O. The contract is ADR 18.

pub mod assertion;
pub mod error;
pub mod import;
pub mod path;
pub mod rsync;
pub mod tar;
pub mod types;

pub use assertion::{Claims, HEADER as ASSERTION_HEADER, PublicKey, Refused, Signer, Verb, Verifier};
pub use error::{Code, ErrorBody};
pub use path::{BadPath, FilePath};
