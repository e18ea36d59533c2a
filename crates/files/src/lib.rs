//! Opens files that others wrote: regular files of a limited size.
//!
//! A named pipe without a writer blocks whoever opens it, and a device such as `/dev/zero` never ends. [`open`] and
//! [`read`] refuse both at once, and also files that are larger than expected. [`open_within`] additionally refuses
//! symbolic links that lead out of a folder. Errors do not contain the path; callers add it.
//!
//! [`Hashing`] computes the SHA-256 of what is read or written, and a [`Manifest`] contains the digests of a folder's
//! files.

mod digest;
mod manifest;

pub use digest::{Hashing, sha256};
pub use manifest::{LARGEST_MANIFEST, MANIFEST_FILE, Manifest, differs_from};

use std::fs::{self, File, FileType, OpenOptions};
use std::io::{self, Read as _};
use std::path::Path;

/// Opens a regular file of at most so many bytes for reading. Symbolic links are followed. Never blocks on a pipe.
pub fn open(path: &Path, limit: u64) -> io::Result<File> {
    // A device is not even opened.
    check(&fs::metadata(path)?, limit)?;
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        // A pipe may have taken the place of the file.
        options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    }
    let file = options.open(path)?;
    check(&file.metadata()?, limit)?;
    Ok(file)
}

/// The same for a file in a folder, which it may not leave by symbolic links: one that does is an error of the kind
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

/// The content of a regular file of at most so many bytes.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = open(path, limit)?;
    let mut content = Vec::with_capacity(file.metadata()?.len() as usize);
    // It may grow meanwhile.
    file.take(limit.saturating_add(1)).read_to_end(&mut content)?;
    if content.len() as u64 > limit {
        return Err(too_long(content.len() as u64, limit));
    }
    Ok(content)
}

fn check(about: &fs::Metadata, limit: u64) -> io::Result<()> {
    if !about.is_file() {
        return Err(refused(format!("it is {}, not a file", kind(about.file_type()))));
    }
    if about.len() > limit {
        return Err(too_long(about.len(), limit));
    }
    Ok(())
}

fn too_long(len: u64, limit: u64) -> io::Error {
    refused(format!("it has {len} bytes, and at most {limit} are read"))
}

fn refused(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

fn kind(found: FileType) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt as _;
        if found.is_fifo() {
            return "a named pipe";
        }
        if found.is_socket() {
            return "a socket";
        }
        if found.is_char_device() || found.is_block_device() {
            return "a device";
        }
    }
    if found.is_dir() { "a folder" } else { "something else" }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn regular_files_up_to_the_limit_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "12345").unwrap();
        assert_eq!(read(&path, 5).unwrap(), b"12345");
        let error = read(&path, 4).unwrap_err().to_string();
        assert_eq!(error, "it has 5 bytes, and at most 4 are read");
        let folder_error = open(folder.path(), u64::MAX).unwrap_err().to_string();
        assert_eq!(folder_error, "it is a folder, not a file");
        let missing = open(&folder.path().join("b"), 5).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }

    #[cfg(unix)]
    #[test]
    fn pipes_and_devices_are_refused_at_once() {
        use std::os::unix::fs::symlink;

        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
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
        // What a file of /proc says of its length is 0.
        assert!(read(Path::new("/proc/self/status"), 10).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn links_may_not_leave_the_folder() {
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
        // The folder itself may be reached by one.
        let link = outer.path().join("link");
        symlink(&folder, &link).unwrap();
        assert!(open_within(&link, "1.jpg", 9).is_ok());
    }
}
