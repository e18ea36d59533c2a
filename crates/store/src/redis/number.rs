//! Commands whose answer is a number.

use bytes::Bytes;
use tokio::time::Instant;

use super::client::{Batch, Command, Connections, Reply, refusal};
use crate::Error;

impl Connections {
    /// The number that a command returns; `None` without one.
    pub(super) async fn ask_number(
        &self,
        key: &Bytes,
        command: Command,
        end: Instant,
    ) -> Result<Option<u16>, Error> {
        let mut batch = Batch::default();
        batch.push(command);
        let text = match self.run(batch, end).await?.into_iter().next() {
            None | Some(Ok(Reply::Nothing)) => return Ok(None),
            Some(Ok(Reply::Text(text))) => text,
            Some(Err(message)) if !message.starts_with("WRONGTYPE") => {
                return Err(refusal(self.address(), &message));
            }
            Some(_) => Bytes::new(),
        };
        let number = str::from_utf8(&text).ok().and_then(|text| text.parse().ok());
        let number = number.filter(|&number: &u16| number > 0).ok_or_else(|| Error::Malformed {
            key: String::from_utf8_lossy(key).into_owned(),
            what: "is not a number from 1 to 65535".to_owned(),
        })?;
        Ok(Some(number))
    }
}
