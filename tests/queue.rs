//! A topic of a real broker from outside: `--until-end`.

use servers::Broker;

use crate::support::{column_counts, ok};

/// A source `queue` for a configuration. The broker waits half a session before a group may begin.
pub fn config(address: &str, topic: &str) -> String {
    format!(
        "  queue:
    log_type: aws.vpcflow
    kafka:
      brokers: [\"{address}\"]
      topics: [{topic}]
      properties: {{session.timeout.ms: \"1000\", heartbeat.interval.ms: \"250\"}}
"
    )
}

#[test]
fn until_end_reads_what_is_there_and_then_what_is_new() {
    let Some(broker) = Broker::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let source = config(&broker.address, "flows");
    let config = format!("lake: {{url: {}}}\nsources:\n{source}", at("lake"));
    std::fs::write(at("mantissa.yaml"), config).unwrap();
    let topic = broker.topic("flows", 2);
    for (from, upto) in [(0, 100), (100, 130), (130, 130)] {
        // One partition gets its messages in a batch, the other one by one.
        let lines: Vec<_> = (from..upto).map(flow).collect();
        let (one, other) = lines.split_at(lines.len() / 2);
        topic.produce_batch(0, one);
        topic.produce(1, other);
        ok(&["run", "--until-end", "--config", &at("mantissa.yaml")]);
        let have = column_counts(&dir.path().join("lake"), "aws_vpcflow", "interface_id");
        assert_eq!(have.len(), upto);
        assert!(have.values().all(|count| *count == 1), "{have:?}");
    }
}

fn flow(number: usize) -> String {
    format!(
        "2 123456789012 eni-{number} 10.0.0.5 198.51.100.9 50000 443 6 10 840 1763633700 1763633760 \
         ACCEPT OK"
    )
}
