use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// What a [`LossyProxy`] does to a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Passes it on.
    None,
    /// Loses it.
    Drop,
    /// Passes on its first half.
    Truncate,
    /// Passes it on twice.
    Double,
    /// Passes it on 200 ms late.
    Delay,
    /// Passes on bytes that are no reply.
    Garbage,
    /// Passes on an array that is nested 200,000 deep.
    Nest,
    /// Loses it and passes the next one on twice, so that the number of replies is right. Leaves nonces alone.
    Shift,
    /// Each of [`Fault::EACH`] in turn.
    Mixed,
}

impl Fault {
    /// The faults of single replies.
    pub const EACH: [Self; 6] =
        [Self::Drop, Self::Truncate, Self::Double, Self::Delay, Self::Garbage, Self::Nest];

    const ALL: [Self; 9] = [
        Self::None,
        Self::Drop,
        Self::Truncate,
        Self::Double,
        Self::Delay,
        Self::Garbage,
        Self::Nest,
        Self::Shift,
        Self::Mixed,
    ];
}

/// A proxy in front of a redis-server that spoils replies.
#[derive(Debug)]
pub struct LossyProxy {
    port: u16,
    control: Arc<Control>,
}

#[derive(Debug)]
struct Control {
    fault: AtomicUsize,
    one_in: AtomicU32,
    replies: AtomicU64,
    spoilt: AtomicU64,
    /// Whether the next reply is to be doubled, for [`Fault::Shift`].
    owes: Mutex<bool>,
}

impl LossyProxy {
    /// A proxy for the server on this port, without faults for now.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn before(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let control = Arc::new(Control {
            fault: AtomicUsize::new(Fault::None as usize),
            one_in: AtomicU32::new(1),
            replies: AtomicU64::new(0),
            spoilt: AtomicU64::new(0),
            owes: Mutex::new(false),
        });
        let address = listener.local_addr().expect("a bound socket has an address");
        let proxy = Self { port: address.port(), control: Arc::clone(&control) };
        thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { return };
                let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { continue };
                let (Ok(from), Ok(to)) = (client.try_clone(), server.try_clone()) else { return };
                thread::spawn(move || pass_on(from, to));
                let control = Arc::clone(&control);
                thread::spawn(move || control.spoil(server, client));
            }
        });
        proxy
    }

    /// The address, as a store takes it.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// From now on spoils one reply in so many.
    pub fn set(&self, fault: Fault, one_in: u32) {
        self.control.one_in.store(one_in.max(1), Ordering::SeqCst);
        self.control.fault.store(fault as usize, Ordering::SeqCst);
    }

    /// How many replies were spoilt so far.
    pub fn spoilt(&self) -> u64 {
        self.control.spoilt.load(Ordering::SeqCst)
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

impl Control {
    fn spoil(&self, mut from: TcpStream, mut to: TcpStream) {
        let (mut buffer, mut ahead) = (vec![0; 1 << 16], Vec::new());
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            ahead.extend_from_slice(&buffer[..length]);
            let (mut at, mut out) = (0, Vec::new());
            while let Some(length) = frame(&ahead[at..]) {
                self.pass_reply(&ahead[at..at + length], &mut out);
                at += length;
            }
            ahead.drain(..at);
            if to.write_all(&out).is_err() {
                let _ = from.shutdown(Shutdown::Both);
                return;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    }

    fn pass_reply(&self, reply: &[u8], out: &mut Vec<u8>) {
        let number = self.replies.fetch_add(1, Ordering::SeqCst);
        let fault = Fault::ALL[self.fault.load(Ordering::SeqCst)];
        let is_nonce = reply.windows(10).take(12).any(|bytes| bytes.starts_with(b"sparrow-"));
        if fault == Fault::Shift && !is_nonce {
            let mut owes = self.owes.lock().unwrap_or_else(PoisonError::into_inner);
            if std::mem::take(&mut *owes) {
                out.extend([reply, reply].concat());
                return;
            }
        }
        // Spread, and the same in every run.
        let random = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
        let is_hit = random.is_multiple_of(u64::from(self.one_in.load(Ordering::SeqCst)));
        if fault == Fault::None || !is_hit || (fault == Fault::Shift && is_nonce) {
            out.extend_from_slice(reply);
            return;
        }
        let spoilt = self.spoilt.fetch_add(1, Ordering::SeqCst);
        let fault = match fault {
            Fault::Mixed => Fault::EACH[spoilt as usize % Fault::EACH.len()],
            fault => fault,
        };
        match fault {
            Fault::Drop => {}
            Fault::Truncate => out.extend_from_slice(&reply[..reply.len() / 2]),
            Fault::Double => out.extend([reply, reply].concat()),
            Fault::Garbage => out.extend_from_slice(b"\x00\xff:what\r\n$-7\r\n*x"),
            Fault::Nest => out.extend(b"*1\r\n".repeat(200_000)),
            Fault::Shift => *self.owes.lock().unwrap_or_else(PoisonError::into_inner) = true,
            Fault::Delay => {
                thread::sleep(Duration::from_millis(200));
                out.extend_from_slice(reply);
            }
            Fault::None | Fault::Mixed => out.extend_from_slice(reply),
        }
    }
}

/// The length of the reply that the bytes begin with, once it is there as a whole.
fn frame(bytes: &[u8]) -> Option<usize> {
    let line = bytes.windows(2).position(|two| two == b"\r\n")? + 2;
    let number = || std::str::from_utf8(&bytes[1..line - 2]).ok()?.parse::<i64>().ok();
    match bytes[0] {
        b'$' => {
            let length = number()?;
            let whole = if length < 0 { line } else { line + length as usize + 2 };
            (bytes.len() >= whole).then_some(whole)
        }
        b'*' => {
            let mut whole = line;
            for _ in 0..number()?.max(0) {
                whole += frame(bytes.get(whole..).filter(|rest| !rest.is_empty())?)?;
            }
            Some(whole)
        }
        _ => Some(line),
    }
}
