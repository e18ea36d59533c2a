//! The pages in a real browser: headless Chromium, driven through WebDriver, on a server of their own.

mod accessibility;
mod browser;
mod data;
mod http;
mod pages;
mod search;
mod server;
mod shells;
mod titles;
mod user;
