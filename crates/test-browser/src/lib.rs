//! A headless Chromium for tests of pages, driven through chromedriver with a few commands of W3C WebDriver.
//!
//! The variable `SPARROW_CHROMEDRIVER` names chromedriver. Start reading at [`Browser`].

mod browser;
pub mod http;
mod lines;

pub use browser::{Browser, Screen, key};
