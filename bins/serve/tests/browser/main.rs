//! The pages in a real browser: headless Chromium, driven through WebDriver, on a server of their own.

mod accessibility;
mod base_path;
mod data;
mod description;
mod genres;
mod live;
mod origins;
mod pages;
mod scroll;
mod search;
mod server;
mod shells;
mod shifts;
mod signin;
mod status;
mod titles;
mod user;

use sparrow_test_browser as browser;
use sparrow_test_browser::http;
