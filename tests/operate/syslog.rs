//! Syslog from a socket to SQL, through a kill.

use std::io::Write;
use std::net::{TcpStream, UdpSocket};

use super::{Site, free_port};
use crate::support::{number, ok, query};

#[test]
fn syslog_from_a_socket_to_sql() {
    let port = free_port();
    let mut site = Site::with(&format!(
        "lake: {{url: ./lake, epoch_ms_max: 150}}\nsources:\n  net:\n    log_type: syslog.generic\n    syslog:\n      tcp: 127.0.0.1:{port}\n      udp: 127.0.0.1:{port}\n      zone: \"+01:00\"\n      wal_folder: ./wal\n"
    ));
    site.start();
    let mut sender = None;
    site.wait("the listener", |_| {
        sender = TcpStream::connect(("127.0.0.1", port)).ok();
        sender.is_some()
    });
    let mut sender = sender.unwrap();
    let said = "<86>1 2026-11-20T10:15:00.5Z web1 sshd 7 - [x@1 who=\"ana\"] Accepted publickey\n\
                <189>29: *Mar  1 09:00:03.483: %SYS-5-CONFIG_I: Configured\n\
                GET / HTTP/1.1\n";
    sender.write_all(said.as_bytes()).unwrap();
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    let json = br#"<13>Mar  1 09:00:04 app1 billing: {"user":"ben"}"#;
    datagrams.send_to(json, ("127.0.0.1", port)).unwrap();
    site.wait("the messages", |site| site.metric("mantissa_events_stored_total") == 3.0);
    let mut child = site.child.take().expect("the process runs");
    child.kill().unwrap();
    child.wait().unwrap();
    site.start();
    site.wait("the listener again", |_| TcpStream::connect(("127.0.0.1", port)).is_ok());
    site.stop();
    let lake = site.lake();
    let rows = query(
        &lake,
        "select host_name, app_name, msg_id, peer, severity, outcome, event_time_ns % 86400000000000 / 1000000 as ms \
         from syslog_generic order by ms",
    );
    let expected = serde_json::json!([
        {"host_name": "127.0.0.1", "app_name": null, "msg_id": "SYS-5-CONFIG_I", "peer": "127.0.0.1", "severity": 30, "outcome": "unknown", "ms": 28_803_483},
        {"host_name": "app1", "app_name": "billing", "msg_id": null, "peer": "127.0.0.1", "severity": 30, "outcome": "unknown", "ms": 28_804_000},
        {"host_name": "web1", "app_name": "sshd", "msg_id": null, "peer": "127.0.0.1", "severity": 20, "outcome": "unknown", "ms": 36_900_500},
    ]);
    let sorted = |value: &serde_json::Value| value.to_string();
    assert_eq!(sorted(&serde_json::Value::Array(rows)), sorted(&expected));
    let dead = "select count(*) as n from dead_letters where reason like 'not syslog%'";
    assert_eq!(number(&lake, dead), 1);
    ok(&["lake", "verify", "--deep", "--lake", lake.to_str().unwrap()]);
}
