//! A headless Chromium, driven through chromedriver with the few W3C WebDriver commands the tests need.

use std::env;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http;
use crate::lines::wait_for;

/// How long a page may take to come to a state before a test calls it broken.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks at a page.
const GLANCE: Duration = Duration::from_millis(20);

/// Keys as WebDriver writes them.
pub mod key {
    /// Tab.
    pub const TAB: &str = "\u{e004}";
    /// Enter.
    pub const ENTER: &str = "\u{e007}";
    /// Escape.
    pub const ESCAPE: &str = "\u{e00c}";
    /// Space.
    pub const SPACE: &str = " ";
    /// Arrow up.
    pub const UP: &str = "\u{e013}";
    /// Arrow down.
    pub const DOWN: &str = "\u{e015}";
}

/// The size of a window.
#[derive(Debug, Clone, Copy)]
pub enum Screen {
    /// 1280 by 800.
    Laptop,
    /// 390 by 844, with touch.
    Phone,
}

/// A browser with one page, closed when dropped.
#[derive(Debug)]
pub struct Browser {
    driver: Driver,
    session: String,
    _profile: TempDir,
}

#[derive(Debug)]
struct Driver {
    child: Child,
    port: u16,
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Browser {
    /// Starts a browser.
    pub fn open(screen: Screen) -> Result<Self> {
        let program =
            env::var("SPARROW_CHROMEDRIVER").unwrap_or_else(|_| "chromedriver".to_owned());
        let mut child = Command::new(&program)
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| {
                format!("starting `{program}`: install Chromium's driver, or name it in SPARROW_CHROMEDRIVER")
            })?;
        let stdout = child.stdout.take().context("stdout is piped")?;
        let mut driver = Driver { child, port: 0 };
        driver.port = wait_for(stdout, |line| {
            line.split_once("successfully on port ")?.1.trim_end_matches('.').parse().ok()
        })
        .with_context(|| format!("`{program}` did not say which port it listens on"))?;

        let profile = tempfile::tempdir()?;
        let (width, height) = match screen {
            Screen::Laptop => (1280, 800),
            Screen::Phone => (390, 844),
        };
        let mut options = json!({
            "args": [
                "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage",
                "--no-first-run", "--disable-background-networking", "--disable-component-update",
                "--disable-sync",
                // A cache of whole pages would hide how a page restores itself after Back.
                "--disable-features=BackForwardCache",
                format!("--window-size={width},{height}"),
                format!("--user-data-dir={}", profile.path().display()),
            ],
        });
        if matches!(screen, Screen::Phone) {
            options["mobileEmulation"] = json!({ "deviceMetrics": { "width": width, "height": height, "pixelRatio": 2.0, "touch": true } });
        }
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let (status, answer) = http::request(driver.port, "POST", "/session", Some(&capabilities))?;
        let Some(session) = answer["value"]["sessionId"].as_str() else {
            bail!("chromedriver opened no browser: status {status}, {answer}");
        };
        Ok(Self { session: session.to_owned(), driver, _profile: profile })
    }

    fn command(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let path = format!("/session/{}{path}", self.session);
        let (status, mut answer) = http::request(self.driver.port, method, &path, body)?;
        if status != 200 {
            bail!("WebDriver {method} {path}: {}", answer["value"]["message"]);
        }
        Ok(answer["value"].take())
    }

    /// Opens an address, and forgets what earlier pages wrote to the console.
    pub fn go(&self, url: &str) -> Result<()> {
        self.console()?;
        self.command("POST", "/url", Some(&json!({ "url": url })))?;
        Ok(())
    }

    /// Goes back in the history.
    pub fn back(&self) -> Result<()> {
        self.command("POST", "/back", Some(&json!({})))?;
        Ok(())
    }

    /// From here on, what the system says a person prefers: "light" or "dark".
    pub fn prefer(&self, scheme: &str) -> Result<()> {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.devtools("Emulation.setEmulatedMedia", &json!({ "features": features }))
    }

    /// From here on, pages are this large, without a phone's touch screen: Chromium reports no layout shifts
    /// while it emulates one.
    pub fn resize(&self, width: u32, height: u32) -> Result<()> {
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", &metrics)
    }

