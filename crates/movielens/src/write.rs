//! Streaming writers of the CSV format: correct quoting, LF line ends, fast enough for tens of
//! millions of ratings.
