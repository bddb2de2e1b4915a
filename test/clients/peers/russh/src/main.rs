//! A peer on russh and russh-sftp. What it understands is in ../../PROTOCOL.md.
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use russh::client::{self, ChannelOpenHandle, Config, Handle, Msg, Session};
use russh::keys::agent::client::AgentClient;
use russh::keys::agent::AgentIdentity;
use russh::keys::{load_openssh_certificate, load_secret_key, PublicKeyOrCertificate};
use russh::{Channel, ChannelMsg, Disconnect, Limits};
use russh_sftp::client::SftpSession;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

fn encode(word: &str) -> String {
    word.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => (byte as char).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

fn decode(word: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = word.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'%' && tail.len() >= 2 {
            bytes.push(u8::from_str_radix(&String::from_utf8_lossy(&tail[..2]), 16).unwrap_or(b'?'));
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(decode).collect()
}

fn say(first: &str, rest: &[&str]) {
    let mut line = first.to_string();
    for word in rest {
        line.push(' ');
        line.push_str(&encode(word));
    }
    println!("{line}");
}

/// Channels that the server opens.
struct Ours {
    forwarded: mpsc::Sender<Channel<Msg>>,
}

impl client::Handler for Ours {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = shown else { return Ok(false) };
        let port = variable("PEER_PORT").parse().unwrap_or(0);
        Ok(russh::keys::known_hosts::check_known_hosts_path(&variable("PEER_HOST"), port, key, variable("PEER_KNOWN_HOSTS"))?)
    }

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        channel: Channel<Msg>,
        _address: &str,
        _port: u32,
        _origin: &str,
        _origin_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        reply.accept().await;
        let _ = self.forwarded.send(channel).await;
        Ok(())
    }
}

struct Connection {
    handle: Handle<Ours>,
    forwarded: mpsc::Receiver<Channel<Msg>>,
}

async fn connect(auth: &str, rekey: bool) -> Outcome<Connection> {
    let (sender, forwarded) = mpsc::channel(4);
    let limits = if rekey { Limits::new(1 << 20, 1 << 20, Duration::from_secs(3600)) } else { Limits::default() };
    let config = Arc::new(Config { limits, ..Config::default() });
    let address = (variable("PEER_HOST"), variable("PEER_PORT").parse::<u16>()?);
    let mut handle = client::connect(config, address, Ours { forwarded: sender }).await?;
    let user = variable("PEER_USER");
    if auth == "agent" {
        let mut agent = AgentClient::connect_env().await?;
        for identity in agent.request_identities().await? {
            let result = match identity {
                AgentIdentity::PublicKey { key, .. } => handle.authenticate_publickey_with(&user, key, None, &mut agent).await?,
                AgentIdentity::Certificate { certificate, .. } => handle.authenticate_certificate_with(&user, certificate, None, &mut agent).await?,
            };
            if result.success() {
                return Ok(Connection { handle, forwarded });
            }
        }
        return Err("every key of the agent was refused".into());
    }
    let key = load_secret_key(variable("PEER_KEY"), None)?;
    let certificate = load_openssh_certificate(format!("{}-cert.pub", variable("PEER_KEY")))?;
    if !handle.authenticate_openssh_cert(user, Arc::new(key), certificate).await?.success() {
        return Err("the certificate was refused".into());
    }
    Ok(Connection { handle, forwarded })
}

/// Reads until the channel closes.
async fn collect(channel: &mut russh::ChannelReadHalf) -> (Vec<u8>, Vec<u8>, String) {
    let (mut stdout, mut stderr, mut exit) = (Vec::new(), Vec::new(), String::new());
    while let Some(message) = channel.wait().await {
        match message {
            ChannelMsg::Data { data } => stdout.extend_from_slice(&data),
            ChannelMsg::ExtendedData { data, .. } => stderr.extend_from_slice(&data),
            ChannelMsg::ExitStatus { exit_status } => exit = exit_status.to_string(),
            _ => {}
        }
    }
    (stdout, stderr, exit)
}

async fn run(connection: &Connection, command: Vec<u8>, input: &str, out: &str) -> Outcome {
    let channel = connection.handle.channel_open_session().await?;
    channel.exec(true, command).await?;
    let (mut from, to) = channel.split();
    let input = tokio::fs::read(input).await?;
    let sending = tokio::spawn(async move {
        to.data(&input[..]).await?;
        to.eof().await
    });
    let (stdout, stderr, exit) = collect(&mut from).await;
    sending.await??;
    tokio::fs::write(format!("{out}/stdout"), stdout).await?;
    tokio::fs::write(format!("{out}/stderr"), stderr).await?;
    say("exit", &[&exit]);
    Ok(())
}

async fn shell(connection: &Connection, out: &str) -> Outcome {
    let mut channel = connection.handle.channel_open_session().await?;
    channel.request_pty(true, "xterm-256color", 80, 24, 0, 0, &[]).await?;
    channel.request_shell(true).await?;
    channel.data(&b"stty size; read line; stty size; exit 5\n"[..]).await?;
    let (mut printed, mut exit, mut changed) = (Vec::new(), String::new(), false);
    while let Some(message) = channel.wait().await {
        match message {
            ChannelMsg::Data { data } => printed.extend_from_slice(&data),
            ChannelMsg::ExitStatus { exit_status } => exit = exit_status.to_string(),
            _ => {}
        }
        if !changed && String::from_utf8_lossy(&printed).contains("24 80") {
            changed = true;
            channel.window_change(132, 43, 0, 0).await?;
            channel.data(&b"\n"[..]).await?;
        }
    }
    tokio::fs::write(format!("{out}/stdout"), printed).await?;
    say("exit", &[&exit]);
    Ok(())
}

