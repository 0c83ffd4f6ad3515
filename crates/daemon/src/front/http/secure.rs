//! TLS for those who come from other machines: it ends here, and what is behind it is served like any other connection.
//!
//! What a client says over TLS is passed on through a pair of sockets. Such a connection cannot go on in another
//! program, as nobody there knows its keys: it ends with ours, and its client comes again.
//!
//! **Invariant:** the key can be read by its user alone, nothing is served that came before the handshake, and there are
//! only so many connections, however long their clients stay when they are served no longer.

use std::{io::Read as _, path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, bail, ensure};
use config::Tls;
use rustix::fs::OFlags;
use tokio::{
    io::{self, AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UnixStream},
    sync::Semaphore,
    time,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
        version::TLS13,
    },
    server::TlsStream,
};

use crate::{
    private_file::{self, Unfit},
    tasks,
};

/// How long a handshake may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a client may take nothing of what it is sent. Of a stream it may for longer on this machine, where nobody
/// is behind a network that has gone.
const TAKEN_PATIENCE: Duration = Duration::from_mins(5);

/// Bytes that are passed on at once.
const PASSED_ON: usize = 16 << 10;

/// Connections that there may be at once, those included that are served no longer.
const CONNECTIONS_MAX: usize = 4096;

/// Longest file of a key, in bytes.
const KEY_BYTES_MAX: u64 = 64 << 10;

/// Whoever proves who we are.
#[derive(Clone)]
pub(super) struct Acceptor {
    tls: TlsAcceptor,
    places: Arc<Semaphore>,
}

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Acceptor(..)")
    }
}

impl Acceptor {
    /// One with the certificate and the key of these files.
    pub(super) fn of(tls: &Tls) -> anyhow::Result<Self> {
        let what = || format!("the certificate in {}", tls.cert.display());
        let chain = CertificateDer::pem_file_iter(&tls.cert).with_context(what)?;
        let chain: Vec<CertificateDer<'static>> =
            chain.collect::<Result<_, _>>().with_context(what)?;
        ensure!(
            !chain.is_empty(),
            "there is no certificate in {}",
            tls.cert.display()
        );
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13])
            .context("TLS 1.3")?
            .with_no_client_auth()
            .with_single_cert(chain, key(&tls.key)?);
        let config = config.with_context(|| {
            let (cert, key) = (tls.cert.display(), tls.key.display());
            format!("the certificate in {cert} and the key in {key}")
        })?;
        Ok(Acceptor {
            tls: TlsAcceptor::from(Arc::new(config)),
            places: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        })
    }

    /// What somebody says over TLS, and what is said to them.
    pub(super) async fn accept(self, stream: TcpStream) -> io::Result<UnixStream> {
        let place = self.places.try_acquire_owned().map_err(io::Error::other)?;
        let secure = time::timeout(PATIENCE, self.tls.accept(stream)).await??;
        let (served, passed_on) = UnixStream::pair()?;
        tasks::spawn("tls", async move {
            pass_on(secure, passed_on).await;
            drop(place);
        });
        Ok(served)
    }
}

/// Passes on what is said, until nothing more comes from here, or the client takes nothing of it.
async fn pass_on(secure: TlsStream<TcpStream>, passed_on: UnixStream) {
    let (mut from_client, mut to_client) = io::split(secure);
    let (mut from_us, mut to_us) = passed_on.into_split();
    let hear = async {
        let _cut = io::copy(&mut from_client, &mut to_us).await;
        // Whoever serves it hears of that, and ends it.
        let _ended = to_us.shutdown().await;
        std::future::pending::<()>().await;
    };
    let say = async {
        let mut buffer = vec![0; PASSED_ON];
        while let Ok(length @ 1..) = from_us.read(&mut buffer).await {
            let said = buffer.get(..length).unwrap_or_default();
            let taken = time::timeout(TAKEN_PATIENCE, async {
                to_client.write_all(said).await?;
                to_client.flush().await
            });
            if !matches!(taken.await, Ok(Ok(()))) {
                return;
            }
        }
        let _cut = time::timeout(PATIENCE, to_client.shutdown()).await;
    };
    tokio::select! {
        () = hear => {}
        () = say => {}
    }
}

