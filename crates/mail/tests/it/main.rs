//! Both protocols over streams in memory and over sockets, with a post office in memory.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]

mod dropped;
mod fetching;
mod foreign;
mod sending;
mod tls;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use mail::port::{Delivered, Identity, Letter, Post, Refusal};
use mail::{Limits, Server, Shutdown};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

pub const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Mails with their numbers, by user.
type Boxes = BTreeMap<String, Vec<(u64, Bytes)>>;

/// User `ola` with password `secret` has the address `ola@edi.example`; `kari` likewise.
#[derive(Default)]
pub struct Office {
    pub boxes: Arc<Mutex<Boxes>>,
    pub answer: Option<Delivered>,
}

impl Office {
    pub fn put(&self, user: &str, mails: &[&str]) {
        let mut boxes = self.boxes.lock().unwrap();
        let own = boxes.entry(user.to_owned()).or_default();
        for mail in mails {
            own.push((own.len() as u64 + 1, Bytes::from((*mail).to_owned())));
        }
    }

    pub fn of(&self, user: &str) -> Vec<String> {
        let boxes = self.boxes.lock().unwrap();
        let own = boxes.get(user).cloned().unwrap_or_default();
        own.into_iter()
            .map(|(_, mail)| String::from_utf8(mail.to_vec()).unwrap())
            .collect()
    }
}

impl Post for Office {
    fn authenticate(&self, _peer: IpAddr, user: &str, password: &str) -> Option<Identity> {
        (["ola", "kari"].contains(&user) && password == "secret").then(|| Identity {
            user: user.to_owned(),
        })
    }

    fn accepts(
        &self,
        who: Option<&Identity>,
        sender: &str,
        recipient: &str,
    ) -> Result<(), Refusal> {
        if who.is_some_and(|who| sender != format!("{}@edi.example", who.user)) {
            return Err(Refusal::NotAllowed("the sender is not your address"));
        }
        match recipient {
            "ola@edi.example" | "kari@edi.example" => Ok(()),
            _ => Err(Refusal::UnknownRecipient),
        }
    }

    fn deliver(
        &self,
        _who: Option<&Identity>,
        _sender: &str,
        recipient: &str,
        mail: Bytes,
    ) -> BoxFuture<'static, Delivered> {
        if let Some(answer) = self.answer {
            return async move { answer }.boxed();
        }
        let (boxes, user) = (
            self.boxes.clone(),
            recipient.split('@').next().unwrap().to_owned(),
        );
        async move {
            let mut boxes = boxes.lock().unwrap();
            let own = boxes.entry(user).or_default();
            own.push((own.len() as u64 + 1, mail));
            Delivered::Kept
        }
        .boxed()
    }

    fn open(&self, who: &Identity) -> BoxFuture<'static, Vec<Letter>> {
        let own = self.boxes.lock().unwrap().get(&who.user).cloned();
        let letters = own
            .unwrap_or_default()
            .into_iter()
            .map(|(id, mail)| Letter { id, token: 7, mail });
        let letters: Vec<Letter> = letters.collect();
        async move { letters }.boxed()
    }

    fn renew(&self, _letters: Vec<(u64, u64)>) -> BoxFuture<'static, ()> {
        async {}.boxed()
    }

    fn close(&self, removed: Vec<(u64, u64)>, _kept: Vec<(u64, u64)>) -> BoxFuture<'static, bool> {
        let boxes = self.boxes.clone();
        async move {
            for own in boxes.lock().unwrap().values_mut() {
                own.retain(|(id, _)| !removed.contains(&(*id, 7)));
            }
            true
        }
        .boxed()
    }

    fn renew_every(&self) -> Duration {
        Duration::from_secs(40)
    }
}

pub fn server(office: &Arc<Office>, limits: Limits) -> Server<Office> {
    Server::new(office.clone(), "edi.example", limits, Shutdown::default())
}

/// The other end of a session.
pub struct Peer {
    pub stream: DuplexStream,
}

impl Peer {
    pub fn smtp(server: &Server<Office>) -> Self {
        let (near, far) = tokio::io::duplex(1 << 20);
        let server = server.clone();
        tokio::spawn(async move { mail::session::smtp(&server, far, HOME).await });
        Self { stream: near }
    }

    pub fn pop3(server: &Server<Office>) -> Self {
        let (near, far) = tokio::io::duplex(1 << 20);
        let server = server.clone();
        tokio::spawn(async move { mail::session::pop3(&server, far, HOME).await });
        Self { stream: near }
    }

    /// Sends everything, closes this side, and reads to the end of the session.
    pub async fn all(mut self, text: &[u8]) -> String {
        self.stream.write_all(text).await.unwrap();
        self.stream.shutdown().await.unwrap();
        let mut out = String::new();
        self.stream.read_to_string(&mut out).await.unwrap();
        out
    }

    pub async fn line(&mut self) -> String {
        let mut out = Vec::new();
        while !out.ends_with(b"\r\n") {
            match self.stream.read_u8().await {
                Ok(byte) => out.push(byte),
                Err(_) => break,
            }
        }
        String::from_utf8(out).unwrap().trim_end().to_owned()
    }

    pub async fn say(&mut self, text: &str) -> String {
        self.stream
            .write_all(format!("{text}\r\n").as_bytes())
            .await
            .unwrap();
        self.line().await
    }
}