async fn two(connection: &Connection, args: &[String]) -> Outcome {
    let mut halves = Vec::new();
    for file in &args[..2] {
        let channel = connection.handle.channel_open_session().await?;
        channel.exec(true, tokio::fs::read(file).await?).await?;
        halves.push(channel.split());
    }
    let mut exits = Vec::new();
    for (number, (from, _to)) in halves.iter_mut().enumerate() {
        let (stdout, _, exit) = collect(from).await;
        tokio::fs::write(format!("{}/stdout{}", args[2], number + 1), stdout).await?;
        exits.push(exit);
    }
    say("exit", &[&exits[0], &exits[1]]);
    Ok(())
}

async fn local(connection: &Connection, args: &[String]) -> Outcome {
    let channel = connection.handle.channel_open_direct_tcpip(&args[0], args[1].parse()?, "127.0.0.1", 0).await?;
    let input = tokio::fs::read(&args[2]).await?;
    let (mut from, to) = channel.split();
    let sending = tokio::spawn(async move {
        to.data(&input[..]).await?;
        to.eof().await
    });
    let (back, _, _) = collect(&mut from).await;
    sending.await??;
    tokio::fs::write(format!("{}/stdout", args[3]), back).await?;
    Ok(())
}

async fn remote(connection: &mut Connection) -> Outcome {
    let port = connection.handle.tcpip_forward("127.0.0.1", 0).await?;
    say("port", &[&port.to_string()]);
    let mut channel = connection.forwarded.recv().await.ok_or("nobody came")?;
    while let Some(message) = channel.wait().await {
        match message {
            ChannelMsg::Data { data } => channel.data(&data[..]).await?,
            ChannelMsg::Eof => {
                channel.eof().await?;
                channel.close().await?;
                break;
            }
            _ => {}
        }
    }
    connection.handle.cancel_tcpip_forward("127.0.0.1", port).await?;
    Ok(())
}

async fn operate(sftp: &SftpSession, words: &[String]) -> Outcome {
    let path = &words[1];
    match words[0].as_str() {
        "mkdir" => sftp.create_dir(path).await?,
        "put" => {
            let bytes = tokio::fs::read(path).await?;
            let mut file = sftp.create(&words[2]).await?;
            file.write_all(&bytes).await?;
            file.close().await?;
        }
        "get" => {
            let mut file = sftp.open(path).await?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).await?;
            file.close().await?;
            tokio::fs::write(&words[2], bytes).await?;
        }
        "rename" => sftp.rename(path, &words[2]).await?,
        "symlink" => sftp.symlink(path, &words[2]).await?,
        "readlink" => say("target", &[&sftp.read_link(path).await?]),
        "list" => {
            for entry in sftp.read_dir(path).await? {
                say("name", &[&entry.file_name()]);
            }
        }
        "size" => say("size", &[&sftp.metadata(path).await?.size.unwrap_or(0).to_string()]),
        "remove" => sftp.remove_file(path).await?,
        "rmdir" => sftp.remove_dir(path).await?,
        verb => return Err(format!("no operation {verb}").into()),
    }
    Ok(())
}

async fn script(connection: &Connection, file: &str) -> Outcome {
    let channel = connection.handle.channel_open_session().await?;
    channel.request_subsystem(true, "sftp").await?;
    let sftp = SftpSession::new(channel.into_stream()).await?;
    for line in tokio::fs::read_to_string(file).await?.lines() {
        match operate(&sftp, &words(line)).await {
            Ok(()) => say("ok", &[]),
            Err(problem) => say("error", &[&problem.to_string()]),
        }
    }
    sftp.close().await?;
    Ok(())
}

async fn answer(auth: &str, verb: &str, args: &[String]) -> Outcome {
    let mut connection = connect(auth, verb == "rekey").await?;
    match verb {
        "exec" => run(&connection, tokio::fs::read(&args[0]).await?, &args[1], &args[2]).await?,
        "rekey" => run(&connection, b"cat".to_vec(), &args[0], &args[1]).await?,
        "shell" => shell(&connection, &args[0]).await?,
        "two" => two(&connection, args).await?,
        "local" => local(&connection, args).await?,
        "remote" => remote(&mut connection).await?,
        "sftp" => script(&connection, &args[0]).await?,
        _ => return Err(format!("no verb {verb}").into()),
    }
    connection.handle.disconnect(Disconnect::ByApplication, "", "").await?;
    let _ = connection.handle.await;
    Ok(())
}

#[tokio::main]
async fn main() {
    for line in std::io::stdin().lines().map_while(Result::ok) {
        let request = words(&line);
        match answer(&request[0], &request[1], &request[2..]).await {
            Ok(()) => say("done", &[]),
            Err(problem) => say("failed", &[&problem.to_string()]),
        }
    }
}
