//! TLS by a real client: who trusts whom, and a certificate that is renewed.

use std::time::Duration;

use reqwest::{Certificate, Client, Identity};
use servers::Authority;

use super::*;

struct Files {
    dir: tempfile::TempDir,
    authority: Authority,
}

impl Files {
    fn new() -> Self {
        let files = Self { dir: tempfile::tempdir().unwrap(), authority: Authority::default() };
        files.write(&files.authority);
        files
    }

    /// A server's certificate by this authority, and its key.
    fn write(&self, authority: &Authority) {
        let server = authority.server();
        std::fs::write(self.path("cert.pem"), server.certificate).unwrap();
        std::fs::write(self.path("key.pem"), server.key).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn options(&self, client_ca: Option<&Authority>) -> HttpOptions {
        let client_ca = client_ca.map(|authority| {
            std::fs::write(self.path("clients.pem"), authority.certificate()).unwrap();
            self.path("clients.pem")
        });
        let (cert, key) = (self.path("cert.pem"), self.path("key.pem"));
        HttpOptions { tls: Some(TlsOptions { cert, key, client_ca }), ..options(&self.path("wal")) }
    }
}

fn client(trusted: &Authority, identity: Option<servers::Identity>) -> Client {
    let authority = Certificate::from_pem(trusted.certificate().as_bytes()).unwrap();
    let client = Client::builder().add_root_certificate(authority).https_only(true);
    let client = match identity {
        None => client,
        Some(servers::Identity { certificate, key }) => {
            client.identity(Identity::from_pem((key + &certificate).as_bytes()).unwrap())
        }
    };
    client.build().unwrap()
}

fn start_tls(lake: &Lake, options: HttpOptions) -> Server {
    let change = |source: &mut HttpSource| source.renewed_every = Duration::from_millis(50);
    let mut server = start_with(lake, options, change);
    server.base = server.base.replace("http://", "https://");
    server
}

impl Server {
    async fn send_by(
        &self,
        client: &Client,
        path: &str,
        body: &'static str,
    ) -> Result<u16, String> {
        let request = client.post(format!("{}{path}", self.base));
        let sent = request.header("authorization", "Splunk s3cret").body(body).send().await;
        sent.map(|response| response.status().as_u16()).map_err(|e| format!("{e:?}"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_path_is_served_over_tls() {
    let (files, lake) = (Files::new(), Lake::default());
    let server = start_tls(&lake, files.options(None));
    let trusting = client(&files.authority, None);
    for (path, body) in [
        ("/v1/ingest", "{\"n\":1}"),
        ("/v1/k8s-audit", "{\"kind\":\"EventList\",\"items\":[{\"n\":2}]}"),
        ("/services/collector/event", "{\"event\":{\"n\":3}}"),
        ("/services/collector/raw", "{\"n\":4}"),
    ] {
        assert_eq!(server.send_by(&trusting, path, body).await, Ok(200), "{path}");
    }
    let expected: Vec<String> = (1..5).map(|n| format!("{{\"n\":{n}}}")).collect();
    assert_eq!(server.running.wait_for(4).await, expected);
    // Who knows another authority does not send.
    let stranger = client(&Authority::default(), None);
    let refused = server.send_by(&stranger, "/v1/ingest", "{\"n\":5}").await.unwrap_err();
    assert!(refused.contains("InvalidCertificate"), "{refused}");
    // Nor does who speaks plainly get an answer.
    let plain = Client::new().post(server.base.replace("https://", "http://")).body("{}").send();
    assert!(plain.await.is_err());
    assert_eq!(server.send_by(&trusting, "/v1/ingest", "{\"n\":6}").await, Ok(200));
    server.running.wait_for(5).await;
    server.running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_known_clients_are_let_in() {
    let (files, clients, lake) = (Files::new(), Authority::default(), Lake::default());
    // A certificate that is known is enough.
    let options = HttpOptions { tokens: Vec::new(), ..files.options(Some(&clients)) };
    let server = start_tls(&lake, options);
    let known = client(&files.authority, Some(clients.client("kube-apiserver")));
    let events = "{\"kind\":\"EventList\",\"items\":[{\"n\":1}]}";
    assert_eq!(server.send_by(&known, "/v1/k8s-audit", events).await, Ok(200));
    for (who, identity) in [
        ("without a certificate", None),
        ("by another authority", Some(Authority::default().client("kube-apiserver"))),
        ("for servers", Some(clients.server())),
    ] {
        let client = client(&files.authority, identity);
        let refused = server.send_by(&client, "/v1/k8s-audit", events).await;
        assert!(refused.is_err(), "{who}: {refused:?}");
    }
    assert_eq!(server.running.wait_for(1).await, ["{\"n\":1}"]);
    server.running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_taken_and_a_broken_one_is_not() {
    let (files, lake) = (Files::new(), Lake::default());
    let server = start_tls(&lake, files.options(None));
    let path = "/v1/ingest";
    let old = || client(&files.authority, None);
    assert_eq!(server.send_by(&old(), path, "{}").await, Ok(200));
    std::fs::write(files.path("cert.pem"), "no certificate").unwrap();
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(server.send_by(&old(), path, "{}").await, Ok(200), "the one before it stays");
    let renewed = Authority::default();
    files.write(&renewed);
    let mut sent = Err("not tried".to_owned());
    for _ in 0..200 {
        sent = server.send_by(&client(&renewed, None), path, "{}").await;
        if sent.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(sent, Ok(200));
    server.running.stop().await.unwrap();
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named_without_their_content() {
    let files = Files::new();
    let refused = async |name: &str, content: &str| {
        let before = std::fs::read(files.path(name)).unwrap();
        std::fs::write(files.path(name), content).unwrap();
        let server = start_tls(&Lake::default(), files.options(None));
        let error = server.running.end().await.unwrap_err();
        std::fs::write(files.path(name), before).unwrap();
        assert_eq!(error.kind, ErrorKind::Config);
        error.message
    };
    let message = refused("cert.pem", "").await;
    assert!(message.contains("cert.pem holds no certificate"), "{message}");
    let message = refused("key.pem", "-----BEGIN S3CRET").await;
    assert!(message.contains("key.pem") && !message.contains("S3CRET"), "{message}");
    let message = refused("key.pem", &Authority::default().server().key).await;
    assert!(message.contains("the certificate and the key cannot be used"), "{message}");
    std::fs::remove_file(files.path("cert.pem")).unwrap();
    let server = start_tls(&Lake::default(), files.options(None));
    let message = server.running.end().await.unwrap_err().message;
    assert!(message.contains("No such file"), "{message}");
}

#[test]
fn a_known_client_needs_no_token() {
    let (files, clients) = (Files::new(), Authority::default());
    let without = |options: HttpOptions| HttpOptions { tokens: Vec::new(), ..options };
    assert!(HttpSource::new("s", "t", without(files.options(Some(&clients)))).is_ok());
    assert!(HttpSource::new("s", "t", without(files.options(None))).is_err());
}
