//! Ways to a server: TCP, TLS over it, or a unix socket.
//!
//! **Invariant:** a way is open when the server has proved that it is who the address says, if the address
//! wants that at all.

use std::{
    fmt,
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

use rustix::net::sockopt;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    time,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        self, CertificateError, ClientConfig, ClientConnection, ConfigBuilder, RootCertStore,
        StreamOwned, WantsVerifier,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    },
};

use super::{
    pinned::{Pinned, is_of_authority},
    target::{Place, Target},
};
use crate::tasks;

/// How long it may take until a way is open.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the other side may say nothing before it is asked whether it is still there, and again.
const PROBE_AFTER: Duration = Duration::from_secs(20);

/// Unanswered questions after which it is not.
const PROBES: u32 = 3;

/// What every server is checked with, unless its configuration says otherwise. Read once: it is large.
static PLATFORM: OnceLock<Arc<ClientConfig>> = OnceLock::new();

/// Bytes both ways.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Why there is no way, for a person.
#[derive(Debug)]
pub(super) enum NoWay {
    /// Nobody is there, as far as that can be seen.
    NobodyThere(String),
    /// Somebody is, and not who it has to be.
    Mistrusted(String),
}

impl From<NoWay> for String {
    fn from(no_way: NoWay) -> Self {
        match no_way {
            NoWay::NobodyThere(why) | NoWay::Mistrusted(why) => why,
        }
    }
}

/// Opens ways to one server.
#[derive(Clone)]
pub(super) struct Connector {
    pub(super) target: Target,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connector({})", self.target)
    }
}

impl Connector {
    /// To this server, for which `ca_cert` alone vouches if it is given. The error is for a person.
    pub(super) async fn to(target: Target, ca_cert: Option<PathBuf>) -> Result<Self, String> {
        let tls = match &target.place {
            Place::Network {
                host,
                is_secure: true,
                ..
            } => {
                let name = name_of(host)?;
                let config = tasks::aside(move || match ca_cert {
                    Some(file) => pinned(&file),
                    None => platform(),
                });
                let config = config.await.map_err(|error| error.to_string())??;
                Some((TlsConnector::from(config), name))
            }
            Place::Network { .. } | Place::Socket(_) => None,
        };
        Ok(Connector { target, tls })
    }

    /// Opens one.
    pub(super) async fn connect(&self) -> Result<Box<dyn Stream>, NoWay> {
        let opened = time::timeout(PATIENCE, self.open()).await;
        let late = || format!("no connection within {} s", PATIENCE.as_secs());
        opened.unwrap_or_else(|_| Err(NoWay::NobodyThere(late())))
    }

    async fn open(&self) -> Result<Box<dyn Stream>, NoWay> {
        let (host, port) = match &self.target.place {
            Place::Socket(path) => {
                let stream = UnixStream::connect(path).await;
                let stream = stream.map_err(|error| NoWay::NobodyThere(words(&error)))?;
                return Ok(Box::new(stream));
            }
            Place::Network { host, port, .. } => (host, *port),
        };
        let stream = tcp(host, port).await.map_err(NoWay::NobodyThere)?;
        let Some((connector, name)) = &self.tls else {
            return Ok(Box::new(stream));
        };
        let stream = connector.connect(name.clone(), stream).await;
        let stream = stream.map_err(|error| NoWay::Mistrusted(tls_words(&error)))?;
        Ok(Box::new(stream))
    }
}

async fn tcp(host: &str, port: u16) -> Result<TcpStream, String> {
    let mut trouble = format!("no address is known of `{host}`");
    for address in addresses(host).await? {
        match TcpStream::connect(SocketAddr::new(address, port)).await {
            Ok(stream) => {
                watch(&stream);
                return Ok(stream);
            }
            Err(error) => trouble = words(&error),
        }
    }
    Err(trouble)
}