/// The key in a file that its user alone can read.
fn key(path: &Path) -> anyhow::Result<PrivateKeyDer<'static>> {
    let what = || format!("the key in {}", path.display());
    let (file, _) = private_file::open(path, OFlags::empty()).or_else(|unfit| match unfit {
        Unfit::Unreadable(error) => Err(error).with_context(what),
        Unfit::NoFile | Unfit::OfOthers => bail!(
            "{} can be read by others than you; `chmod 600` mends that",
            path.display()
        ),
    })?;
    let mut text = Vec::new();
    file.take(KEY_BYTES_MAX)
        .read_to_end(&mut text)
        .with_context(what)?;
    PrivateKeyDer::from_pem_slice(&text).with_context(what)
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, Permissions},
        os::unix::fs::PermissionsExt as _,
    };

    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use tokio::net::TcpListener;
    use tokio_rustls::{
        TlsConnector,
        rustls::{ClientConfig, RootCertStore, pki_types::ServerName, version::TLS12},
    };

    use super::*;

    fn files(folder: &Path) -> Tls {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let tls = Tls {
            cert: folder.join("cert.pem"),
            key: folder.join("key.pem"),
            names: vec!["localhost".to_owned()],
        };
        fs::write(&tls.cert, cert.pem()).unwrap();
        fs::write(&tls.key, signing_key.serialize_pem()).unwrap();
        fs::set_permissions(&tls.key, Permissions::from_mode(0o600)).unwrap();
        tls
    }

    #[tokio::test]
    async fn what_is_said_over_tls_is_heard_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let tls = files(folder.path());
        let acceptor = Acceptor::of(&tls).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(&tls.cert).unwrap();
        roots.add(certificate).unwrap();
        let connector = |version| {
            let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_protocol_versions(&[version])
                .unwrap()
                .with_root_certificates(roots.clone())
                .with_no_client_auth();
            TlsConnector::from(Arc::new(config))
        };
        let name = ServerName::try_from("localhost").unwrap();
        let connect = async |connector: TlsConnector| {
            let stream = TcpStream::connect(address).await?;
            connector.connect(name.clone(), stream).await
        };
        let accept = async || {
            let (stream, _peer) = listener.accept().await?;
            acceptor.clone().accept(stream).await
        };
        let (client, served) = tokio::join!(connect(connector(&TLS13)), accept());
        let (mut client, mut served) = (client.unwrap(), served.unwrap());
        assert_eq!(acceptor.places.available_permits(), CONNECTIONS_MAX - 1);
        client.write_all(b"hello").await.unwrap();
        let mut text = [0; 5];
        served.read_exact(&mut text).await.unwrap();
        assert_eq!(&text, b"hello");
        served.write_all(b"well").await.unwrap();
        drop(served);
        let mut text = String::new();
        client.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "well");
        // Its client stays, and it has its place no longer.
        while acceptor.places.available_permits() < CONNECTIONS_MAX {
            tokio::task::yield_now().await;
        }
        let (client, served) = tokio::join!(connect(connector(&TLS12)), accept());
        assert!(client.is_err() && served.is_err());
        let plain = async {
            let mut stream = TcpStream::connect(address).await?;
            stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await?;
            stream.read_to_end(&mut Vec::new()).await
        };
        let (_alert, served) = tokio::join!(plain, accept());
        assert!(served.is_err());
    }

    #[test]
    fn what_is_wrong_with_the_files_is_told_with_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let tls = files(folder.path());
        let refused = |tls: &Tls| format!("{:#}", Acceptor::of(tls).unwrap_err());
        fs::set_permissions(&tls.key, Permissions::from_mode(0o640)).unwrap();
        assert!(refused(&tls).contains("key.pem can be read by others"));
        fs::set_permissions(&tls.key, Permissions::from_mode(0o600)).unwrap();
        let other = tempfile::tempdir().unwrap();
        let foreign = Tls {
            key: files(other.path()).key,
            ..tls.clone()
        };
        let mismatch = refused(&foreign);
        assert!(mismatch.contains("cert.pem and the key in"), "{mismatch}");
        fs::write(&tls.cert, "words").unwrap();
        assert!(refused(&tls).contains("no certificate in"));
        fs::write(&tls.key, "words").unwrap();
        fs::copy(other.path().join("cert.pem"), &tls.cert).unwrap();
        assert!(refused(&tls).contains("the key in"));
        fs::remove_file(&tls.cert).unwrap();
        assert!(refused(&tls).contains("cert.pem"));
    }
}
