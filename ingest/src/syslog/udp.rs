//! Datagrams: one message each. Whatever the kernel has no room for while the disk is slow is lost.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, describe_counter};
use tokio::net::UdpSocket;

use super::{Entry, Keeper};

/// The longest datagram there is.
const DATAGRAM_BYTES_MAX: usize = 64 << 10;
/// Messages that wait already are kept together, up to about this much.
const GATHER_BYTES: usize = 256 << 10;
const DROPS_EVERY: Duration = Duration::from_secs(10);

/// Until the shutdown.
pub(super) async fn run(socket: UdpSocket, mut keeper: Keeper) {
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    let mut shutdown = keeper.shutdown.clone();
    let mut next: Option<(usize, SocketAddr)> = None;
    loop {
        let (count, peer) = match next.take() {
            Some(received) => received,
            None => tokio::select! {
                received = socket.recv_from(&mut buffer) => match received {
                    Ok(received) => received,
                    Err(error) => {
                        keeper.meter.error();
                        tracing::warn!(%error, "datagrams cannot be read");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                },
                () = shutdown.requested() => return,
            },
        };
        let ip = peer.ip().to_canonical();
        let mut entry = Entry::new(&ip.to_string());
        add(&buffer[..count], &mut entry);
        while entry.len() < GATHER_BYTES
            && let Ok((count, peer)) = socket.try_recv_from(&mut buffer)
        {
            if peer.ip().to_canonical() != ip {
                next = Some((count, peer));
                break;
            }
            add(&buffer[..count], &mut entry);
        }
        keeper.keep(&mut entry).await;
    }
}

fn add(datagram: &[u8], entry: &mut Entry) {
    let end = datagram.iter().rposition(|b| !matches!(b, b'\r' | b'\n' | 0)).map_or(0, |at| at + 1);
    if end > 0 {
        entry.message(&datagram[..end]);
    }
}

/// Says how many datagrams the kernel has dropped at this address, where the kernel tells.
pub(super) async fn watch_drops(source: Arc<str>, address: Option<SocketAddr>) {
    let Some(address) = address else { return };
    describe_counter!(
        "mantissa_source_datagrams_dropped_total",
        "Datagrams that the kernel had no room for."
    );
    let table = match address.ip() {
        IpAddr::V4(_) => "/proc/net/udp",
        IpAddr::V6(_) => "/proc/net/udp6",
    };
    let dropped =
        counter!("mantissa_source_datagrams_dropped_total", "source" => source.to_string());
    while let Ok(text) = tokio::fs::read_to_string(table).await {
        dropped.absolute(drops(&text, address.port()));
        tokio::time::sleep(DROPS_EVERY).await;
    }
}

/// The last column of the lines of a local port, see proc(5).
fn drops(table: &str, port: u16) -> u64 {
    let port = format!(":{port:04X}");
    let of_port = table.lines().filter(|line| {
        line.split_ascii_whitespace().nth(1).is_some_and(|local| local.ends_with(&port))
    });
    of_port.filter_map(|line| line.split_ascii_whitespace().last()?.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_counts_what_it_drops() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
             511: 00000000:0202 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 20 2 0000000000000000 7\n\
             512: 0100007F:1202 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 21 2 0000000000000000 9\n";
        assert_eq!(drops(table, 514), 7);
        assert_eq!(drops(table, 515), 0);
    }
}