/// Has a connection end whose other side is no longer there, and small messages leave at once.
fn watch(stream: &TcpStream) {
    // Without any of this the connection works, too.
    let _refused = stream.set_nodelay(true);
    let _refused = sockopt::set_socket_keepalive(stream, true);
    let _refused = sockopt::set_tcp_keepidle(stream, PROBE_AFTER);
    let _refused = sockopt::set_tcp_keepintvl(stream, PROBE_AFTER / 2);
    let _refused = sockopt::set_tcp_keepcnt(stream, PROBES);
    #[cfg(target_os = "linux")]
    let _refused = sockopt::set_tcp_user_timeout(stream, 60_000);
}

/// The addresses of a host, those first that are to be tried first.
async fn addresses(host: &str) -> Result<Vec<IpAddr>, String> {
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    // Never anybody else, whatever a name server says (RFC 6761, section 6.3).
    if host == "localhost" || host.ends_with(".localhost") {
        return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    let name = host.to_owned();
    let looked_up = tasks::aside(move || look_up(&name)).await;
    looked_up
        .and_then(|found| found)
        .map_err(|error| format!("`{host}` could not be looked up: {error}"))
}

/// Asks the system. A static executable cannot load the modules that answer, so a program is asked that can.
#[cfg(target_os = "linux")]
fn look_up(host: &str) -> io::Result<Vec<IpAddr>> {
    use std::process::{Command, Stdio};
    let output = Command::new("getent")
        .args(["ahosts", host])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()?;
    Ok(of_getent(&String::from_utf8_lossy(&output.stdout)))
}

#[cfg(not(target_os = "linux"))]
fn look_up(host: &str) -> io::Result<Vec<IpAddr>> {
    use std::net::ToSocketAddrs;
    Ok((host, 0)
        .to_socket_addrs()?
        .map(|found| found.ip())
        .collect())
}

/// The first word of each line, once each.
#[cfg(target_os = "linux")]
fn of_getent(text: &str) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = Vec::new();
    for address in text
        .lines()
        .filter_map(|line| line.split_whitespace().next())
    {
        if let Ok(address) = address.parse()
            && !found.contains(&address)
        {
            found.push(address);
        }
    }
    found
}

/// TLS over a connection with this host, for whoever waits for each byte; the greeting is made with the first
/// ones. For the host the certificates in `ca_cert` alone vouch if it is given. The error is for a person.
pub fn secured<S: Read + Write>(
    stream: S,
    host: &str,
    ca_cert: Option<&Path>,
) -> Result<impl Read + Write + use<S>, String> {
    let name = name_of(host)?;
    let config = match ca_cert {
        Some(file) => pinned(file),
        None => platform(),
    };
    let session = ClientConnection::new(config?, name).map_err(|error| error.to_string())?;
    Ok(StreamOwned::new(session, stream))
}

fn name_of(host: &str) -> Result<ServerName<'static>, String> {
    let name = ServerName::try_from(host.to_owned());
    name.map_err(|_| format!("`{host}` is no name that a certificate has"))
}

/// Trusts whom the system trusts.
fn platform() -> Result<Arc<ClientConfig>, String> {
    if let Some(config) = PLATFORM.get() {
        return Ok(Arc::clone(config));
    }
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _unfit) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let what = "this system trusts no certificates that could be read (SSL_CERT_FILE says where they are); `ca_cert` names others";
        return Err(what.to_owned());
    }
    let config = checking()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::clone(PLATFORM.get_or_init(|| Arc::new(config))))
}

/// Trusts those in a file, and nobody else.
fn pinned(file: &Path) -> Result<Arc<ClientConfig>, String> {
    let bad = |what: String| format!("ca_cert {}: {what}", file.display());
    let certificates =
        CertificateDer::pem_file_iter(file).map_err(|error| bad(error.to_string()))?;
    let certificates: Vec<CertificateDer<'static>> = certificates
        .collect::<Result<_, _>>()
        .map_err(|error| bad(error.to_string()))?;
    if certificates.is_empty() {
        return Err(bad("there is no certificate in it".to_owned()));
    }
    let pinned = Pinned::of(certificates).map_err(bad)?;
    let config = checking()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(pinned))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// One that says next with what servers are checked.
