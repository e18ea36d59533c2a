//! Output files that appear complete or not at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use sparrow_files::{Hashing, MANIFEST_FILE, Manifest};

/// Why an output file or its folder could not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file exists and must not be replaced.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// An error of the operating system.
    #[error("cannot write {}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl Error {
    /// Adds the file or folder to an I/O error.
    pub fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        |source| Self::Io { path: path.to_owned(), source }
    }
}

/// Creates the folder. Returns an error if one of the files exists and `replace` is false.
pub fn prepare(folder: &Path, names: &[&str], replace: bool) -> Result<(), Error> {
    fs::create_dir_all(folder).map_err(Error::io(folder))?;
    for name in names {
        let path = folder.join(name);
        if !replace && path.symlink_metadata().is_ok() {
            return Err(Error::Exists(path));
        }
    }
    Ok(())
}

/// A file that is written under a temporary name beside its final one. If it is dropped before
/// [`AtomicFile::commit`], it is removed. After a killed process, the next one that writes the same
/// file removes the rest.
#[derive(Debug)]
pub struct AtomicFile {
    target: PathBuf,
    temporary: PathBuf,
    file: BufWriter<Hashing<File>>,
}

impl AtomicFile {
    /// Creates a temporary file for the final name `name`.
    pub fn create(folder: &Path, name: &str) -> Result<Self, Error> {
        remove_abandoned(folder, name);
        let target = folder.join(name);
        let temporary = folder.join(format!(".{name}.{}{PARTIAL}", std::process::id()));
        let file = File::create(&temporary).map_err(Error::io(&temporary))?;
        lock(&file);
        let file = BufWriter::with_capacity(1 << 20, Hashing::new(file));
        Ok(Self { target, temporary, file })
    }

    /// Appends bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes).map_err(Error::io(&self.target))
    }

    /// Passes the file to a function that writes to it.
    pub fn write_with(
        &mut self,
        write: impl FnOnce(&mut BufWriter<Hashing<File>>) -> io::Result<()>,
    ) -> Result<(), Error> {
        write(&mut self.file).map_err(Error::io(&self.target))
    }

    /// The SHA-256 of the content so far.
    pub fn sha256(&mut self) -> Result<String, Error> {
        self.file.flush().map_err(Error::io(&self.target))?;
        Ok(self.file.get_ref().sha256())
    }

    /// Syncs the files, which belong to one folder, renames them to their final names, and then
    /// adds them to the folder's [manifest](Manifest). Returns their sizes in bytes.
    pub fn commit(mut files: Vec<Self>) -> Result<Vec<(PathBuf, u64)>, Error> {
        let folder = files.first().and_then(|staged| staged.target.parent()).map(Path::to_owned);
        let Some(folder) = folder else { return Ok(Vec::new()) };
        // An unreadable manifest is of no use to readers, either.
        let mut manifest = Manifest::of(&folder).unwrap_or_default();
        for staged in &mut files {
            let name = staged.target.file_name().unwrap_or_default().to_string_lossy().into_owned();
            manifest.set(&name, staged.sha256()?);
        }
        let mut last = Self::create(&folder, MANIFEST_FILE)?;
        last.write(&manifest.to_bytes())?;
        files.push(last);
        let mut sizes = Self::publish(files)?;
        sizes.pop();
        Ok(sizes)
    }

    /// The same without the manifest, for sets of files whose last file contains the digests.
    pub fn publish(mut files: Vec<Self>) -> Result<Vec<(PathBuf, u64)>, Error> {
        let mut sizes = Vec::with_capacity(files.len());
        for staged in &mut files {
            staged.file.flush().map_err(Error::io(&staged.target))?;
            let file = staged.file.get_ref().get_ref();
            file.sync_all().map_err(Error::io(&staged.target))?;
            let size = file.metadata().map_err(Error::io(&staged.target))?.len();
            sizes.push((staged.target.clone(), size));
        }
        for staged in &files {
            fs::rename(&staged.temporary, &staged.target).map_err(Error::io(&staged.target))?;
        }
        Ok(sizes)
    }
}

