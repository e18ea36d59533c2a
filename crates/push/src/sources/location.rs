use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A file or a folder of files, on this machine or in an S3-compatible object store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A path on this machine, also written `file://PATH`.
    Local(PathBuf),
    /// An object, or all objects of a folder: `s3://BUCKET/KEY`.
    S3 {
        /// The bucket.
        bucket: String,
        /// The key, without a slash at either end.
        key: String,
    },
}

impl Location {
    /// The file of this name in the folder.
    #[must_use]
    pub fn join(&self, name: &str) -> Self {
        match self {
            Self::Local(path) => Self::Local(path.join(name)),
            Self::S3 { bucket, key } => {
                let key = if key.is_empty() { name.to_owned() } else { format!("{key}/{name}") };
                Self::S3 { bucket: bucket.clone(), key }
            }
        }
    }

    /// The file of this name beside the file or folder; `None` beside a whole bucket.
    #[must_use]
    pub fn beside(&self, name: &str) -> Option<Self> {
        match self {
            Self::Local(path) => Some(Self::Local(path.with_file_name(name))),
            Self::S3 { key, .. } if key.is_empty() => None,
            Self::S3 { bucket, key } => {
                let folder = key.rsplit_once('/').map_or("", |(folder, _)| folder);
                Some(Self::S3 { bucket: bucket.clone(), key: folder.to_owned() }.join(name))
            }
        }
    }
}

impl FromStr for Location {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return if text.is_empty() {
                Err("an empty path".to_owned())
            } else {
                Ok(Self::Local(text.into()))
            };
        };
        match scheme {
            "file" => match rest.strip_prefix("localhost").unwrap_or(rest) {
                path if path.starts_with('/') => Ok(Self::Local(path.into())),
                _ => Err("a file URL must have an absolute path: file:///PATH".to_owned()),
            },
            "s3" => {
                let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
                if bucket.is_empty() {
                    return Err("no bucket: the address of an object is s3://BUCKET/KEY".to_owned());
                }
                let key = key.trim_matches('/').to_owned();
                Ok(Self::S3 { bucket: bucket.to_owned(), key })
            }
            _ => Err(format!("{scheme}:// is not supported; use a path, file:// or s3://")),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => path.display().fmt(f),
            Self::S3 { bucket, key } => write!(f, "s3://{bucket}/{key}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<String, String> {
        text.parse::<Location>().map(|location| location.join("x.csv").to_string())
    }

    #[test]
    fn paths_and_urls_are_distinguished() {
        let ok = |text: &str| Ok::<_, String>(text.to_owned());
        assert_eq!(parsed("out/deep"), ok("out/deep/x.csv"));
        assert_eq!(parsed("file:///out"), ok("/out/x.csv"));
        assert_eq!(parsed("file://localhost/out"), ok("/out/x.csv"));
        assert_eq!(parsed("s3://bucket"), ok("s3://bucket/x.csv"));
        assert_eq!(parsed("s3://bucket/a/b/"), ok("s3://bucket/a/b/x.csv"));
        let beside = |text: &str| {
            let location: Location = text.parse()?;
            Ok::<_, String>(location.beside("e.json").map(|beside| beside.to_string()))
        };
        assert_eq!(beside("out/x.csv"), Ok(Some("out/e.json".to_owned())));
        assert_eq!(beside("s3://bucket/a/b/"), Ok(Some("s3://bucket/a/e.json".to_owned())));
        assert_eq!(beside("s3://bucket"), Ok(None));
        assert!(parsed("file://host/out").is_err_and(|error| error.contains("file:///PATH")));
        assert!(parsed("s3:///key").is_err_and(|error| error.contains("no bucket")));
        assert!(parsed("hdfs://a/b").is_err_and(|error| error.starts_with("hdfs:// is not")));
        assert!(parsed("").is_err());
    }
}
