//! Opens untrusted files: regular files of a limited size.
//!
//! Opening a named pipe without a writer blocks, and a device such as `/dev/zero` never ends. [`open`] and [`read`]
//! return an error for both, and for files above the size limit. [`open_within`] also rejects symbolic links that
//! leave a folder. Errors do not contain the path; callers add it.
//!
//! [`Hashing`] computes the SHA-256 of what is read or written. A [`Manifest`] contains the digests of a folder's files.

mod digest;
mod manifest;

pub use digest::{Hashing, sha256};
pub use manifest::{LARGEST_MANIFEST, MANIFEST_FILE, Manifest, differs_from};

use std::fs::{self, File, FileType, OpenOptions};
use std::io::{self, Read as _};
use std::path::Path;

/// Opens a regular file of at most `limit` bytes for reading. Follows symbolic links. Never blocks on a pipe.
pub fn open(path: &Path, limit: u64) -> io::Result<File> {
    // Opening a device can have side effects.
    check(&fs::metadata(path)?, limit)?;
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        // A pipe may have replaced the file since the check.
        options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    }
    let file = options.open(path)?;
    check(&file.metadata()?, limit)?;
    Ok(file)
}

/// Opens a file in a folder like [`open`]. A path or symbolic link that leaves the folder is an error of the kind
/// `PermissionDenied`.
pub fn open_within(folder: &Path, name: &str, limit: u64) -> io::Result<File> {
    let folder = folder.canonicalize()?;
    let path = folder.join(name).canonicalize()?;
    if !path.starts_with(&folder) {
        let what = "it is a symbolic link out of its folder";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
    }
    open(&path, limit)
}

/// Reads a regular file of at most `limit` bytes.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = open(path, limit)?;
    let mut content = Vec::with_capacity(file.metadata()?.len() as usize);
    // The file may have grown since.
    file.take(limit.saturating_add(1)).read_to_end(&mut content)?;
    if content.len() as u64 > limit {
        return Err(too_large(content.len() as u64, limit));
    }
    Ok(content)
}

fn check(metadata: &fs::Metadata, limit: u64) -> io::Result<()> {
    if !metadata.is_file() {
        return Err(invalid(format!("it is {}, not a file", kind(metadata.file_type()))));
    }
    if metadata.len() > limit {
        return Err(too_large(metadata.len(), limit));
    }
    Ok(())
}

fn too_large(len: u64, limit: u64) -> io::Error {
    invalid(format!("the size of {len} bytes exceeds the limit of {limit}"))
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

fn kind(file_type: FileType) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt as _;
        if file_type.is_fifo() {
            return "a named pipe";
        }
        if file_type.is_socket() {
            return "a socket";
        }
        if file_type.is_char_device() || file_type.is_block_device() {
            return "a device";
        }
    }
    if file_type.is_dir() { "a folder" } else { "something else" }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn regular_file_above_the_limit_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "12345").unwrap();
        assert_eq!(read(&path, 5).unwrap(), b"12345");
        let error = read(&path, 4).unwrap_err().to_string();
        assert_eq!(error, "the size of 5 bytes exceeds the limit of 4");
        let folder_error = open(folder.path(), u64::MAX).unwrap_err().to_string();
        assert_eq!(folder_error, "it is a folder, not a file");
        let missing = open(&folder.path().join("b"), 5).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }

    #[cfg(unix)]
    #[test]
    fn pipes_and_devices_are_errors() {
        use std::os::unix::fs::symlink;

        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let created = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(created.success());
        let zero = folder.path().join("zero");
        symlink("/dev/zero", &zero).unwrap();
        for (path, expected) in [
            (&*pipe, "it is a named pipe, not a file"),
            (&*zero, "it is a device, not a file"),
            (Path::new("/dev/zero"), "it is a device, not a file"),
        ] {
            assert_eq!(open(path, u64::MAX).unwrap_err().to_string(), expected);
            assert_eq!(read(path, u64::MAX).unwrap_err().to_string(), expected);
        }
        // Files in /proc report a length of 0.
        assert!(read(Path::new("/proc/self/status"), 10).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn symbolic_link_out_of_the_folder_is_an_error() {
        use std::os::unix::fs::symlink;

        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("posters");
        fs::create_dir_all(folder.join("more")).unwrap();
        fs::write(outer.path().join("secret"), "s").unwrap();
        fs::write(folder.join("more/1.jpg"), "1").unwrap();
        symlink("more/1.jpg", folder.join("1.jpg")).unwrap();
        symlink("../secret", folder.join("2.jpg")).unwrap();
        symlink("missing", folder.join("3.jpg")).unwrap();
        assert!(open_within(&folder, "1.jpg", 9).is_ok());
        let error = open_within(&folder, "2.jpg", 9).unwrap_err().to_string();
        assert_eq!(error, "it is a symbolic link out of its folder");
        assert!(open_within(&folder, "../secret", 9).is_err());
        let missing = open_within(&folder, "3.jpg", 9).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        // The folder itself may be a symbolic link.
        let link = outer.path().join("link");
        symlink(&folder, &link).unwrap();
        assert!(open_within(&link, "1.jpg", 9).is_ok());
    }
}