/// The suffix of incomplete files and folders.
const PARTIAL: &str = ".partial";

/// Locks a file while it is being written. On file systems without locks, the files of killed
/// processes are not removed.
pub(crate) fn lock(file: &File) {
    drop(file.try_lock());
}

/// Whether no process is writing a file any more.
pub(crate) fn is_abandoned(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| file.try_lock().is_ok())
}

/// Removes the incomplete files of killed processes. Failures only cost disk space.
fn remove_abandoned(folder: &Path, name: &str) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let start = format!(".{name}.");
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let found = path.file_name().unwrap_or_default().to_string_lossy();
        let process = found.strip_prefix(&start).and_then(|rest| rest.strip_suffix(PARTIAL));
        if process.is_some_and(|process| process.parse::<u32>().is_ok()) && is_abandoned(&path) {
            drop(fs::remove_file(&path));
        }
    }
}

/// For writers that own their output. Their errors do not contain the name of the file.
impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        // After a commit the temporary name does not exist. Errors cannot be returned here.
        drop(fs::remove_file(&self.temporary));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> io::Result<Vec<String>> {
        let mut names: Vec<String> = fs::read_dir(folder)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<_>>()?;
        names.sort();
        Ok(names)
    }

    #[test]
    fn files_appear_when_committed() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("a"), "old")?;
        prepare(folder.path(), &["a", "b"], true)?;
        let mut a = AtomicFile::create(folder.path(), "a")?;
        let mut b = AtomicFile::create(folder.path(), "b")?;
        a.write(b"new")?;
        b.write_with(|to| to.write_all(b"longer"))?;
        assert_eq!(fs::read_to_string(folder.path().join("a"))?, "old");
        assert!(!folder.path().join("b").exists());
        let sizes: Vec<u64> = AtomicFile::commit(vec![a, b])?.into_iter().map(|(_, s)| s).collect();
        assert_eq!(sizes, [3, 6]);
        assert_eq!(fs::read_to_string(folder.path().join("a"))?, "new");
        assert_eq!(names(folder.path())?, ["_SHA256SUMS", "a", "b"]);
        Ok(())
    }

    #[test]
    fn a_failure_leaves_the_old_file_unchanged() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("a"), "old")?;
        let mut a = AtomicFile::create(folder.path(), "a")?;
        a.write(b"half")?;
        let failed = a.write_with(|_| Err(io::Error::other("disk full")));
        assert!(failed.is_err_and(|error| error.to_string().starts_with("cannot write")));
        drop(a);
        assert_eq!(names(folder.path())?, ["a"]);
        assert_eq!(fs::read_to_string(folder.path().join("a"))?, "old");
        Ok(())
    }

    #[test]
    fn files_of_killed_processes_are_removed_and_those_of_running_ones_kept()
    -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join(".a.1.partial"), "left")?;
        fs::write(folder.path().join(".a.b.1.partial"), "of another file")?;
        let other = File::create(folder.path().join(".a.2.partial"))?;
        lock(&other);
        let mut a = AtomicFile::create(folder.path(), "a")?;
        a.write(b"new")?;
        AtomicFile::commit(vec![a])?;
        let left = [".a.2.partial", ".a.b.1.partial", "_SHA256SUMS", "a"];
        assert_eq!(names(folder.path())?, left);
        Ok(())
    }

    #[test]
    fn files_are_replaced_only_on_request() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("b"), "old")?;
        let refused = prepare(folder.path(), &["a", "b"], false);
        assert!(refused.is_err_and(|error| error.to_string().ends_with("b exists already")));
        prepare(folder.path(), &["a", "b"], true)?;
        prepare(&folder.path().join("new/deep"), &["a"], false)?;
        assert!(folder.path().join("new/deep").is_dir());
        Ok(())
    }
}
