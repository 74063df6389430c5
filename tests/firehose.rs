//! Amazon Data Firehose's endpoint from outside: what is delivered again is stored once, though flow logs have no
//! identity of their own.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use base64::Engine as _;
use servers::free_port;

use crate::lives::{Life, Random};
use crate::support::{column_counts, number, ok, wait_until};

/// Whether it was taken for good.
fn deliver(port: u16, id: &str, lines: &[String]) -> bool {
    let data = base64::engine::general_purpose::STANDARD.encode(lines.join("\n"));
    let body = serde_json::json!({"requestId": id, "timestamp": 1, "records": [{"data": data}]});
    let body = body.to_string();
    let send = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        write!(
            stream,
            "POST /v1/firehose HTTP/1.1\r\nhost: localhost\r\nx-amz-firehose-access-key: t0ken\r\n\
             x-amz-firehose-request-id: {id}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    send().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200") && answer.contains(id))
}

#[test]
fn deliveries_that_come_again_are_stored_once_however_often_the_program_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let (port, lake) = (free_port(), dir.path().join("lake"));
    let config = format!(
        "lake: {{url: ./lake, epoch_ms_max: 150}}
rules: {{builtin: false}}
sources:
  flows:
    log_type: aws.vpcflow
    http: {{listen: '127.0.0.1:{port}', tokens: [t0ken], wal_folder: wal}}
"
    );
    std::fs::write(dir.path().join("mantissa.yaml"), config).unwrap();
    let flow = |number: usize| {
        format!(
            "2 123456789012 eni-{number} 10.0.0.5 198.51.100.9 50000 443 6 10 840 1763633700 \
             1763633760 ACCEPT OK"
        )
    };
    let (deliveries, lines) = (24, 50);
    let mut random = Random(Random::seed());
    let seed = random.0;
    let mut life = Life::start(dir.path());
    for delivery in 0..deliveries {
        let lines: Vec<_> = (delivery * lines..(delivery + 1) * lines).map(flow).collect();
        let id = format!("ed4acda5-034f-9f42-bba1-{delivery:012}");
        let deliver = || deliver(port, &id, &lines);
        wait_until(&format!("a delivery (seed {seed})"), Duration::from_secs(60), deliver);
        if delivery % 4 == 3 {
            // Its answer was lost: it comes again, to this process or to the next, before or after its epoch.
            std::thread::sleep(Duration::from_millis(random.below(300)));
            if random.below(2) == 0 {
                drop(life);
                life = Life::start(dir.path());
            }
            wait_until(&format!("it again (seed {seed})"), Duration::from_secs(60), deliver);
        }
    }
    let all = deliveries * lines;
    wait_until(&format!("everything (seed {seed})"), Duration::from_secs(60), || {
        number(&lake, "SELECT count(*) AS n FROM aws_vpcflow") >= all as i64
    });
    assert!(life.stop().success());
    let have = column_counts(&lake, "aws_vpcflow", "interface_id");
    assert_eq!(have.len(), all, "seed {seed}");
    assert!(have.values().all(|times| *times == 1), "seed {seed}: stored more than once");
    let places = column_counts(&lake, "aws_vpcflow", "source_partition");
    assert_eq!(places.len(), deliveries);
    ok(&["lake", "verify", "--deep", "--lake", lake.to_str().unwrap()]);
}
