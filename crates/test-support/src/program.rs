//! Programs as processes.

use std::ffi::OsStr;
use std::io::read_to_string;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A command line in parts; `{}` is replaced by the next of `values`, which may contain spaces. Variables of the environment
/// that programs of the project read are removed.
///
/// # Panics
/// If the numbers of `{}` and of values differ.
pub fn command(program: impl AsRef<OsStr>, line: &str, values: &[&dyn AsRef<Path>]) -> Command {
    let mut values = values.iter();
    let mut command = Command::new(program);
    for word in line.split_whitespace() {
        match word {
            "{}" => command.arg(values.next().expect("a value for each {}").as_ref()),
            word => command.arg(word),
        };
    }
    assert!(values.next().is_none(), "a value too many for {line}");
    for (name, _) in std::env::vars_os() {
        let name_text = name.to_string_lossy();
        if name_text.starts_with("AWS_")
            || name_text == "SPARROW_STORE"
            || name_text.starts_with("SPARROW__")
        {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command to its end, which must have this exit code; returns its standard output and standard error.
///
/// # Panics
/// If it cannot run or has another exit code.
pub fn ends(code: i32, command: &mut Command) -> (String, String) {
    let Output { status, stdout, stderr } = command.output().expect("the program cannot run");
    let [out, errors] = [stdout, stderr].map(|text| String::from_utf8(text).expect("UTF-8"));
    assert_eq!(status.code(), Some(code), "{command:?}\n{out}\n{errors}");
    (out, errors)
}

/// Runs a command that must succeed and print nothing on standard error; returns its standard output.
///
/// # Panics
/// If it does not.
pub fn succeeds(command: &mut Command) -> String {
    let (out, errors) = ends(0, command);
    assert_eq!(errors, "", "{command:?}");
    out
}

/// Runs a command that must fail with this exit code; returns its standard error, which starts with `error: `.
///
/// # Panics
/// If it does not.
pub fn fails(code: i32, command: &mut Command) -> String {
    let (_, errors) = ends(code, command);
    assert!(errors.starts_with("error: "), "{command:?}: {errors}");
    errors
}

/// A program that runs; killed when dropped.
#[derive(Debug)]
pub struct Running(Child);

impl Running {
    /// Starts a program with its output in pipes.
    ///
    /// # Panics
    /// If it cannot run.
    pub fn start(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self::spawn(command)
    }

    /// Starts a program with the output of the command.
    ///
    /// # Panics
    /// If it cannot run.
    pub fn spawn(mut command: Command) -> Self {
        Self(command.spawn().expect("the program cannot run"))
    }

    /// The number of the process.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// The process.
    pub fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    /// Sends a signal, such as `-KILL`.
    ///
    /// # Panics
    /// If that fails.
    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.0.id().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()), "kill {signal}");
    }

    /// Kills the program, and waits for its end.
    ///
    /// # Panics
    /// If that fails.
    pub fn kill(&mut self) {
        self.0.kill().expect("cannot kill the program");
        self.0.wait().expect("cannot wait for the program");
    }

    /// Waits for the end. Returns the exit code, which is `None` if a signal ended it.
    ///
    /// # Panics
    /// If it does not end within a minute.
    pub fn wait(&mut self) -> Option<i32> {
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            match self.0.try_wait().expect("cannot wait for the program") {
                Some(status) => return status.code(),
                None => assert!(Instant::now() < deadline, "the program does not end"),
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// The same, and also returns its standard error.
    ///
    /// # Panics
    /// If it does not end within a minute.
    pub fn end(mut self) -> (Option<i32>, String) {
        let code = self.wait();
        let errors = self.0.stderr.take().map(read_to_string);
        (code, errors.expect("a pipe").expect("UTF-8"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