    /// From here on, runs a script in every page before the page's own.
    pub fn prepare(&self, script: &str) -> Result<()> {
        let source = json!({ "source": script });
        self.devtools("Page.addScriptToEvaluateOnNewDocument", &source)
    }

    /// From here on, every answer takes this many milliseconds longer, as over a network.
    pub fn delay(&self, milliseconds: u32) -> Result<()> {
        let conditions = json!({
            "offline": false, "latency": milliseconds, "downloadThroughput": -1, "uploadThroughput": -1,
        });
        self.devtools("Network.emulateNetworkConditions", &conditions)
    }

    /// A command of Chromium's own protocol.
    fn devtools(&self, command: &str, parameters: &Value) -> Result<()> {
        let command = json!({ "cmd": command, "params": parameters });
        self.command("POST", "/goog/cdp/execute", Some(&command))?;
        Ok(())
    }

    /// The value of a JavaScript expression in the page.
    pub fn value(&self, expression: &str) -> Result<Value> {
        let script = format!("return ({expression});");
        self.command("POST", "/execute/sync", Some(&json!({ "script": script, "args": [] })))
            .with_context(|| format!("evaluating {expression}"))
    }

    /// The same, as text.
    pub fn text(&self, expression: &str) -> Result<String> {
        let value = self.value(expression)?;
        value
            .as_str()
            .map(str::to_owned)
            .with_context(|| format!("{expression} is {value}, not text"))
    }

    /// The same, as a list of texts.
    pub fn texts(&self, expression: &str) -> Result<Vec<String>> {
        let value = self.value(expression)?;
        serde_json::from_value(value).with_context(|| format!("{expression} is no list of texts"))
    }

    /// Waits until an expression becomes true.
    pub fn until(&self, expression: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // While one page gives way to the next there may be no script context: that counts as "not yet".
            let now = self.value(expression);
            if matches!(now, Ok(Value::Bool(true))) {
                return Ok(());
            }
            if Instant::now() > deadline {
                let page = self.text("document.body.innerText.slice(0, 1500)").unwrap_or_default();
                bail!(
                    "never became true: {expression} (last: {now:?}); console: {:?}; the page reads: {page}",
                    self.console()
                );
            }
            thread::sleep(GLANCE);
        }
    }

    /// A real click in the middle of the first element that matches, as a person would make.
    pub fn click(&self, selector: &str) -> Result<()> {
        let element = self.find(selector)?;
        self.command("POST", &format!("/element/{element}/click"), Some(&json!({})))?;
        Ok(())
    }

    /// Types into the first element that matches.
    pub fn write(&self, selector: &str, text: &str) -> Result<()> {
        let element = self.find(selector)?;
        self.command("POST", &format!("/element/{element}/value"), Some(&json!({ "text": text })))?;
        Ok(())
    }

    /// Presses one key, wherever the focus is.
    pub fn press(&self, key: &str) -> Result<()> {
        let actions = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": [
            { "type": "keyDown", "value": key }, { "type": "keyUp", "value": key },
        ] }] });
        self.command("POST", "/actions", Some(&actions))?;
        Ok(())
    }

    fn find(&self, selector: &str) -> Result<String> {
        let query = json!({ "using": "css selector", "value": selector });
        let found = self.command("POST", "/element", Some(&query))?;
        let id = found.as_object().and_then(|object| object.values().next()?.as_str());
        id.map(str::to_owned).with_context(|| format!("no element id in {found}"))
    }

    /// Warnings and errors on the console since the last call.
    pub fn console(&self) -> Result<Vec<String>> {
        let entries = self.command("POST", "/se/log", Some(&json!({ "type": "browser" })))?;
        let entries = entries.as_array().context("the log is a list")?;
        Ok(entries
            .iter()
            .filter(|entry| entry["level"] == "SEVERE" || entry["level"] == "WARNING")
            .map(|entry| entry["message"].to_string())
            .collect())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ends Chromium; the driver itself ends with its own drop.
        let _ = self.command("DELETE", "", None);
    }
}
