//! Sends batches through the client library.

use std::time::Duration;

use bytes::Bytes;
use fred::clients::Client;
use fred::interfaces::{ClientInterface, ClientLike, HashesInterface, KeysInterface};
use fred::types::config::{Options as CommandOptions, Server};
use fred::types::{ClusterHash, CustomCommand, Expiration, Key, SetOptions, Value};
use futures::future;
use tokio::time::{self, Instant};

use super::faults::{server_message, translate};
use super::{Answer, Batch, Command, Reply, refusal, slot};
use crate::Error;

/// The number of keys that Redis examines per page, which takes a few milliseconds.
const PAGE: &str = "2000";

pub(super) async fn send(
    client: &Client,
    mut batch: Batch,
    options: &CommandOptions,
    address: &str,
    end: Instant,
) -> Result<Vec<Answer>, Error> {
    let Some(last) = batch.commands.pop() else { return Ok(Vec::new()) };
    let expected = batch.commands.len();
    let pipeline = client.pipeline().with_options(options);
    for command in batch.commands {
        // Only queues the command.
        let _: Result<Value, _> = issue(command, &pipeline).await;
    }
    // The library flushes after every command of a pipeline while its queue is empty. With the last
    // command queued behind the pipeline, all commands are flushed in one write.
    let after_pipeline = client.with_options(options);
    let all = future::join(pipeline.try_all::<Value>(), issue(last, &after_pipeline));
    let (mut answers, last) = time::timeout_at(end, all)
        .await
        .map_err(|_| Error::TimedOut { store: address.to_owned() })?;
    if answers.len() != expected && !answers.iter().any(Result::is_err) {
        let what = "the number of replies differs from that of the commands".to_owned();
        return Err(Error::Unavailable { store: address.to_owned(), what });
    }
    answers.push(last);
    let answers: Vec<Answer> = answers
        .into_iter()
        .map(|answer| match answer {
            Ok(value) => Ok(Ok(reply(value))),
            Err(error) => server_message(&error).map(Err).ok_or_else(|| translate(address, &error)),
        })
        .collect::<Result<_, _>>()?;
    if answers.len() == expected + 1 {
        Ok(answers)
    } else {
        let message = answers.into_iter().find_map(Result::err).unwrap_or_default();
        Err(refusal(address, &message))
    }
}

pub(super) fn command_options(timeout: Duration, node: Option<Server>) -> CommandOptions {
    CommandOptions {
        max_attempts: Some(1),
        timeout: Some(timeout.max(Duration::from_millis(1))),
        cluster_node: node,
        fail_fast: true,
        ..CommandOptions::default()
    }
}

fn reply(value: Value) -> Reply {
    match value {
        Value::Null | Value::Queued => Reply::Nothing,
        Value::Integer(number) => Reply::Number(number),
        Value::Boolean(yes) => Reply::Number(i64::from(yes)),
        Value::Double(number) => Reply::Text(number.to_string().into()),
        Value::String(text) => Reply::Text(text.into_inner()),
        Value::Bytes(bytes) => Reply::Text(bytes),
        Value::Array(values) => Reply::List(values.into_iter().map(reply).collect()),
        Value::Map(map) => {
            let pairs = map.inner().into_iter();
            Reply::List(
                pairs
                    .flat_map(|(key, value)| [Reply::Text(key.into_bytes()), reply(value)])
                    .collect(),
            )
        }
    }
}

async fn issue<C: KeysInterface + HashesInterface + ClientInterface>(
    command: Command,
    client: &C,
) -> Result<Value, fred::error::Error> {
    let millis = |time: Duration| time.as_millis() as i64;
    match command {
        Command::Get(key) => client.get(key).await,
        Command::GetMany(keys) => {
            client.mget(keys.into_iter().map(Key::from).collect::<Vec<_>>()).await
        }
        Command::HashGetAll(key) => client.hgetall(key).await,
        Command::HashHas(key, field) => client.hexists(key, field).await,
        Command::SetIfMissing(key, value, ttl) => {
            let (ttl, missing) = (Expiration::PX(millis(ttl)), SetOptions::NX);
            client.set(key, value, Some(ttl), Some(missing), false).await
        }
        Command::Length(key) => client.strlen(key).await,
        Command::Expire(key, ttl) => client.pexpire(key, millis(ttl), None).await,
        Command::TimeLeft(key) => client.pttl(key).await,
        Command::Rename(from, to) => client.rename(from, to).await,
        Command::Unlink(keys) => {
            client.unlink(keys.into_iter().map(Key::from).collect::<Vec<_>>()).await
        }
        // The library flushes a custom command at once, in a write of its own.
        Command::Echo(text, None) => client.echo(text).await,
        Command::Echo(text, Some(slot)) => {
            let echo = CustomCommand::new_static("ECHO", ClusterHash::Custom(slot), false);
            client.custom(echo, vec![text]).await
        }
        Command::Script(text, keys, arguments) => {
            let slot = keys.first().map_or(0, |key| slot(key));
            let eval = CustomCommand::new_static("EVAL", ClusterHash::Custom(slot), false);
            let count = Bytes::from(keys.len().to_string());
            let words = [text, count].into_iter().chain(keys).chain(arguments);
            client.custom(eval, words.collect::<Vec<_>>()).await
        }
        // Only the fallback of scripts is sent through the library.
        Command::LoadedScript(..) | Command::Wait(..) => Ok(Value::Null),
        Command::LoadScript(text) => {
            let load = CustomCommand::new_static("SCRIPT", ClusterHash::Random, false);
            client.custom(load, vec![Bytes::from_static(b"LOAD"), text]).await
        }
        Command::Configuration(parameter) => {
            let get = CustomCommand::new_static("CONFIG", ClusterHash::Random, false);
            client.custom(get, ["GET", parameter].map(Bytes::from).to_vec()).await
        }
        Command::Entries(key, first, last, limit) => {
            let range = CustomCommand::new_static("XRANGE", ClusterHash::FirstKey, false);
            let limit = Bytes::from(limit.to_string());
            client.custom(range, vec![key, first, last, Bytes::from_static(b"COUNT"), limit]).await
        }
        Command::Info => {
            let info = CustomCommand::new_static("INFO", ClusterHash::Random, false);
            client.custom(info, Vec::<Bytes>::new()).await
        }
        Command::Scan(cursor, pattern) => {
            let [matching, count, number] = ["MATCH", "COUNT", PAGE].map(Bytes::from);
            let scan = CustomCommand::new_static("SCAN", ClusterHash::FirstKey, false);
            client.custom(scan, vec![cursor, matching, pattern, count, number]).await
        }
    }
}
