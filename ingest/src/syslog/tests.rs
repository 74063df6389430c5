use std::io::{ErrorKind as Io, Write};
use std::net::{TcpStream, UdpSocket};
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use servers::{Authority, Identity};

use super::*;
use crate::testing::{Lake, Running};

fn options(folder: &Path) -> SyslogOptions {
    let any = Some("127.0.0.1:0".to_owned());
    SyslogOptions {
        tcp: any.clone(),
        udp: any,
        wal_folder: folder.to_owned(),
        ..SyslogOptions::default()
    }
}

struct Server {
    running: Running,
    tcp: SocketAddr,
    udp: SocketAddr,
}

fn start(lake: &Lake, options: SyslogOptions) -> Server {
    // Fails when another test was first, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (tcp, udp) = (listener.local_addr().unwrap(), socket.local_addr().unwrap());
    let source = SyslogSource::new("test", "syslog.generic", options).unwrap();
    let source = source.on(Some(listener), Some(socket));
    Server { running: lake.start(Box::new(source)), tcp, udp }
}

impl Server {
    /// A connection that says this and ends.
    fn say(&self, text: &[u8]) {
        TcpStream::connect(self.tcp).unwrap().write_all(text).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_transport_and_framing_arrives() {
    let (dir, lake) = (tempfile::tempdir().unwrap(), Lake::default());
    let server = start(&lake, options(dir.path()));
    server.say(b"<13>a: 1\n<13>a: 2\r\n<13>a: 3");
    server.say(b"8 <13>a: 49 <13>a:\n5\n8 <13>a: 6");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for datagram in [&b"<13>a: 7\n"[..], b"<13>a:\n8", b"\n", b"<13>a: 9\0"] {
        socket.send_to(datagram, server.udp).unwrap();
    }
    let mut expected: Vec<String> = (1..10).map(|n| format!("<13>a: {n}")).collect();
    expected[4] = "<13>a:\n5\n".to_owned();
    expected[7] = "<13>a:\n8".to_owned();
    expected.sort();
    assert_eq!(server.running.wait_for(9).await, expected);
    let summary = server.running.stop().await.unwrap();
    assert_eq!((summary.records, summary.rejects), (9, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_message_is_kept_with_its_reason() {
    let (dir, lake) = (tempfile::tempdir().unwrap(), Lake::default());
    let server = start(&lake, SyslogOptions { record_bytes_max: 20, ..options(dir.path()) });
    server.say(format!("<13>{}\n<13>after\n", "x".repeat(30)).as_bytes());
    server.say(b"9 <13>ab");
    server.say(b"7 <13>bad7x<13>lost");
    server.running.wait_for(2).await;
    for _ in 0..3_000 {
        if lake.rejects.lock().len() >= 4 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut rejects = lake.rejects.lock().clone();
    rejects.sort();
    let long = "message longer than 20 bytes";
    let expected = [
        ("no count where one must stand".to_owned(), b"7x<13>lost".to_vec()),
        (format!("part 1, {long}"), b"<13>xxxxxxxxxxxxxxxx".to_vec()),
        (format!("part 2, {long}"), b"xxxxxxxxxxxxxx".to_vec()),
        ("the connection ended 3 bytes before the message did".to_owned(), b"<13>ab".to_vec()),
    ];
    assert_eq!(rejects, expected);
    assert_eq!(server.running.wait_for(2).await, ["<13>after", "<13>bad"]);
    server.running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_log_makes_senders_wait_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let slow = Lake { delay: Duration::from_millis(2), ..Lake::default() };
    let server = start(&slow, SyslogOptions { wal_bytes_max: 2 << 20, ..options(dir.path()) });
    let pad = "x".repeat(500);
    let count = 20_000;
    let to = server.tcp;
    // Ten megabytes: more than the log and the kernel's buffers hold.
    let sender = std::thread::spawn(move || {
        let mut stream = TcpStream::connect(to).unwrap();
        let mut waits = 0;
        stream.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
        for n in 0..count {
            let text = format!("<13>a: {n:06} {pad}\n");
            let mut rest = text.as_bytes();
            while !rest.is_empty() {
                match stream.write(rest) {
                    Ok(written) => rest = &rest[written..],
                    Err(e) if matches!(e.kind(), Io::WouldBlock | Io::TimedOut) => waits += 1,
                    Err(error) => panic!("{error}"),
                }
            }
        }
        waits
    });
    let mut largest = 0;
    while server.running.lake.records.lock().len() < count {
        let files = std::fs::read_dir(dir.path().join("test")).into_iter().flatten();
        // A segment may be deleted while it is looked at.
        let sizes = files.filter_map(|file| file.ok()?.metadata().ok()).map(|m| m.len());
        largest = largest.max(sizes.sum::<u64>());
        assert!(!server.running.is_over(), "it goes on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    sender.join().unwrap();
    assert!(largest < 4 << 20, "the log held {largest} bytes");
    assert!(largest > 1 << 20, "the log was never full: {largest} bytes");
    let records = server.running.wait_for(count).await;
    let is_next = |(n, record): (usize, &String)| record.contains(&format!("a: {n:06} "));
    assert!(records.iter().enumerate().all(is_next), "each once");
    server.running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_survives_a_stop_and_comes_once() {
    let dir = tempfile::tempdir().unwrap();
    let lake = Lake::default();
    let mut expected = Vec::new();
    for round in 0..3 {
        let server = start(&lake, options(dir.path()));
        let mut stream = TcpStream::connect(server.tcp).unwrap();
        for n in 0..200 {
            let message = format!("<13>a: {round}/{n:03}");
            writeln!(stream, "{message}").unwrap();
            expected.push(message);
        }
        drop(stream);
        // When it is in the log, at once: what is not emitted yet is emitted by the next start.
        let folder = dir.path().join("test");
        while !logged(&folder).contains(&format!("{round}/199")) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        server.running.stop().await.unwrap();
    }
    let server = start(&lake, options(dir.path()));
    assert_eq!(server.running.wait_for(600).await, expected);
    server.running.stop().await.unwrap();
}

/// Everything in the log that is text.
fn logged(folder: &Path) -> String {
    let Ok(files) = std::fs::read_dir(folder) else { return String::new() };
    let read = files.filter_map(|file| std::fs::read(file.ok()?.path()).ok());
    read.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect()
}

fn client(trusted: &Authority, identity: Option<Identity>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let authority = trusted.certificate();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder().with_root_certificates(roots);
    match identity {
        None => builder.with_no_client_auth(),
        Some(Identity { certificate, key }) => {
            let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    }
}

/// Says something over TLS; refused when the other side lets nobody in.
fn say_by(config: ClientConfig, to: SocketAddr, text: &str) -> std::io::Result<()> {
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(connection, TcpStream::connect(to)?);
    stream.write_all(text.as_bytes())?;
    stream.flush()?;
    stream.conn.send_close_notify();
    stream.flush()?;
    // With TLS 1.3 a client hears of its refusal with the first answer.
    match std::io::Read::read(&mut stream, &mut [0; 1]) {
        Err(error) if error.kind() != Io::UnexpectedEof => Err(error),
        _ => Ok(()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_known_clients_speak_over_tls() {
    let (dir, lake) = (tempfile::tempdir().unwrap(), Lake::default());
    let (authority, clients) = (Authority::default(), Authority::default());
    let write = |name: &str, text: String| {
        std::fs::write(dir.path().join(name), text).unwrap();
        dir.path().join(name)
    };
    let server = authority.server();
    let tls = TlsOptions {
        cert: write("cert.pem", server.certificate),
        key: write("key.pem", server.key),
        client_ca: Some(write("clients.pem", clients.certificate())),
    };
    let server = start(&lake, SyslogOptions { tls: Some(tls), ..options(&dir.path().join("wal")) });
    let to = server.tcp;
    let by = |identity: Option<Identity>, text: &'static str| {
        let config = client(&authority, identity);
        tokio::task::spawn_blocking(move || say_by(config, to, text))
    };
    by(Some(clients.client("fw1")), "8 <13>a: 1").await.unwrap().unwrap();
    by(Some(clients.client("fw2")), "<13>a: 2\n").await.unwrap().unwrap();
    for stranger in [None, Some(Authority::default().client("fw1"))] {
        assert!(by(stranger, "<13>a: 3\n").await.unwrap().is_err());
    }
    // Who speaks plainly is not heard.
    server.say(b"<13>a: 4\n");
    assert_eq!(server.running.wait_for(2).await, ["<13>a: 1", "<13>a: 2"]);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(server.running.wait_for(2).await, ["<13>a: 1", "<13>a: 2"]);
    server.running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vendors_record_may_travel_inside() {
    let (dir, lake) = (tempfile::tempdir().unwrap(), Lake::default());
    let inside = SyslogOptions { record: RecordPart::Message, ..options(dir.path()) };
    let server = start(&lake, inside);
    server.say(b"<134>Mar  1 09:00:00 ghe github_audit[7]: {\"action\":\"repo.create\"}\n{\"bare\":1}\n<13>a: \n");
    assert_eq!(server.running.wait_for(1).await, ["{\"action\":\"repo.create\"}"]);
    let rejects: Vec<String> = lake.rejects.lock().iter().map(|(why, _)| why.clone()).collect();
    let none = "not syslog: neither a priority like <34> nor a time at byte 0";
    assert_eq!(rejects, [none, "nothing follows the header"]);
    server.running.stop().await.unwrap();
}

#[test]
fn a_reader_is_told_what_the_message_may_not_say() {
    let mut entry = Entry::new("192.0.2.1");
    entry.message(b"<13>a: 1");
    entry.refuse("why", b"no");
    entry.message(b"<13>a: 2");
    let payload = entry.take().unwrap();
    assert!(entry.take().is_none(), "it is empty now");
    let mut frames = Frames::default();
    entry::frame(&Part::Whole { zone: Some("+02:00".into()) }, &payload, 7, &mut frames);
    let places: Vec<_> = frames.records().iter().map(|r| (r.at, r.index)).collect();
    assert_eq!(places, [(7, 0), (7, 2)]);
    for record in frames.records() {
        let header = &frames.bytes()[record.header.clone().unwrap()];
        assert_eq!(header, b"peer=192.0.2.1 zone=+02:00");
    }
    assert_eq!((frames.rejects()[0].at, frames.rejects()[0].index), (7, 1));
}

#[test]
fn options_are_checked() {
    let check = |options: SyslogOptions, message: &str| {
        let error = SyslogSource::new("s", "t", options).err().expect("refused");
        assert!(error.message.contains(message), "{}", error.message);
    };
    let good = options(Path::new("x"));
    check(SyslogOptions::default(), "listens nowhere");
    check(SyslogOptions { tcp: Some("514".into()), ..good.clone() }, "`tcp` must be");
    for zone in ["CET", "+25:00", "2:00", "+0260", "+\u{fc}0"] {
        check(SyslogOptions { zone: Some(zone.into()), ..good.clone() }, "`zone` must be");
    }
    assert!(is_zone("+02:00") && is_zone("-0530"));
    let (record, zone) = (RecordPart::Message, Some("+02:00".to_owned()));
    check(SyslogOptions { record, zone, ..good }, "`record: message`");
}