fn checking() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, String> {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())
}

/// What is wrong with a certificate, or with what is there in the place of one.
fn tls_words(error: &io::Error) -> String {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    if cause.is_some_and(is_of_authority) {
        let what =
            "TLS: the server's certificate is one of an authority, as `openssl req -x509` makes it";
        return format!("{what}; if it is your own, name the file that holds it in `ca_cert`");
    }
    let hint = match cause {
        Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            "; if it is from an authority of your own, name that in `ca_cert`"
        }
        Some(rustls::Error::InvalidMessage(_)) => "; does it speak TLS there at all?",
        Some(_) | None => "",
    };
    format!("TLS: {error}{hint}")
}

/// What went wrong, without the number.
fn words(error: &io::Error) -> String {
    let kind = error.kind();
    if kind == io::ErrorKind::ConnectionRefused {
        "connection refused; does it run there?".to_owned()
    } else if kind == io::ErrorKind::NotFound {
        "there is no such socket; does it run?".to_owned()
    } else if kind == io::ErrorKind::PermissionDenied {
        "permission denied".to_owned()
    } else {
        error.to_string()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair,
        PKCS_ED25519,
    };
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };
    use tokio_rustls::{
        TlsAcceptor,
        rustls::{
            ServerConfig, SupportedProtocolVersion,
            pki_types::PrivateKeyDer,
            sign::{CertifiedKey, SingleCertAndKey},
            version::{TLS12, TLS13},
        },
    };

    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn what_getent_says_is_each_address_once() {
        let said =
            "2001:db8::1     STREAM host\n2001:db8::1     DGRAM  \n192.0.2.7 STREAM\nnonsense\n";
        let found: Vec<String> = of_getent(said).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["2001:db8::1", "192.0.2.7"]);
        assert!(of_getent("").is_empty());
    }

    /// A server that has this certificate, and echoes; its port.
    async fn serves(certificate: &Certificate, key: &KeyPair) -> u16 {
        serves_in(rustls::DEFAULT_VERSIONS, certificate, key).await
    }

    /// The same in these versions of TLS, whether the key is that of the certificate or not.
    async fn serves_in(
        versions: &[&'static SupportedProtocolVersion],
        certificate: &Certificate,
        key: &KeyPair,
    ) -> u16 {
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let key = ring::sign::any_supported_type(&key).unwrap();
        let shown = CertifiedKey::new(vec![certificate.der().clone()], key);
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tasks::spawn("test", async move {
            while let Ok((stream, _from)) = listener.accept().await {
                if let Ok(stream) = acceptor.accept(stream).await {
                    let (mut from, mut to) = tokio::io::split(stream);
                    let _gone = tokio::io::copy(&mut from, &mut to).await;
                }
            }
        });
        port
    }

    fn authority(name: &str) -> (Issuer<'static, KeyPair>, String) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        (Issuer::new(params, key), pem)
    }

    #[tokio::test]
    async fn a_certificate_is_good_only_by_who_is_named_and_for_the_name() {
        let folder = tempfile::tempdir().unwrap();
        let ((issuer, pem), (_other, other_pem)) = (authority("one"), authority("other"));
        let (file, other_file) = (folder.path().join("ca"), folder.path().join("other"));
        std::fs::write(&file, pem).unwrap();
        std::fs::write(&other_file, other_pem).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let certificate = certificate.signed_by(&key, &issuer).unwrap();
        let port = serves(&certificate, &key).await;
        let connect = async |host: &str, file: Option<&PathBuf>| {
            let target = Target::parse(&format!("https://{host}:{port}/")).unwrap();
            let connector = Connector::to(target, file.cloned()).await?;
            connector.connect().await.map_err(String::from)
        };
        let mut stream = connect("localhost", Some(&file)).await.unwrap();
        stream.write_all(b"hello").await.unwrap();
        stream.flush().await.unwrap();
        let mut echo = [0; 5];
        stream.read_exact(&mut echo).await.unwrap();
        assert_eq!(&echo, b"hello");
        // The server has one client at a time.
        drop(stream);
        for (host, file) in [
            ("localhost", Some(&other_file)),
            ("127.0.0.1", Some(&file)),
            ("localhost", None),
        ] {
            let refused = connect(host, file).await.map(|_| ()).unwrap_err();
            // A system that trusts nobody says so instead.
            let is_so = refused.starts_with("TLS: ") || file.is_none();
            assert!(is_so, "{host}: {refused}");
            // Of a name that is not there no file has a better opinion.
            let is_of_another = host == "localhost" && file.is_some();
            assert_eq!(
                refused.contains("`ca_cert`"),
                is_of_another || file.is_none(),
                "{refused}"
            );
        }
    }

    #[tokio::test]
    async fn a_server_may_have_the_certificate_of_the_file_itself() {
        let folder = tempfile::tempdir().unwrap();
        let (file, other_file) = (folder.path().join("own"), folder.path().join("other"));
        // As `openssl req -x509` makes it.
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(&file, certificate.pem()).unwrap();
        std::fs::write(&other_file, authority("other").1).unwrap();
        let port = serves(&certificate, &key).await;
        let connect = async |file: &PathBuf| {
            let target = Target::parse(&format!("https://localhost:{port}/")).unwrap();
            let connector = Connector::to(target, Some(file.clone())).await?;
            let connected = connector.connect().await;
            connected.map(|_| ()).map_err(String::from)
        };
        assert_eq!(connect(&file).await, Ok(()));
        let refused = connect(&other_file).await.unwrap_err();
        assert!(
            refused.contains("one of an authority") && refused.contains("`ca_cert`"),
            "{refused}"
        );
    }

    #[tokio::test]
    async fn whoever_shows_the_certificate_of_another_and_has_not_its_key_is_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("own");
        let key = KeyPair::generate().unwrap();
        let params = |is_ca| {
            let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
            params.is_ca = is_ca;
            params
        };
        let own = |is_ca| {
            let certificate = params(is_ca).self_signed(&key).unwrap();
            (certificate.pem(), certificate)
        };
        let (issuer, pem) = authority("one");
        let signed = params(IsCa::NoCa).signed_by(&key, &issuer).unwrap();
        let of_another_kind = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let foreign = [
            (KeyPair::generate().unwrap(), "BadSignature"),
            (of_another_kind, "UnsupportedSignatureAlgorithm"),
        ];
        for (pem, certificate) in [
            own(IsCa::NoCa),
            own(IsCa::Ca(BasicConstraints::Unconstrained)),
            (pem, signed),
        ] {
            std::fs::write(&file, pem).unwrap();
            for version in [&TLS12, &TLS13] {
                let connect = async |key: &KeyPair| {
                    let port = serves_in(&[version], &certificate, key).await;
                    let target = Target::parse(&format!("https://localhost:{port}/")).unwrap();
                    let connector = Connector::to(target, Some(file.clone())).await?;
                    let connected = connector.connect().await;
                    connected.map(|_| ()).map_err(String::from)
                };
                assert_eq!(connect(&key).await, Ok(()), "{version:?}");
                for (key, why) in &foreign {
                    let refused = connect(key).await.unwrap_err();
                    let why = format!("TLS: invalid peer certificate: {why}");
                    assert!(refused.starts_with(&why), "{version:?}: {refused}");
                }
            }
        }
    }

    #[test]
    fn a_file_without_certificates_vouches_for_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        assert!(pinned(&file).unwrap_err().contains("ca.pem"));
        std::fs::write(&file, "nothing\n").unwrap();
        assert!(pinned(&file).unwrap_err().contains("no certificate"));
    }
}
