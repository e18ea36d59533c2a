//! Output files that appear whole or not at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

/// What went wrong with an output file or its folder.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is there and must not be replaced.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// The operating system refuses.
    #[error("cannot write {}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Error {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        |source| Self::Io { path: path.to_owned(), source }
    }
}

/// Makes the folder and refuses if one of the files is there, unless it may be replaced.
pub(crate) fn prepare(folder: &Path, names: &[&str], replace: bool) -> Result<(), Error> {
    fs::create_dir_all(folder).map_err(Error::io(folder))?;
    for name in names {
        let path = folder.join(name);
        if !replace && path.symlink_metadata().is_ok() {
            return Err(Error::Exists(path));
        }
    }
    Ok(())
}

/// A file being written under a temporary name beside its final one. Dropped before
/// [`Staged::commit`], it leaves nothing behind.
#[derive(Debug)]
pub(crate) struct Staged {
    target: PathBuf,
    temporary: PathBuf,
    file: BufWriter<File>,
}

impl Staged {
    pub(crate) fn create(folder: &Path, name: &str) -> Result<Self, Error> {
        let target = folder.join(name);
        let temporary = folder.join(format!(".{name}.{}.partial", std::process::id()));
        let file = File::create(&temporary).map_err(Error::io(&temporary))?;
        Ok(Self { target, temporary, file: BufWriter::with_capacity(1 << 20, file) })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes).map_err(Error::io(&self.target))
    }

    /// Writes through a function that takes any writer.
    pub(crate) fn write_with(
        &mut self,
        write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
    ) -> Result<(), Error> {
        write(&mut self.file).map_err(Error::io(&self.target))
    }

    /// Gives the files their final names, once all of them are safely on disk. Returns their
    /// sizes in bytes.
    pub(crate) fn commit(mut files: Vec<Self>) -> Result<Vec<(PathBuf, u64)>, Error> {
        let mut sizes = Vec::with_capacity(files.len());
        for staged in &mut files {
            staged.file.flush().map_err(Error::io(&staged.target))?;
            let file = staged.file.get_ref();
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

impl Drop for Staged {
    fn drop(&mut self) {
        // After a commit there is nothing under this name; a failure here has nobody to go to.
        drop(fs::remove_file(&self.temporary));
    }
}
